/* latency.h - a histogram of times with a fixed relative error.
 * Threads: the one thread of the program.
 * Owns: nothing; a value of a few KB.
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include <stdint.h>

#define LATENCY_SUB_BITS 6 /* 64 steps an octave: a reading is at most 1.6 % too high */
#define LATENCY_SLOTS ((64 - LATENCY_SUB_BITS + 1) << LATENCY_SUB_BITS)

struct latency {
	uint64_t count, max;
	uint64_t slots[LATENCY_SLOTS];
};

void latency_add(struct latency *l, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *l);
uint64_t latency_slot_end(unsigned slot);                      /* ns, the highest that the slot counts */
uint64_t latency_at(const struct latency *l, double quantile); /* ns; 0: nothing was counted */

#endif
