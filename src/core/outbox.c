/* outbox.c - bytes on their way to a link: the hand-over from many threads, and the one that writes.
 * Threads: any thread hands over; the holder of OB_WRITER alone dequeues and writes, and any thread may be that.
 * Owns: handed-over chunks, from the enqueue until they are written or forgotten. Trays are in out_tray.c.
 *
 * state: OB_WRITER is the only lock, taken with one compare-and-swap and never waited for. Who finds it taken sets OB_MORE
 * and leaves; the writer looks for OB_MORE in the same compare-and-swap that gives OB_WRITER back, so no hand-over is
 * left lying. A full socket trades OB_WRITER for OB_BLOCKED, and the link's acceptor brings it back with outbox_writable().
 */
#include <stdlib.h>

#include "core/out_chunk.h"
#include "core/tsan.h"

#define WRITE_IOV 64
/* A thread that writes for others too stops here and lets the acceptor go on: it has a burst of its own to return to. */
#define WRITE_TURN_BYTES (4u << 20)
#define ROOM_PART 4 /* of its limit; and where what was begun then stops. What cannot be stopped any more has the rest */
#define BEHIND_PART 2

enum write_result { WRITE_DRAINED, WRITE_STUCK, WRITE_DEAD };

static _Atomic uint64_t steps;      /* that wait in all outboxes */
static _Atomic uint64_t most_steps; /* 0: any number */
static _Atomic uint64_t kept;       /* bytes of what closed ones were not written, until outbox_lost() has had it */

void outboxes_limit(uint64_t bytes)
{
	atomic_store_explicit(&most_steps, bytes / OUTBOX_STEP, memory_order_relaxed);
}

bool outboxes_keep_much(void)
{
	uint64_t most = atomic_load_explicit(&most_steps, memory_order_relaxed);

	return most && outboxes_kept() > most * OUTBOX_STEP;
}

uint64_t outboxes_kept(void)
{
	return atomic_load_explicit(&kept, memory_order_relaxed);
}

static bool crowded(void)
{
	uint64_t most = atomic_load_explicit(&most_steps, memory_order_relaxed);

	return most && atomic_load_explicit(&steps, memory_order_relaxed) > most;
}

/* Each caller sees another count of this outbox before and after, so that the steps add up. Returns the one after. */
static uint64_t count_in(struct outbox *ob, uint64_t weight)
{
	uint64_t before = atomic_fetch_add_explicit(&ob->queued, weight, memory_order_relaxed), after = before + weight;

	if (unlikely(before / OUTBOX_STEP != after / OUTBOX_STEP))
		atomic_fetch_add_explicit(&steps, after / OUTBOX_STEP - before / OUTBOX_STEP, memory_order_relaxed);
	return after;
}

static void count_out(struct outbox *ob, uint64_t weight)
{
	uint64_t before = atomic_fetch_sub_explicit(&ob->queued, weight, memory_order_relaxed), after = before - weight;

	if (unlikely(before / OUTBOX_STEP != after / OUTBOX_STEP))
		atomic_fetch_sub_explicit(&steps, before / OUTBOX_STEP - after / OUTBOX_STEP, memory_order_relaxed);
}

void outbox_init(struct outbox *ob, const struct outbox_ops *ops, uint64_t limit)
{
	*ob = (struct outbox){ .ops = ops, .limit = limit };
	atomic_init(&ob->state, 0);
	atomic_init(&ob->refs, 1);
	atomic_init(&ob->queued, 0);
	ob->lost_end = &ob->lost;
	__cds_wfcq_init(&ob->head, &ob->tail);
}

void outbox_ref(struct outbox *ob)
{
	atomic_fetch_add_explicit(&ob->refs, 1, memory_order_relaxed);
}

bool outbox_closed(const struct outbox *ob)
{
	struct outbox *o = (struct outbox *)(uintptr_t)ob;

	return atomic_load_explicit(&o->state, memory_order_acquire) & OB_CLOSED;
}

uint64_t outbox_waiting(const struct outbox *ob)
{
	return outbox_closed(ob) ? 0 : atomic_load_explicit(&((struct outbox *)(uintptr_t)ob)->queued, memory_order_relaxed);
}

