/* index.h - a shard's own way to its users and sessions: open addressing, so that a whole burst's look-ups can be prefetched together.
 * A slot is one word: the item's address and what of its hash fits beside it.
 * Threads: the shard's own; index_has_any() of a shared one any thread that is registered with RCU.
 * Owns: its slots; what they point at is the shard's.
 */
#ifndef SHARDSM_SHARD_INDEX_H
#define SHARDSM_SHARD_INDEX_H

#include <stdatomic.h>

#include "shardsm/span.h"

/* An address of user space is below 2^48 and an item's is a multiple of 16: 44 bits of it, above them the lowest 20 of the hash. 0: free. */
struct index_slot { _Atomic uint64_t word; };
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

/* One of the parts that the index grows by: what a doubling costs at a time stays small. Slots and their number are one word, so that other
 * threads never see those of two tables: the address, a multiple of 64, and in its lowest bits the number's logarithm. */
struct index_part {
	_Atomic uintptr_t table;  /* 0: none yet */
	uint32_t used;
	_Atomic uint32_t changes; /* odd while items are moved */
};

#define INDEX_PARTS 512u
#define INDEX_SLOTS_BITS 63u

struct index {
	struct index_part parts[INDEX_PARTS];
	bool shared; /* other threads look too: slots that were outgrown live until a grace period is over */
};

static inline struct index_slot *index_slots(uintptr_t table) { return (struct index_slot *)(table & ~(uintptr_t)INDEX_SLOTS_BITS); }
static inline uint32_t index_mask(uintptr_t table) { return (1u << (table & INDEX_SLOTS_BITS)) - 1; }
static inline uint64_t index_read(const struct index_slot *slot)
{
	return atomic_load_explicit(&((struct index_slot *)(uintptr_t)slot)->word, memory_order_relaxed);
}

void index_fini(struct index *index);
bool index_add(struct index *index, uint64_t hash, void *item) MUST_USE; /* item: malloc'd. False: no memory */
void index_remove(struct index *index, uint64_t hash, const void *item);
/* Every item; fn must not change the index. */
void index_each(const struct index *index, void (*fn)(void *item, void *arg), void *arg);
/* Of a shared index: is there an item with this hash? Yes for certain if there is; seldom also if there is none. */
bool index_has_any(struct index *index, uint64_t hash);

/* The shard was picked by the highest 32 bits, the place in the part is picked by the lowest, those between pick the part. */
static inline struct index_part *index_part(struct index *index, uint64_t hash)
{
	return &index->parts[hash >> INDEX_HASH_BITS & (INDEX_PARTS - 1)];
}

/* The slot where a look for this hash begins, to be prefetched; NULL: there is none. */
static inline const struct index_slot *index_home(struct index *index, uint64_t hash)
{
	uintptr_t table = atomic_load_explicit(&index_part(index, hash)->table, memory_order_relaxed);

	return table ? &index_slots(table)[hash & index_mask(table)] : NULL;
}

static inline void index_prefetch(struct index *index, uint64_t hash)
{
	__builtin_prefetch(index_home(index, hash));
}

/* The items with this hash, one after the other: *at starts as NULL. Seldom another one is among them: that the item is the one meant is the
 * caller's to check. NULL: no more. */
static inline void *index_next(struct index *index, uint64_t hash, const struct index_slot **at)
{
	uintptr_t table = atomic_load_explicit(&index_part(index, hash)->table, memory_order_relaxed);
	const struct index_slot *slots = index_slots(table), *slot;
	uint32_t mask = index_mask(table);
	uint64_t word;

	if (!table)
		return NULL;
	slot = *at ? *at + 1 : &slots[hash & mask];
	for (;; slot++) {
		if (slot > &slots[mask])
			slot = slots;
		word = index_read(slot);
		if (!word)
			return NULL;
		if (index_word_hash(word) == INDEX_HASH(hash))
			break;
	}
	*at = slot;
	return index_word_item(word);
}

#endif
