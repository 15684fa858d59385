/* outbox.h - bytes on their way to a link: appended by shards and acceptors, written by whoever is free to.
 * Threads: any thread appends through its own tray; one at a time writes (a flag, not a lock per packet).
 * Owns: chunks belong to the outbox once flushed. An outbox is counted: the link holds one reference, everything that keeps it past a
 * burst holds one of its own. A closed outbox takes appends and forgets them, or keeps them aside; its notes come back as not written.
 */
#ifndef SHARDSM_OUTBOX_H
#define SHARDSM_OUTBOX_H

#include <sys/types.h>
#include <sys/uio.h>

#include "shardsm/mailbox.h"

struct outbox;

struct outbox_ops {
	/* Writes iov to the link. Returns bytes written, 0: would block (ops->arm will be called), -1: the link is dead. */
	ssize_t (*write)(struct outbox *ob, const struct iovec *iov, int n);
	/* Asks the link's acceptor to call outbox_writable() when the socket takes bytes again. Any thread. */
	void (*arm)(struct outbox *ob);
	/* Any thread, once: the outbox passed its limit and closed itself; the link must be closed (by its acceptor). */
	void (*overflow)(struct outbox *ob);
	/* The last reference is gone. */
	void (*free)(struct outbox *ob);
	/* Any thread: more waits in all outboxes together than may, this one has got some more. Again until it is less. NULL: nobody minds. */
	void (*crowded)(struct outbox *ob);
};

struct outbox {
	struct __cds_wfcq_head head __attribute__((aligned(64)));
	struct cds_wfcq_tail tail __attribute__((aligned(64)));
	_Atomic uint32_t state;         /* idle, writing, writing with more to do, blocked, closed */
	_Atomic uint32_t refs;
	_Atomic uint64_t queued;        /* bytes handed over and not written yet */
	uint64_t limit;                 /* overflow past this */
	const struct outbox_ops *ops;
	bool accept;                    /* a XEP-0114 link: stanzas without <route>, namespace NS_ACCEPT */
	bool by_acceptor;               /* only the link's acceptor may write (TLS): flushing calls arm instead */
	char name[64];                  /* for logs: "127.0.0.1:5347 (router)" */
	struct out_chunk *current;      /* the writer's own: partly written */
	bool keeps;                     /* what was not written is kept for outbox_lost(); set before others know the outbox */
	struct out_chunk *lost, **lost_end; /* the writer's own */
};

void outbox_init(struct outbox *ob, const struct outbox_ops *ops, uint64_t limit);
void outbox_ref(struct outbox *ob);
void outbox_unref(struct outbox **ob);
void outbox_close(struct outbox *ob);    /* the link's acceptor: nothing is written any more, notes come back failed */
void outbox_writable(struct outbox *ob); /* the link's acceptor: try again */
bool outbox_shut(struct outbox *ob);     /* any thread: the same; whoever asked must see to it that the acceptor closes the link. False: it was closed */
bool outbox_closed(const struct outbox *ob);
/* Any thread. Bytes until a quarter of its limit waits: from there on nothing is begun that makes it more. A closed one has room for anything. */
uint64_t outbox_room(const struct outbox *ob);
bool outbox_is_behind(const struct outbox *ob); /* half of its limit waits: what was begun before does not go on either */
uint64_t outbox_waiting(const struct outbox *ob); /* any thread: bytes to be written; of a closed one 0, it forgets what it has, or has done so */
/* From ops->free on: what was handed over and not written to its end, chunk by chunk in that order, and how much of the chunk was written.
 * What was reserved in one piece is in one chunk. The bytes live until the next call. False: that was all. */
bool outbox_lost(struct outbox *ob, struct span *bytes, uint32_t *written);

/* What may wait in all outboxes together, 0: any number of bytes. Each is counted in whole steps, so that those that are written as fast as they
 * are filled share no count: OUTBOX_STEP for each of them may wait besides. */
#define OUTBOX_STEP ((uint64_t)1 << 20)
void outboxes_limit(uint64_t bytes);
uint64_t outboxes_kept(void);     /* bytes that closed ones keep for outbox_lost() */
bool outboxes_keep_much(void);    /* more than may wait in all together */

/* Posted to a mailbox when everything that its thread had appended before has been handed to the kernel, or never will be. */
struct out_note {
	struct letter letter;       /* LETTER_WRITTEN */
	struct mailbox *to;
	struct out_note *next;      /* outbox's own */
	bool written;               /* false: the link died first */
	uint64_t token;             /* the poster's */
};

/* One thread's open chunks, one per outbox that it wrote to in this burst. */
struct out_tray;
struct out_tray *out_tray_new(void) MUST_USE;
void out_tray_free(struct out_tray **tray); /* flushes first */

/* Room for n contiguous bytes behind what this thread appended to ob in this burst; commit says how many were used. NULL: no
 * memory. One reservation at a time. */
char *out_reserve(struct out_tray *tray, struct outbox *ob, size_t n) MUST_USE;
void out_commit(struct out_tray *tray, struct outbox *ob, size_t used);
bool out_put(struct out_tray *tray, struct outbox *ob, struct span bytes) MUST_USE; /* reserve, copy, commit */
/* Hands the note over with what was appended so far; takes it. False: no memory (the note stays the caller's). */
bool out_note(struct out_tray *tray, struct outbox *ob, struct out_note **note) MUST_USE;
/* End of the burst: hands every open chunk over and writes where nobody else is writing. */
void out_flush(struct out_tray *tray);
/* Between two packets: what is much for one outbox is handed over before the burst ends, so that it is counted there, and written meanwhile.
 * Returns how often that was so. */
uint32_t out_relieve(struct out_tray *tray);
/* Was ob behind when this burst came to it, or after that was handed over early? For each packet: outbox_is_behind() reads what others write. */
bool out_is_behind(struct out_tray *tray, struct outbox *ob);

#endif
