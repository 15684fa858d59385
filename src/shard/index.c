/* index.c - open addressing with linear probing; what is removed leaves no trace.
 * Threads: the shard's own.
 * Owns: the slots of each part.
 */
#include <assert.h>
#include <stdlib.h>

#include "shard/index.h"

#define PART_FIRST 16u
#define PART_MAX (1u << INDEX_HASH_BITS) /* slots: a place is picked by bits that the slot holds */

void index_fini(struct index *index)
{
	for (uint32_t i = 0; i < INDEX_PARTS; i++)
		free(index->parts[i].slots);
	memset(index, 0, sizeof(*index));
}

static void place(struct index_part *part, uint64_t word)
{
	uint32_t i = (uint32_t)index_word_hash(word) & part->mask;

	while (part->slots[i].word)
		i = (i + 1) & part->mask;
	part->slots[i].word = word;
	part->used++;
}

/* At most three of four slots are ever taken, so every probe ends. */
static bool make_room(struct index_part *part)
{
	uint32_t old = part->slots ? part->mask + 1 : 0, size = old ? old * 2 : PART_FIRST;
	struct index_slot *slots = part->slots;

	if (old && (part->used + 1) * 4 <= old * 3)
		return true;
	if (size > PART_MAX)
		return false; /* of a shard with some hundred million */
	part->slots = calloc(size, sizeof(*part->slots));
	if (!part->slots) {
		part->slots = slots;
		return false;
	}
	part->mask = size - 1;
	part->used = 0;
	for (uint32_t i = 0; i < old; i++)
		if (slots[i].word)
			place(part, slots[i].word);
	free(slots);
	return true;
}

bool index_add(struct index *index, uint64_t hash, void *item)
{
	struct index_part *part = index_part(index, hash);

	assert(((uintptr_t)item & 15) == 0 && (uintptr_t)item >> 48 == 0);
	if (!make_room(part))
		return false;
	place(part, index_word(hash, item));
	return true;
}

/* Those that were pushed on by the removed one move back (Knuth, volume 3, algorithm 6.4R). */
static void close_gap(struct index_part *part, uint32_t gap)
{
	for (uint32_t i = (gap + 1) & part->mask; part->slots[i].word; i = (i + 1) & part->mask) {
		uint32_t home = (uint32_t)index_word_hash(part->slots[i].word) & part->mask;

		if (((i - home) & part->mask) >= ((i - gap) & part->mask)) {
			part->slots[gap] = part->slots[i];
			gap = i;
		}
	}
	part->slots[gap].word = 0;
}

void index_remove(struct index *index, uint64_t hash, const void *item)
{
	struct index_part *part = index_part(index, hash);
	uint32_t i = (uint32_t)hash & part->mask;

	if (!part->slots)
		return;
	while (part->slots[i].word && part->slots[i].word != index_word(hash, item))
		i = (i + 1) & part->mask;
	if (!part->slots[i].word)
		return;
	close_gap(part, i);
	part->used--;
}
