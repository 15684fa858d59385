/* index.h - a shard's own way to its users and sessions: open addressing, so that a whole burst's look-ups can be prefetched together.
 * A slot is one word: the item's address and what of its hash fits beside it.
 * Threads: the shard's own.
 * Owns: its slots; what they point at is the shard's.
 */
#ifndef SHARDSM_SHARD_INDEX_H
#define SHARDSM_SHARD_INDEX_H

#include "shardsm/span.h"

/* An address of user space is below 2^48 and an item's is a multiple of 16: 44 bits of it, above them the lowest 20 of the hash. 0: free. */
struct index_slot { uint64_t word; };
#define INDEX_HASH_BITS 20
#define INDEX_HASH(hash) ((hash) & ((UINT64_C(1) << INDEX_HASH_BITS) - 1))

static inline uint64_t index_word(uint64_t hash, const void *item)
{
	return INDEX_HASH(hash) << (64 - INDEX_HASH_BITS) | (uint64_t)(uintptr_t)item >> 4;
}
static inline uint64_t index_word_hash(uint64_t word) { return word >> (64 - INDEX_HASH_BITS); }
static inline void *index_word_item(uint64_t word)
{
	return (void *)(uintptr_t)((word << INDEX_HASH_BITS) >> (INDEX_HASH_BITS - 4));
}

/* One of the parts that the index grows by: what a doubling costs at a time stays small. */
struct index_part {
	struct index_slot *slots;
	uint32_t mask, used;
};

#define INDEX_PARTS 512u

struct index {
	struct index_part parts[INDEX_PARTS];
};

void index_fini(struct index *index);
bool index_add(struct index *index, uint64_t hash, void *item) MUST_USE; /* item: malloc'd. False: no memory */
void index_remove(struct index *index, uint64_t hash, const void *item);

/* The shard was picked by the highest 32 bits, the place in the part is picked by the lowest, those between pick the part. */
static inline struct index_part *index_part(struct index *index, uint64_t hash)
{
	return &index->parts[hash >> INDEX_HASH_BITS & (INDEX_PARTS - 1)];
}

static inline void index_prefetch(struct index *index, uint64_t hash)
{
	const struct index_part *part = index_part(index, hash);

	if (part->slots)
		__builtin_prefetch(&part->slots[hash & part->mask]);
}

/* The items with this hash, one after the other: *at starts as NULL. Seldom another one is among them: that the item is the one meant is the
 * caller's to check. NULL: no more. */
static inline void *index_next(struct index *index, uint64_t hash, const struct index_slot **at)
{
	const struct index_part *part = index_part(index, hash);
	const struct index_slot *slot;

	if (!part->slots)
		return NULL;
	slot = *at ? *at + 1 : &part->slots[hash & part->mask];
	for (;; slot++) {
		if (slot > &part->slots[part->mask])
			slot = part->slots;
		if (!slot->word)
			return NULL;
		if (index_word_hash(slot->word) == INDEX_HASH(hash))
			break;
	}
	*at = slot;
	return index_word_item(slot->word);
}

#endif
