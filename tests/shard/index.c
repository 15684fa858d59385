/* index.c - a shard's index against a plain list, with hashes that collide on purpose; a shared one while another thread looks.
 * Threads: one, and one that looks.
 * Owns: nothing that outlives a test.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "shard/index.h"
#include "shardsm/rcu.h"

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

/* --- shared -------------------------------------------------------------------------------------------------------------- */

enum { IN_FRONT = 200, ROUNDS = 4000 };

static struct index shared = { .shared = true };
static _Atomic unsigned there; /* odd: the item that is looked for is */
static _Atomic bool over;

/* One part, and all want the same place: removing one of those in front moves all that are behind. */
static uint64_t in_front(int i) { return 1024 * (uint64_t)(i + 1); }
static const uint64_t looked_for = 1024 * (IN_FRONT + 1);

static void *looks(void *arg)
{
	long *missed = arg;

	rcu_thread_start();
	while (!over) {
		unsigned before = there;

		if (!index_has_any(&shared, looked_for) && (before & 1) && there == before)
			++*missed;
		rcu_quiet();
	}
	rcu_thread_end();
	return NULL;
}

Test(index, of_what_is_there_other_threads_always_hear)
{
	static struct item items[IN_FRONT + 1];
	pthread_t thread;
	long missed = 0;

	rcu_thread_start();
	cr_assert_eq(pthread_create(&thread, NULL, looks, &missed), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < IN_FRONT; i++)
			cr_assert(index_add(&shared, in_front(i), &items[i]));
		cr_assert(index_add(&shared, looked_for, &items[IN_FRONT]));
		there++;
		for (int i = 0; i < IN_FRONT; i++)
			index_remove(&shared, in_front(i), &items[i]);
		there++;
		index_remove(&shared, looked_for, &items[IN_FRONT]);
		rcu_quiet();
	}
	over = true;
	rcu_sleep();
	pthread_join(thread, NULL);
	rcu_wake();
	cr_expect_eq(missed, 0, "%ld times", missed);
	cr_expect_not(index_has_any(&shared, looked_for));
	rcu_settle();
	index_fini(&shared);
	rcu_thread_end();
}
