/* hash.h - keyed hashing (SipHash-1-3, key from the kernel at start) and unguessable bytes.
 * Threads: any, after hash_init(). hash_random() keeps a per-thread pool.
 *
 * A place that bytes of a peer's choice lead to is found by hash_bytes() and nothing else: users and sessions (shard/index), names
 * (core/names), failed logins (io/penalty), who was told of a vacation, asked for a mail or has a row elsewhere, published rosters
 * (these last of one size). The rest is sorted (rosters, sets of JIDs) or bounded and walked (requests for subscription, a link's shapes).
 */
#ifndef SHARDSM_HASH_H
#define SHARDSM_HASH_H

#include "shardsm/span.h"

void hash_init(void);                     /* once, before any thread; exits when the kernel gives no random bytes */
uint64_t hash_bytes(struct span bytes);
bool hash_random(void *out, size_t n) MUST_USE;    /* getrandom() */
bool hash_equal_secret(struct span a, struct span b); /* constant time for equal lengths */

/* A user's tag: the part of its hash that session ids carry, and that picks the shard. */
static inline uint32_t hash_tag(uint64_t hash) { return (uint32_t)(hash >> 32); }
static inline uint32_t shard_of_tag(uint32_t tag, uint32_t nshards) { return (uint32_t)(((uint64_t)tag * nshards) >> 32); }
/* The one place that says where a JID's user lives. bare: prepared. */
static inline uint32_t shard_of(struct span bare, uint32_t nshards) { return shard_of_tag(hash_tag(hash_bytes(bare)), nshards); }

/* Session ids on the wire: 40 lower-case hex digits, the user's tag (8) and 128 random bits (32). */
#define SM_ID_HEX 40
struct sm_id {
	uint32_t tag;
	uint64_t random[2];
};
bool sm_id_new(struct sm_id *id, uint32_t tag) MUST_USE;
void sm_id_print(const struct sm_id *id, char out[static SM_ID_HEX]);
bool sm_id_parse(struct sm_id *id, struct span hex) MUST_USE;
bool sm_id_tag(struct span hex, uint32_t *tag) MUST_USE; /* the tag alone: what picks the shard */
static inline bool sm_id_same(const struct sm_id *a, const struct sm_id *b)
{
	return ((a->random[0] ^ b->random[0]) | (a->random[1] ^ b->random[1]) | (a->tag ^ b->tag)) == 0;
}

#endif
