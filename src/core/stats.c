/* stats.c - the blocks of counts, and their sums.
 * Threads: any.
 * Owns: the blocks.
 */
#include "shardsm/stats.h"

#include <stdlib.h>

struct block {
	struct stats stats;
	struct block *next;
};

static struct block shared;
static struct block *_Atomic blocks = &shared; /* only ever grows */

_Thread_local struct stats *stats_own = &shared.stats;

static const uint32_t limits_us[STAT_LATENCIES] = { 100, 300, 1000, 3000, 10000, 30000, 100000, 300000, 1000000, UINT32_MAX };

void stats_thread_start(void)
{
	struct block *b = aligned_alloc(_Alignof(struct block), sizeof(*b));

	if (!b)
		return;
	memset(b, 0, sizeof(*b));
	b->next = atomic_load(&blocks);
	while (!atomic_compare_exchange_weak(&blocks, &b->next, b))
		;
	stats_own = &b->stats;
}

uint64_t stat_sum(unsigned stat)
{
	uint64_t sum = 0;

	for (const struct block *b = atomic_load(&blocks); b; b = b->next)
		sum += atomic_load_explicit(&((struct block *)(uintptr_t)b)->stats.n[stat], memory_order_relaxed);
	return sum;
}

uint64_t stat_left(unsigned come, unsigned gone)
{
	uint64_t went = stat_sum(gone), came = stat_sum(come); /* in this order: what goes came before */

	return came > went ? came - went : 0;
}

uint32_t stat_latency_limit_us(unsigned bucket)
{
	return limits_us[bucket];
}

void stat_latency(uint64_t us)
{
	unsigned i = 0;

	while (us > limits_us[i] && i < STAT_LATENCIES - 1)
		i++;
	stat_inc(STAT_STORE_LATENCY + i);
	stat_add(STAT_STORE_LATENCY_US, us);
}

void stat_burst(uint32_t packets)
{
	unsigned i = packets > 1 ? 32 - (unsigned)__builtin_clz(packets - 1) : 0;

	stat_inc(STAT_BURST + (i < STAT_BURSTS ? i : STAT_BURSTS - 1));
	stat_add(STAT_BURST_PACKETS, packets);
}
