/* stats_test.c - counts of several threads add up, and outlive them; a change of options is all or nothing.
 * Threads: a few that count.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

#include "shardsm/stats.h"
#include "shardsm/tunables.h"

#define THREADS 8
#define EACH 100000u

static void *count(void *arg)
{
	(void)arg;
	stats_thread_start();
	for (unsigned i = 0; i < EACH; i++) {
		stat_inc(STAT_IN + PL_MESSAGE);
		stat_add(STAT_OUT + PL_IQ, 3);
	}
	return NULL;
}

Test(stats, threads_add_up)
{
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(stat_sum(STAT_IN + PL_MESSAGE), THREADS * EACH);
	cr_expect_eq(stat_sum(STAT_OUT + PL_IQ), 3 * THREADS * EACH);
	cr_expect_eq(stat_sum(STAT_IN + PL_IQ), 0);
}

Test(stats, what_is_left)
{
	stat_add(STAT_SESSIONS_STARTED, 5);
	stat_add(STAT_SESSIONS_ENDED, 2);
	cr_expect_eq(stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED), 3);
	cr_expect_eq(stat_left(STAT_SESSIONS_ENDED, STAT_SESSIONS_STARTED), 0, "never below 0");
}

Test(stats, latencies_fall_into_their_buckets)
{
	for (unsigned i = 0; i + 1 < STAT_LATENCIES; i++) {
		cr_expect_lt(stat_latency_limit_us(i), stat_latency_limit_us(i + 1));
		stat_latency(stat_latency_limit_us(i));
		stat_latency(stat_latency_limit_us(i) + 1);
	}
	cr_expect_eq(stat_sum(STAT_STORE_LATENCY), 1);
	for (unsigned i = 1; i + 1 < STAT_LATENCIES; i++)
		cr_expect_eq(stat_sum(STAT_STORE_LATENCY + i), 2, "bucket %u", i);
	cr_expect_eq(stat_sum(STAT_STORE_LATENCY + STAT_LATENCIES - 1), 1);
	stat_latency(UINT64_MAX / 2);
	cr_expect_eq(stat_sum(STAT_STORE_LATENCY + STAT_LATENCIES - 1), 2);
}

Test(stats, bursts_fall_into_their_buckets)
{
	static const uint32_t sizes[] = { 0, 1, 2, 3, 4, 5, 1024, 1025, UINT32_MAX };
	static const uint64_t found[STAT_BURSTS] = { 2, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 2 };
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		stat_burst(sizes[i]);
		sum += sizes[i];
	}
	for (unsigned i = 0; i < STAT_BURSTS; i++)
		cr_expect_eq(stat_sum(STAT_BURST + i), found[i], "bucket %u", i);
	cr_expect_eq(stat_sum(STAT_BURST_PACKETS), sum);
}

struct options { int *value; };
static struct options one, two;
static int dropped, next;
static bool no_memory;

static bool read_one(struct config *config, void *into)
{
	struct options *o = into;

	(void)config;
	cr_assert_null(o->value, "zeroed");
	o->value = malloc(sizeof(int));
	*o->value = ++next;
	return true;
}

static bool read_two(struct config *config, void *into)
{
	return read_one(config, into) && !no_memory;
}

static void drop(void *old)
{
	struct options *o = old;

	dropped += o->value != NULL;
	free(o->value);
}

static const struct tunables first = { &one, sizeof(one), read_one, drop }, second = { &two, sizeof(two), read_two, drop };

Test(tunables, all_or_nothing)
{
	struct change *change = change_new();

	cr_assert(change_read(change, &first, NULL) && change_read(change, &second, NULL));
	cr_expect(!one.value && !two.value, "nothing before it is applied");
	change_apply(change);
	cr_expect(*one.value == 1 && *two.value == 2);
	change_free(&change);
	cr_expect_eq(dropped, 0, "there was nothing before");
	no_memory = true;
	change = change_new();
	cr_expect(change_read(change, &first, NULL) && !change_read(change, &second, NULL));
	change_free(&change);
	cr_expect_eq(dropped, 2, "what was read is freed");
	cr_expect(*one.value == 1 && *two.value == 2, "the old options stay");
	no_memory = false;
	change = change_new();
	cr_assert(change_read(change, &first, NULL) && change_read(change, &second, NULL));
	change_apply(change);
	change_free(&change);
	cr_expect_eq(dropped, 4, "the old ones are freed");
	cr_expect(*one.value == 5 && *two.value == 6);
	drop(&one);
	drop(&two);
}