uint64_t outbox_room(const struct outbox *ob)
{
	uint64_t waiting = outbox_waiting(ob), most = ob->limit / ROOM_PART;

	return waiting < most ? most - waiting : 0;
}

bool outbox_is_behind(const struct outbox *ob)
{
	return outbox_waiting(ob) > ob->limit / BEHIND_PART;
}

/* A chunk's way out: its notes come back, its bytes leave the count. */
static void chunk_done(struct outbox *ob, struct out_chunk *c, bool written)
{
	struct out_note *note = c->notes;

	count_out(ob, out_chunk_weight(c));
	while (note) {
		struct out_note *next = note->next;
		struct letter *letter = &note->letter;

		note->written = written;
		mailbox_post(note->to, &letter);
		note = next;
	}
	if (written || !ob->keeps) {
		free(c);
		return;
	}
	atomic_fetch_add_explicit(&kept, out_chunk_weight(c), memory_order_relaxed);
	c->notes = NULL;
	c->next = NULL;
	*ob->lost_end = c;
	ob->lost_end = &c->next;
}

bool outbox_lost(struct outbox *ob, struct span *bytes, uint32_t *written)
{
	struct out_chunk *c = ob->lost;

	if (bytes->p && c) {
		ob->lost = c->next;
		atomic_fetch_sub_explicit(&kept, out_chunk_weight(c), memory_order_relaxed);
		free(c);
		c = ob->lost;
	}
	if (!c)
		return false;
	*bytes = span_of(c->bytes, c->used);
	*written = c->off;
	return true;
}

static void forget_chain(struct outbox *ob, struct out_chunk *c)
{
	while (c) {
		struct out_chunk *next = c->next;

		chunk_done(ob, c, false);
		c = next;
	}
}

/* Writer: the next hand-over, or NULL. A hand-over whose thread is between the two halves of its enqueue counts as not
 * there yet: that thread still has to look at state, and will find OB_WRITER or take it. */
static struct out_chunk *dequeue(struct outbox *ob)
{
	struct cds_wfcq_node *node = __cds_wfcq_dequeue_nonblocking(&ob->head, &ob->tail);
	struct out_chunk *c;

	if (!node || node == CDS_WFCQ_WOULDBLOCK)
		return NULL;
	c = caa_container_of(node, struct out_chunk, node);
	tsan_acquire(c);
	return c;
}

/* Writer: drops everything that is there. */
static void forget_all(struct outbox *ob)
{
	struct out_chunk *c = ob->current;

	ob->current = NULL;
	do {
		forget_chain(ob, c);
	} while ((c = dequeue(ob)));
}

/* Writer: fills iov from the chunks at hand, dequeues as long as there is room. Returns how many. */
static int gather(struct outbox *ob, struct iovec *iov)
{
	struct out_chunk **end = &ob->current;
	int n = 0;

	while (n < WRITE_IOV) {
		struct out_chunk *c = *end ? *end : (*end = dequeue(ob));

		if (!c)
			break;
		iov[n++] = (struct iovec){ c->bytes + c->off, c->used - c->off };
		end = &c->next;
	}
	return n;
}

/* Writer: takes n written bytes off the front, and every chunk that holds none any more. */
static void advance(struct outbox *ob, size_t n)
{
	struct out_chunk *c;

	while ((c = ob->current)) {
		size_t left = c->used - c->off;

		if (n < left) {
			c->off += (uint32_t)n;
			return;
		}
		n -= left;
		ob->current = c->next;
		chunk_done(ob, c, true);
	}
}

static enum write_result write_some(struct outbox *ob)
{
	size_t total = 0;

	for (;;) {
		struct iovec iov[WRITE_IOV];
		size_t want = 0;
		ssize_t n = 0;
		int count = gather(ob, iov);

		if (count == 0)
			return WRITE_DRAINED;
		for (int i = 0; i < count; i++)
			want += iov[i].iov_len;
		if (want)
			n = ob->ops->write(ob, iov, count);
		if (n < 0)
			return WRITE_DEAD;
		if (n == 0 && want)
			return WRITE_STUCK;
		advance(ob, (size_t)n);
		total += (size_t)n;
		/* A short write says that the socket is full: asking again would only cost a system call. */
		if ((size_t)n < want || total >= WRITE_TURN_BYTES)
			return WRITE_STUCK;
	}
}

