/* out_chunk.h - what a tray hands to an outbox; private to outbox.c and out_tray.c.
 * Threads: a chunk belongs to its tray's thread, after the hand-over to the outbox's writer.
 * Owns: a chunk is one allocation; its notes go back to their mailboxes when it is done.
 */
#ifndef CORE_OUT_CHUNK_H
#define CORE_OUT_CHUNK_H

#include <sys/uio.h>

#include "shardsm/outbox.h"

enum {
	OB_WRITER = 1,   /* somebody dequeues and writes */
	OB_MORE = 2,     /* something was handed over meanwhile */
	OB_BLOCKED = 4,  /* the socket is full, the acceptor was asked to say when it is not */
	OB_CLOSED = 8,   /* nothing is written any more; whoever writes forgets */
};

struct out_chunk {
	struct cds_wfcq_node node; /* of the first chunk of a hand-over */
	struct out_chunk *next;    /* of the same hand-over; then of the writer's list */
	struct out_note *notes, *last_note; /* come back when this chunk is done */
	uint32_t cap, used, off;   /* off: written already */
	char bytes[];
};

/* What a chunk counts for in outbox.queued. */
static inline uint64_t out_chunk_weight(const struct out_chunk *c) { return sizeof *c + c->used; }

/* Takes a chain whose weights add up to weight, in one piece: nobody else's bytes come between its chunks. */
void outbox_hand_over(struct outbox *ob, struct out_chunk *chain, uint64_t weight);

#endif
