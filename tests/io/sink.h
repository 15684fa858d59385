/* sink.h - a link that tests can see through: what was written, in how large pieces, when it is full.
 * Threads: write by whoever holds the outbox's writer flag; the counters are atomic.
 * Owns: the bytes written.
 */
#ifndef TESTS_IO_SINK_H
#define TESTS_IO_SINK_H

#include "shardsm/outbox.h"

struct sink {
	struct outbox ob; /* first */
	char *bytes;
	size_t n, cap;
	size_t piece;             /* at most this much in one write; 0: no limit */
	_Atomic bool full, dead;  /* would block; broken */
	unsigned every;           /* would block once in so many writes; 0: never by itself */
	unsigned writes;
	_Atomic int writing;      /* writers inside write(): more than one is a bug */
	_Atomic int clashes;
	_Atomic unsigned armed, overflows, freed;
	void (*on_arm)(struct sink *s);
	void (*on_write)(struct sink *s); /* inside write(), before anything is taken */
};

void sink_init(struct sink *s, uint64_t limit);
void sink_fini(struct sink *s);
static inline struct span sink_span(const struct sink *s) { return span_of(s->bytes, s->n); }

#endif
