/* mailbox.h - how threads talk: wait-free queues of letters, one wake per burst.
 * Threads: anyone posts, the owner alone takes.
 * Owns: a letter belongs to the poster until mailbox_post(), to the mailbox's owner after.
 */
#ifndef SHARDSM_MAILBOX_H
#define SHARDSM_MAILBOX_H

#include <stdatomic.h>
#include <urcu/wfcqueue.h>

#include "shardsm/span.h"

enum letter_kind {
	LETTER_BATCH,     /* struct batch: packets */
	LETTER_STORE,     /* struct store_req: a request, or its answer */
	LETTER_WRITTEN,   /* struct out_note: what an outbox held has been written, or never will be */
	LETTER_PEER_GONE, /* struct peer_gone: a component, or a link with all behind it, is gone */
	LETTER_PEER_HERE, /* struct peer_gone too: a component advertised itself */
	LETTER_LINK,      /* io's own: a fresh socket, an outbox that wants its acceptor */
	LETTER_STOP,      /* finish what is queued, then stop */
	LETTER_EXIT,      /* to a shard: end the thread */
	LETTER_JOB,       /* to a shard: a function to run there */
	LETTER_ROUND,     /* from shard to shard and back: all have worked off what they had been sent before */
	LETTER_ASK,       /* to a shard and back: struct server_answer */
	LETTER_HALT,      /* see standstill.h */
	LETTER_ROOM,      /* struct room_letter: where it asked there is room again */
	LETTER_MAIL,      /* struct mail: to be sent; back again: it cannot be */
	LETTER_FREE,      /* free for a thread's own use, and tests */
};

/* First member of everything that is posted. */
struct letter {
	struct cds_wfcq_node node;
	uint32_t kind; /* enum letter_kind */
};

/* An owner that sleeps is woken by every post, one that dozes not by mailbox_post_quiet(). */
enum mailbox_sleep { MAILBOX_AWAKE, MAILBOX_SLEEPS, MAILBOX_DOZES };

struct mailbox {
	struct __cds_wfcq_head head __attribute__((aligned(64)));
	struct cds_wfcq_tail tail __attribute__((aligned(64)));
	_Atomic int sleeping;        /* enum mailbox_sleep */
	int fd;                      /* eventfd, for an owner that sleeps in epoll */
	const char *name;            /* "shard 3" */
	/* room.h's: batches on the way or in work, what of them those who send much may fill, who waits for less */
	_Atomic uint64_t bytes __attribute__((aligned(64)));
	_Atomic uint64_t share, tell_below;
	_Atomic bool over;
	struct room_letter *_Atomic asking;
};

bool mailbox_init(struct mailbox *mb, const char *name) MUST_USE;
void mailbox_fini(struct mailbox *mb);

/* Posts and clears the caller's pointer. Wakes the owner if it sleeps. Never fails, never blocks. */
void mailbox_post(struct mailbox *mb, struct letter **letter);
/* The same, for what can wait until an owner that dozes has slept enough. */
void mailbox_post_quiet(struct mailbox *mb, struct letter **letter);

/* Letters to one mailbox that are posted together: what a post costs beside the letter is paid once. One thread's. */
struct letter_chain {
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
};
void letter_chain_init(struct letter_chain *chain);
void letter_chain_add(struct letter_chain *chain, struct letter **letter); /* clears the caller's pointer */
void mailbox_post_chain(struct mailbox *mb, struct letter_chain *chain);   /* leaves it empty */

/* Owner: everything posted so far, in order, or NULL. mailbox_next() walks it; a letter may be freed once its successor was asked for. */
struct letter *mailbox_take(struct mailbox *mb, struct letter **last);
struct letter *mailbox_next(struct letter *letter, struct letter *last);

/* Owner: says that it is about to sleep on fd; false: something is there, do not. After waking, mailbox_woken(). */
bool mailbox_may_sleep(struct mailbox *mb);
void mailbox_woken(struct mailbox *mb);

/* Owner: sleeps until a letter is there or ms have passed (-1: no limit). The caller is offline for RCU meanwhile. */
void mailbox_wait(struct mailbox *mb, int ms);
/* The same, but not for letters that are posted quietly meanwhile. */
void mailbox_doze(struct mailbox *mb, int ms);

#endif