/* Gives OB_WRITER back. False: there is more to do first. */
static bool writer_leave(struct outbox *ob, enum write_result result)
{
	uint32_t s = atomic_load_explicit(&ob->state, memory_order_relaxed), want;

	do {
		if (result == WRITE_STUCK && (s & OB_CLOSED))
			return false;
		if (result == WRITE_DRAINED && (s & OB_MORE))
			return false;
		want = s & ~(OB_WRITER | OB_MORE);
		if (result == WRITE_STUCK)
			want |= OB_BLOCKED;
	} while (!atomic_compare_exchange_weak(&ob->state, &s, want));
	if (result == WRITE_STUCK)
		ob->ops->arm(ob);
	return true;
}

/* Holds OB_WRITER on entry, not on return. */
static void writer_run(struct outbox *ob)
{
	enum write_result result;

	do {
		uint32_t s = atomic_fetch_and(&ob->state, ~OB_MORE);

		result = WRITE_DRAINED;
		if (s & OB_CLOSED)
			forget_all(ob);
		else
			result = write_some(ob);
		if (result == WRITE_DEAD) {
			atomic_fetch_or(&ob->state, OB_CLOSED | OB_MORE);
			result = WRITE_DRAINED;
		}
	} while (!writer_leave(ob, result));
}

/* Sees to it that somebody writes what is queued: this thread if nobody does. */
static void outbox_push(struct outbox *ob, bool acceptor)
{
	uint32_t s = atomic_load_explicit(&ob->state, memory_order_relaxed), want;

	do {
		if ((s & OB_WRITER) || ((s & OB_BLOCKED) && !(s & OB_CLOSED)))
			want = s | OB_MORE;
		else if (ob->by_acceptor && !acceptor && !(s & OB_CLOSED))
			want = s | OB_BLOCKED;
		else
			want = (s | OB_WRITER) & ~OB_BLOCKED;
	} while (!atomic_compare_exchange_weak(&ob->state, &s, want));
	if ((want & OB_WRITER) && !(s & OB_WRITER))
		writer_run(ob);
	else if ((want & OB_BLOCKED) && !(s & OB_BLOCKED))
		ob->ops->arm(ob);
}

bool outbox_shut(struct outbox *ob)
{
	if (atomic_fetch_or(&ob->state, OB_CLOSED) & OB_CLOSED)
		return false;
	/* What is queued stands aside at once: whoever sends it more must not wait for its acceptor. */
	outbox_push(ob, false);
	return true;
}

void outbox_hand_over(struct outbox *ob, struct out_chunk *chain, uint64_t weight)
{
	uint64_t queued = count_in(ob, weight);

	/* Also on a closed outbox: the writer forgets, so that notes come back in order even then. */
	tsan_release(chain);
	cds_wfcq_enqueue(&ob->head, &ob->tail, &chain->node);
	outbox_push(ob, false);
	if (queued > ob->limit && atomic_load_explicit(&ob->queued, memory_order_relaxed) > ob->limit) {
		if (outbox_shut(ob))
			ob->ops->overflow(ob);
	} else if (unlikely(crowded()) && ob->ops->crowded) {
		ob->ops->crowded(ob);
	}
}

void outbox_close(struct outbox *ob)
{
	atomic_fetch_or(&ob->state, OB_CLOSED);
	outbox_push(ob, true);
}

void outbox_writable(struct outbox *ob)
{
	atomic_fetch_and(&ob->state, ~OB_BLOCKED);
	outbox_push(ob, true);
}

void outbox_unref(struct outbox **obp)
{
	struct outbox *ob = *obp;

	*obp = NULL;
	if (!ob || atomic_fetch_sub_explicit(&ob->refs, 1, memory_order_acq_rel) != 1)
		return;
	forget_all(ob);
	ob->ops->free(ob);
}
