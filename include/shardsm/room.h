/* room.h - how much waits before a thread, how much of it those who send much may fill, and who is told when there is room again.
 * Threads: any adds and asks; a mailbox's owner takes away and says how fast it is.
 * Owns: a letter that was given to mailbox_ask_room() is the mailbox's until it comes.
 */
#ifndef SHARDSM_ROOM_H
#define SHARDSM_ROOM_H

#include "shardsm/mailbox.h"

/* What links that send much may have before a shard, all of them together: what others then wait for. It is what the shard works off in
 * SHARE_US, within these bounds: with less it would be without work before a link that was held is read again. */
#define SHARE_US 200
#define SHARE_LEAST (32u * 1024)
#define SHARE_MOST (512u * 1024)

struct room_letter {
	struct letter letter;     /* LETTER_ROOM */
	struct mailbox *to;       /* who asks */
	struct room_letter *next; /* the asked mailbox's own */
};

/* Bytes of batches that are on the way to a mailbox or in work there. */
static inline uint64_t mailbox_load(const struct mailbox *mb)
{
	return atomic_load_explicit(&((struct mailbox *)(uintptr_t)mb)->bytes, memory_order_relaxed);
}

static inline uint64_t mailbox_share(const struct mailbox *mb)
{
	return atomic_load_explicit(&((struct mailbox *)(uintptr_t)mb)->share, memory_order_relaxed);
}

void mailbox_came(struct mailbox *mb, uint64_t bytes);
void mailbox_went(struct mailbox *mb, uint64_t bytes); /* the owner */
/* The owner: it took so many microseconds to work so much off. */
void mailbox_pace(struct mailbox *mb, uint64_t bytes, uint64_t us);

/* Wants to be told, once, when fewer bytes than that wait; at once, if that is so already. Others may be told too early by it: look again.
 * letter NULL: it was given before and has not come yet. */
void mailbox_ask_room(struct mailbox *mb, struct room_letter *letter, uint64_t below);
/* Nobody is told any more. While nobody asks. */
void mailbox_tell_nobody(struct mailbox *mb);

/* Has any mailbox more before it than its share? Costs nothing that is shared while none has: the way of a packet is looked at only then. */
bool mailboxes_full(void);

#endif
