/* sink.c - the fake link of the outbox tests.
 * Threads: see sink.h.
 * Owns: see sink.h.
 */
#include <stdlib.h>

#include "sink.h"

static void sink_take(struct sink *s, const char *p, size_t n)
{
	if (s->n + n > s->cap) {
		s->cap = 2 * (s->n + n);
		s->bytes = realloc(s->bytes, s->cap);
		if (!s->bytes)
			abort();
	}
	memcpy(s->bytes + s->n, p, n);
	s->n += n;
}

static ssize_t sink_write(struct outbox *ob, const struct iovec *iov, int n)
{
	struct sink *s = (struct sink *)ob;
	size_t left = s->piece ? s->piece : SIZE_MAX, done = 0;

	if (atomic_fetch_add(&s->writing, 1) != 0 || atomic_load(&s->freed))
		atomic_fetch_add(&s->clashes, 1);
	s->writes++;
	if (s->on_write)
		s->on_write(s);
	if (s->dead) {
		atomic_fetch_sub(&s->writing, 1);
		return -1;
	}
	if (!s->full && !(s->every && s->writes % s->every == 0)) {
		for (int i = 0; i < n && left; i++) {
			size_t take = iov[i].iov_len < left ? iov[i].iov_len : left;

			sink_take(s, iov[i].iov_base, take);
			left -= take;
			done += take;
		}
	}
	atomic_fetch_sub(&s->writing, 1);
	return (ssize_t)done;
}

static void sink_arm(struct outbox *ob)
{
	struct sink *s = (struct sink *)ob;

	atomic_fetch_add(&s->armed, 1);
	if (s->on_arm)
		s->on_arm(s);
}

static void sink_overflow(struct outbox *ob)
{
	atomic_fetch_add(&((struct sink *)ob)->overflows, 1);
}

static void sink_free(struct outbox *ob)
{
	atomic_fetch_add(&((struct sink *)ob)->freed, 1);
}

static const struct outbox_ops sink_ops = { sink_write, sink_arm, sink_overflow, sink_free };

void sink_init(struct sink *s, uint64_t limit)
{
	memset(s, 0, sizeof *s);
	outbox_init(&s->ob, &sink_ops, limit);
}

void sink_fini(struct sink *s)
{
	free(s->bytes);
	s->bytes = NULL;
}
