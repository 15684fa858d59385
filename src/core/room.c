/* room.c - bytes that wait before a thread: counted, bounded by the time that they take, and told when they have become fewer.
 * Threads: any; see room.h.
 * Owns: letters of those who asked, until they are posted.
 *
 * Who asks puts its letter in and says below what, then looks at the count; the owner lowers the count, then looks whether somebody asked.
 * One of the two sees the other.
 */
#include "shardsm/room.h"

#define PACE_KEPT 8 /* a burst counts for one of so many in what is held to be the pace */

static _Atomic uint32_t full; /* mailboxes over their share; written only when one comes there or leaves */

void mailbox_came(struct mailbox *mb, uint64_t bytes)
{
	uint64_t now = atomic_fetch_add_explicit(&mb->bytes, bytes, memory_order_relaxed) + bytes;

	if (unlikely(now > mailbox_share(mb)) && !atomic_load_explicit(&mb->over, memory_order_relaxed) && !atomic_exchange(&mb->over, true))
		atomic_fetch_add_explicit(&full, 1, memory_order_relaxed);
}

static void tell(struct mailbox *mb)
{
	struct room_letter *w, *next;

	atomic_store(&mb->tell_below, 0);
	for (w = atomic_exchange(&mb->asking, NULL); w; w = next) {
		struct letter *letter = &w->letter;

		next = w->next;
		mailbox_post(w->to, &letter);
	}
}

static void no_longer_over(struct mailbox *mb)
{
	if (atomic_exchange(&mb->over, false))
		atomic_fetch_sub_explicit(&full, 1, memory_order_relaxed);
}

void mailbox_went(struct mailbox *mb, uint64_t bytes)
{
	uint64_t now = atomic_fetch_sub(&mb->bytes, bytes) - bytes;

	if (unlikely(atomic_load_explicit(&mb->over, memory_order_relaxed)) && now <= mailbox_share(mb))
		no_longer_over(mb);
	if (unlikely(now < atomic_load(&mb->tell_below)))
		tell(mb);
}

void mailbox_ask_room(struct mailbox *mb, struct room_letter *letter, uint64_t below)
{
	uint64_t was;

	if (letter) {
		letter->letter.kind = LETTER_ROOM;
		letter->next = atomic_load(&mb->asking);
		while (!atomic_compare_exchange_weak(&mb->asking, &letter->next, letter))
			;
	}
	/* Only now: who clears it afterwards takes the letters after that, this one with them. */
	was = atomic_load(&mb->tell_below);
	while (was < below && !atomic_compare_exchange_weak(&mb->tell_below, &was, below))
		;
	if (atomic_load(&mb->bytes) < below)
		tell(mb);
}

void mailbox_tell_nobody(struct mailbox *mb)
{
	atomic_store(&mb->tell_below, 0);
	atomic_store(&mb->asking, NULL);
}

void mailbox_pace(struct mailbox *mb, uint64_t bytes, uint64_t us)
{
	uint64_t was = mailbox_share(mb), now = us ? bytes * SHARE_US / us : SHARE_MOST;

	if (now > SHARE_MOST)
		now = SHARE_MOST;
	now = was - was / PACE_KEPT + now / PACE_KEPT;
	atomic_store_explicit(&mb->share, now > SHARE_LEAST ? now : SHARE_LEAST, memory_order_relaxed);
}

bool mailboxes_full(void)
{
	return atomic_load_explicit(&full, memory_order_relaxed) != 0;
}
