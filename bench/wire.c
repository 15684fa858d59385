/* wire.c - buffers of a stream, and the reader that cuts its elements.
 * Threads: the one thread of the program.
 * Owns: see wire.h.
 */
#include "wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define READ_SIZE (256u << 10)

void wire_init(struct wire *w, int fd)
{
	*w = (struct wire){.fd = fd};
}

void wire_fini(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->in);
	free(w->out);
	*w = (struct wire){.fd = -1};
}

void wire_restart(struct wire *w)
{
	w->open = false;
}

long wire_fill(struct wire *w)
{
	if (w->in_off) {
		memmove(w->in, w->in + w->in_off, w->in_n - w->in_off);
		w->in_n -= w->in_off;
		w->in_off = 0;
	}
	if (w->in_cap - w->in_n < READ_SIZE) {
		w->in_cap = w->in_n + 2 * READ_SIZE;
		w->in = bench_realloc(w->in, w->in_cap);
	}
	ssize_t n = recv(w->fd, w->in + w->in_n, READ_SIZE, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	w->in_n += (size_t)n;
	w->bytes_in += (size_t)n;
	return n;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* p is behind '<'. Reads a start tag; returns behind its '>', NULL: not complete yet. */
static const char *read_tag(const char *p, const char *end, struct tag *t)
{
	const char *name = p;
	while (p < end && !is_space(*p) && *p != '>' && *p != '/')
		p++;
	t->name = span_of(name, (size_t)(p - name));
	t->nattrs = 0;
	t->empty = false;
	for (;;) {
		while (p < end && is_space(*p))
			p++;
		if (p >= end)
			return NULL;
		if (*p == '>')
			return p + 1;
		if (*p == '/' || *p == '?') {
			t->empty = true;
			p++;
			continue;
		}
		const char *eq = memchr(p, '=', (size_t)(end - p));
		if (!eq || eq + 1 >= end)
			return NULL;
		const char *close = memchr(eq + 2, eq[1], (size_t)(end - eq - 2));
		if (!close)
			return NULL;
		if (t->nattrs < TAG_ATTRS)
			t->attrs[t->nattrs++] =
				(struct attr){span_of(p, (size_t)(eq - p)), span_of(eq + 2, (size_t)(close - eq - 2))};
		p = close + 1;
	}
}

/* Behind the element's start tag: finds its end. Fills inner, payload and content. */
static const char *read_children(const char *p, const char *end, struct frame *f)
{
	const char *inner = p, *content = NULL;
	struct tag skipped;
	unsigned depth = 1;

	for (;;) {
		const char *lt = memchr(p, '<', (size_t)(end - p));
		if (!lt || lt + 1 >= end)
			return NULL;
		if (lt[1] == '/') {
			const char *gt = memchr(lt, '>', (size_t)(end - lt));
			if (!gt)
				return NULL;
			if (--depth == 1 && content) {
				f->content = span_of(content, (size_t)(lt - content));
				content = NULL;
			}
			p = gt + 1;
			if (depth == 0) {
				f->inner = span_of(inner, (size_t)(lt - inner));
				return p;
			}
			continue;
		}
		bool payload = depth == 1 && f->payload.name.n == 0;
		struct tag *t = payload ? &f->payload : &skipped;
		p = read_tag(lt + 1, end, t);
		if (!p) {
			t->name.n = 0;
			return NULL;
		}
		if (t->empty)
			continue;
		depth++;
		if (payload)
			content = p;
	}
}

enum wire_result wire_next(struct wire *w, struct frame *f)
{
	const char *p = w->in + w->in_off, *end = w->in + w->in_n;

	while (p < end && is_space(*p))
		p++;
	if (end - p < 2)
		return WIRE_MORE;
	if (p[0] != '<' || p[1] == '/')
		return WIRE_CLOSED;
	f->payload.name = (struct span){0};
	f->inner = f->content = (struct span){0};
	const char *after = read_tag(p + 1, end, &f->outer);
	if (!after)
		return WIRE_MORE;
	bool header = !w->open;
	if (p[1] == '?') {
		w->in_off = (size_t)(after - w->in);
		return wire_next(w, f);
	}
	if (!header && !f->outer.empty) {
		after = read_children(after, end, f);
		if (!after)
			return WIRE_MORE;
	}
	w->open = true;
	f->whole = span_of(p, (size_t)(after - p));
	w->in_off = (size_t)(after - w->in);
	return header ? WIRE_HEADER : WIRE_FRAME;
}

struct span tag_attr(const struct tag *t, const char *name)
{
	uint32_t n = (uint32_t)strlen(name);
	for (unsigned i = 0; i < t->nattrs; i++)
		if (t->attrs[i].name.n == n && memcmp(t->attrs[i].name.p, name, n) == 0)
			return t->attrs[i].value;
	return (struct span){0};
}

struct span tag_session(const struct tag *t, const char *name)
{
	uint32_t n = (uint32_t)strlen(name);
	for (unsigned i = 0; i < t->nattrs; i++) {
		struct span a = t->attrs[i].name;
		if (a.n > n + 1 && a.p[a.n - n - 1] == ':' && memcmp(a.p + a.n - n, name, n) == 0 &&
			!(a.n == n + 6 && memcmp(a.p, "xmlns", 5) == 0))
			return t->attrs[i].value;
	}
	return (struct span){0};
}

bool tag_is(const struct tag *t, const char *local)
{
	const char *colon = t->name.n ? memchr(t->name.p, ':', t->name.n) : NULL;
	const char *p = colon ? colon + 1 : t->name.p;
	return span_is(span_of(p, (size_t)(t->name.p + t->name.n - p)), local);
}

char *wire_reserve(struct wire *w, size_t n)
{
	if (w->out_off == w->out_n)
		w->out_off = w->out_n = 0;
	if (w->out_cap - w->out_n < n) {
		w->out_cap = (w->out_n + n) * 2;
		w->out = bench_realloc(w->out, w->out_cap);
	}
	return w->out + w->out_n;
}

void wire_put(struct wire *w, struct span s)
{
	memcpy(wire_reserve(w, s.n), s.p, s.n);
	wire_advance(w, s.n);
}

void wire_printf(struct wire *w, const char *fmt, ...)
{
	va_list ap;
	char text[2048];

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof text)
		bench_die("an element of over %zu bytes: shorten the names", sizeof text);
	wire_put(w, span_of(text, (size_t)n));
}

long wire_flush(struct wire *w)
{
	while (w->out_off < w->out_n) {
		ssize_t n = send(w->fd, w->out + w->out_off, w->out_n - w->out_off, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? (long)wire_pending(w) : -1;
		w->out_off += (size_t)n;
		w->bytes_out += (size_t)n;
	}
	return 0;
}
