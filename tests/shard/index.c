/* index.c - a shard's index against a plain list, with hashes that collide on purpose.
 * Threads: one.
 * Owns: nothing that outlives a test.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "shard/index.h"

/* Aligned as what malloc() gives. */
struct item { _Alignas(16) char c; };

static int count(struct index *index, uint64_t hash, const void *item)
{
	const struct index_slot *at = NULL;
	int n = 0;
	void *found;

	while ((found = index_next(index, hash, &at)))
		n += found == item;
	return n;
}

Test(index, holds_what_a_list_holds)
{
	enum { ITEMS = 4000, STEPS = 200000 };
	static struct index index;
	static struct item items[ITEMS];
	static bool in[ITEMS];
	static uint64_t hashes[ITEMS];

	srandom(1);
	for (int i = 0; i < ITEMS; i++) /* one part, few places, some alike */
		hashes[i] = (uint64_t)random() % 3000;
	for (int step = 0; step < STEPS; step++) {
		int i = (int)(random() % ITEMS);

		if (in[i])
			index_remove(&index, hashes[i], &items[i]);
		else
			cr_assert(index_add(&index, hashes[i], &items[i]));
		in[i] = !in[i];
		int k = (int)(random() % ITEMS);

		cr_assert_eq(count(&index, hashes[k], &items[k]), in[k], "step %d", step);
	}
	for (int i = 0; i < ITEMS; i++)
		cr_assert_eq(count(&index, hashes[i], &items[i]), in[i]);
	index_fini(&index);
}

Test(index, spreads_over_its_parts)
{
	static struct index index;
	static struct item item;
	uint64_t hash = 88172645463325252u;

	for (int i = 0; i < 800000; i++) {
		hash ^= hash << 13, hash ^= hash >> 7, hash ^= hash << 17;
		cr_assert(index_add(&index, hash, &item));
	}
	for (uint32_t p = 0; p < INDEX_PARTS; p++)
		cr_expect(index.parts[p].used > 1200 && index.parts[p].used < 1950, "part %u has %u", p, index.parts[p].used);
	index_fini(&index);
}

Test(index, is_empty_at_first_and_in_the_end)
{
	static struct index index;
	struct item item;

	cr_assert_eq(count(&index, 7, &item), 0);
	index_remove(&index, 7, &item);
	cr_assert(index_add(&index, 7, &item));
	cr_assert_eq(count(&index, 7, &item), 1);
	index_remove(&index, 7, &item);
	cr_assert_eq(count(&index, 7, &item), 0);
	index_fini(&index);
}
