/* index.c - open addressing with linear probing; what is removed leaves no trace.
 * Threads: the shard's own; index_has_any() any.
 * Owns: the slots of each part.
 *
 * A shared index is read while its owner changes it. Adding disturbs nobody. Removing moves items back, and who looks meanwhile may pass the
 * place that an item is about to move to before it has come, and the one that it left after it went: a look that found nothing is believed
 * only when nothing was moved since it began. Else the answer is yes, which costs a packet to nobody; asking again could take as long as
 * the owner sleeps.
 */
#include <assert.h>
#include <stdlib.h>

#include "shard/index.h"
#include "shardsm/rcu.h"

#define PART_FIRST_BITS 4u
#define SLOTS_ALIGN 64u

void index_fini(struct index *index)
{
	for (uint32_t i = 0; i < INDEX_PARTS; i++) {
		free(index_slots(index->parts[i].table));
		index->parts[i] = (struct index_part){ 0 };
	}
}

static void put_word(struct index_slot *slots, uint32_t mask, uint64_t word)
{
	uint32_t i = (uint32_t)index_word_hash(word) & mask;

	while (index_read(&slots[i]))
		i = (i + 1) & mask;
	/* Who adds and then looks for somebody, and somebody who does the same the other way round: one of them finds the other. */
	atomic_store(&slots[i].word, word);
}

struct outgrown {
	struct rcu_head rcu;
	struct index_slot *slots;
};

static void free_outgrown(struct rcu_head *head)
{
	struct outgrown *old = caa_container_of(head, struct outgrown, rcu);

	free(old->slots);
	free(old);
}

/* Of twice as many as there were. False: no memory, or more than a slot can tell apart: a place is picked by bits that it holds. */
static bool grow(struct index_part *part, bool shared)
{
	uintptr_t table = part->table;
	struct index_slot *old = index_slots(table), *slots;
	unsigned bits = table ? (table & INDEX_SLOTS_BITS) + 1 : PART_FIRST_BITS;
	uint32_t count = 1u << bits;
	struct outgrown *outgrown = NULL;

	if (bits > INDEX_HASH_BITS) /* of a shard with some hundred million */
		return false;
	slots = aligned_alloc(SLOTS_ALIGN, count * sizeof(*slots));
	if (slots && old && shared && !(outgrown = malloc(sizeof(*outgrown)))) {
		free(slots);
		slots = NULL;
	}
	if (!slots)
		return false;
	memset(slots, 0, count * sizeof(*slots));
	for (uint32_t i = 0; old && i <= index_mask(table); i++)
		if (index_read(&old[i]))
			put_word(slots, count - 1, index_read(&old[i]));
	atomic_store(&part->table, (uintptr_t)slots | bits);
	if (outgrown) {
		outgrown->slots = old;
		rcu_after(&outgrown->rcu, free_outgrown);
	} else {
		free(old);
	}
	return true;
}

bool index_add(struct index *index, uint64_t hash, void *item)
{
	struct index_part *part = index_part(index, hash);

	assert(((uintptr_t)item & 15) == 0 && (uintptr_t)item >> 48 == 0);
	/* At most three of four slots are ever taken, so every probe ends. */
	if ((!part->table || (part->used + 1) * 4 > (index_mask(part->table) + 1) * 3) && !grow(part, index->shared))
		return false;
	put_word(index_slots(part->table), index_mask(part->table), index_word(hash, item));
	part->used++;
	return true;
}

/* Those that were pushed on by the removed one move back (Knuth, volume 3, algorithm 6.4R). */
static void close_gap(struct index_slot *slots, uint32_t mask, uint32_t gap)
{
	uint64_t word;

	for (uint32_t i = (gap + 1) & mask; (word = index_read(&slots[i])); i = (i + 1) & mask) {
		uint32_t home = (uint32_t)index_word_hash(word) & mask;

		if (((i - home) & mask) >= ((i - gap) & mask)) {
			atomic_store_explicit(&slots[gap].word, word, memory_order_release);
			gap = i;
		}
	}
	atomic_store_explicit(&slots[gap].word, 0, memory_order_release);
}

void index_remove(struct index *index, uint64_t hash, const void *item)
{
	struct index_part *part = index_part(index, hash);
	struct index_slot *slots = index_slots(part->table);
	uint32_t mask = index_mask(part->table), i = (uint32_t)hash & mask;
	uint32_t changes = atomic_load_explicit(&part->changes, memory_order_relaxed);

	if (!slots)
		return;
	while (index_read(&slots[i]) && index_read(&slots[i]) != index_word(hash, item))
		i = (i + 1) & mask;
	if (!index_read(&slots[i]))
		return;
	/* Whoever reads a word that was moved also reads that something is being moved. */
	atomic_store_explicit(&part->changes, changes + 1, memory_order_relaxed);
	close_gap(slots, mask, i);
	atomic_store_explicit(&part->changes, changes + 2, memory_order_release);
	part->used--;
}

void index_each(const struct index *index, void (*fn)(void *item, void *arg), void *arg)
{
	for (uint32_t i = 0; i < INDEX_PARTS; i++) {
		uintptr_t table = index->parts[i].table;

		for (uint32_t k = 0; table && k <= index_mask(table); k++)
			if (index_read(&index_slots(table)[k]))
				fn(index_word_item(index_read(&index_slots(table)[k])), arg);
	}
}

static bool look(struct index_part *part, uint64_t hash)
{
	uintptr_t table = atomic_load(&part->table);
	struct index_slot *slots = index_slots(table);
	uint64_t word;

	if (!table)
		return false;
	for (uint32_t i = (uint32_t)hash & index_mask(table); (word = atomic_load(&slots[i].word)); i = (i + 1) & index_mask(table))
		if (index_word_hash(word) == INDEX_HASH(hash))
			return true;
	return false;
}

bool index_has_any(struct index *index, uint64_t hash)
{
	struct index_part *part = index_part(index, hash);
	uint32_t before = atomic_load_explicit(&part->changes, memory_order_acquire);

	return look(part, hash) || (before & 1) || atomic_load_explicit(&part->changes, memory_order_relaxed) != before;
}
