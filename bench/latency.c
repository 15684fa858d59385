/* latency.c - logarithmic slots with linear steps inside each octave.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#include "latency.h"

static unsigned slot_of(uint64_t ns)
{
	unsigned top = 63u - (unsigned)__builtin_clzll(ns | 1);
	if (top < LATENCY_SUB_BITS)
		return (unsigned)ns;
	unsigned shift = top - LATENCY_SUB_BITS;
	return ((shift + 1) << LATENCY_SUB_BITS) + (unsigned)((ns >> shift) - (1u << LATENCY_SUB_BITS));
}

uint64_t latency_slot_end(unsigned slot)
{
	unsigned octave = slot >> LATENCY_SUB_BITS;
	uint64_t step = slot & ((1u << LATENCY_SUB_BITS) - 1);
	if (octave == 0)
		return step;
	return ((((uint64_t)1 << LATENCY_SUB_BITS) + step + 1) << (octave - 1)) - 1;
}

void latency_add(struct latency *l, uint64_t ns)
{
	l->count++;
	if (ns > l->max)
		l->max = ns;
	l->slots[slot_of(ns)]++;
}

void latency_merge(struct latency *into, const struct latency *l)
{
	into->count += l->count;
	if (l->max > into->max)
		into->max = l->max;
	for (unsigned i = 0; i < LATENCY_SLOTS; i++)
		into->slots[i] += l->slots[i];
}

uint64_t latency_at(const struct latency *l, double quantile)
{
	uint64_t want = (uint64_t)(quantile * (double)l->count + 0.5), seen = 0;
	if (want == 0)
		want = l->count ? 1 : 0;
	for (unsigned i = 0; want && i < LATENCY_SLOTS; i++) {
		seen += l->slots[i];
		if (seen >= want)
			return latency_slot_end(i) < l->max ? latency_slot_end(i) : l->max;
	}
	return 0;
}
