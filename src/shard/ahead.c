/* ahead.c - what the packets that come next will look up is fetched into the caches, for a burst of them at once.
 * Threads: the owning shard's.
 * Owns: nothing; a user or a session that was found here lives until the turn is over, whatever becomes of it meanwhile.
 *
 * At a million users every look-up misses the caches, and the TLB with them, three times, each waiting for the one before: the index's slot
 * says where the session is, the session where its user is. So a burst goes through one level after the other. Within a level the misses
 * overlap, but only as many as the processor has instructions in hand: a page's walk holds up what stands behind it, and so the passes over
 * the burst are short loops with nothing else in them.
 */
#include "shard/shard.h"

SHARD_THREAD_BEGIN

/* To the compiler a function that only prefetches does nothing, and it drops the call. */
#define PREFETCHES inline __attribute__((always_inline))

/* From an address that need not be anybody's: a user without a session is asked for the one at NULL. */
static PREFETCHES void prefetch_bytes(uintptr_t at, size_t n)
{
	for (size_t i = 0; i < n; i += 64)
		__builtin_prefetch((const void *)(at + i));
	__builtin_prefetch((const void *)(at + n - 1)); /* what begins within a line ends in one more */
}

#define USER_END (sizeof(struct user) - offsetof(struct user, owner)) /* what a message reads of a user */
#define TEXTS 32                                                      /* a usual full JID and c2s's id */

/* What a message reads of its sender's session, or of its addressee's, and of the user in front of it. */
static PREFETCHES void prefetch_session(const struct session *s)
{
	prefetch_bytes((uintptr_t)s - USER_END, USER_END + sizeof(*s) + TEXTS);
}

/* What a message reads of their users, and of the session behind it. */
static PREFETCHES void prefetch_user_end(const struct user *u)
{
	prefetch_bytes((uintptr_t)u + offsetof(struct user, owner), USER_END + sizeof(struct session) + TEXTS);
}

static PREFETCHES void prefetch_user(const struct user *u)
{
	prefetch_bytes((uintptr_t)u, sizeof(*u) + sizeof(struct session) + TEXTS);
}

/* --- the packets of a turn ------------------------------------------------------------------------------------------------ */

struct look_up {
	struct index *index;
	uint64_t hash;     /* 0: nothing is looked up */
	const void *found; /* its slot, then its session or user */
};

/* To the first packet of this letter, or of one behind it. */
static void seek(struct ahead *a, struct letter *l)
{
	a->packet = NULL;
	for (; l; l = mailbox_next(l, a->last)) {
		a->batch = (struct batch *)l;
		if (l->kind == LETTER_BATCH && (a->packet = batch_first(a->batch)))
			return;
	}
}

void ahead_begin(struct ahead *a, struct shard *shard, struct letter *first, struct letter *last)
{
	*a = (struct ahead){ .shard = shard, .last = last };
	seek(a, first);
}

/* What the next packets will look up. A batch is freed once its last packet was worked off: it is left here as soon as that was seen. */
static uint32_t next_burst(struct ahead *a, struct look_up *burst)
{
	struct shard *shard = a->shard;
	uint32_t n = 0;

	for (; a->packet && n < BURST_MAX; n++) {
		struct packet *p = a->packet;
		bool session = p->stage == STAGE_IN && packet_session(p);

		burst[n].index = session ? &shard->own_sessions : &shard->own_users;
		burst[n].hash = session ? p->session.random[0] : p->many ? 0 : p->hash;
		burst[n].found = index_home(burst[n].index, burst[n].hash);
		a->packet = batch_next(a->batch, p);
		if (!a->packet)
			seek(a, mailbox_next(&a->batch->letter, a->last));
	}
	return n;
}

static void fetch_burst(const struct shard *shard, struct look_up *burst, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(burst[i].found);
	for (uint32_t i = 0; i < n; i++) {
		const struct index_slot *at = NULL;

		burst[i].found = burst[i].hash ? index_next(burst[i].index, burst[i].hash, &at) : NULL;
		if (burst[i].found && burst[i].index == &shard->own_sessions)
			prefetch_session(burst[i].found);
		else if (burst[i].found)
			prefetch_user_end(burst[i].found);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (burst[i].found && burst[i].index == &shard->own_sessions)
			prefetch_user_end(((const struct session *)burst[i].found)->user);
		else if (burst[i].found)
			prefetch_session(((const struct user *)burst[i].found)->sessions);
	}
}

void ahead_step(struct ahead *a)
{
	struct look_up burst[BURST_MAX];

	if (!a->left) {
		a->left = next_burst(a, burst);
		fetch_burst(a->shard, burst, a->left);
	}
	a->left--;
}

/* --- the addressees of one packet ------------------------------------------------------------------------------------------- */

void prefetch_users(struct shard *shard, const uint64_t *hashes, struct user **users, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		index_prefetch(&shard->own_users, hashes[i]);
	for (uint32_t i = 0; i < n; i++) {
		const struct index_slot *at = NULL;

		users[i] = index_next(&shard->own_users, hashes[i], &at);
		if (users[i])
			prefetch_user(users[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		if (users[i])
			prefetch_session(users[i]->sessions);
}

SHARD_THREAD_END
