/* index.h - a shard's own way to its users and sessions, beside the published tables: open addressing, so that a whole burst's look-ups can be
 * prefetched together. What it finds first is what the published table would find, at a third of the time when a million are there.
 * Threads: the shard's own.
 * Owns: its slots; what they point at is the shard's.
 */
#ifndef SHARDSM_SHARD_INDEX_H
#define SHARDSM_SHARD_INDEX_H

#include "shardsm/span.h"

struct index_slot {
	uint64_t hash;
	void *item; /* NULL: free */
};

/* One of the parts that the index grows by: what a doubling costs at a time stays small. */
struct index_part {
	struct index_slot *slots;
	uint32_t mask, used;
};

#define INDEX_PARTS 64u

struct index {
	struct index_part parts[INDEX_PARTS];
};

void index_fini(struct index *index);
bool index_add(struct index *index, uint64_t hash, void *item) MUST_USE; /* false: no memory */
void index_remove(struct index *index, uint64_t hash, const void *item);

/* The high bits pick the part: the shard was picked by the highest 32, the place in the part is picked by the lowest. */
static inline struct index_part *index_part(struct index *index, uint64_t hash)
{
	return &index->parts[hash >> 20 & (INDEX_PARTS - 1)];
}

static inline void index_prefetch(struct index *index, uint64_t hash)
{
	const struct index_part *part = index_part(index, hash);

	if (part->slots)
		__builtin_prefetch(&part->slots[hash & part->mask]);
}

/* The items with this hash, one after the other: *at starts as NULL. Nobody else's hash is ever seen; that the item is the one meant is the
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
		if (!slot->item)
			return NULL;
		if (slot->hash == hash)
			break;
	}
	*at = slot;
	return slot->item;
}

#endif
