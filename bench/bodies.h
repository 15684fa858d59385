/* bodies.h - how long messages are: one length, a range, or several of these with weights.
 * Threads: any; functions of their arguments.
 * Owns: nothing; a value.
 */
#ifndef BENCH_BODIES_H
#define BENCH_BODIES_H

#include "shardsm/span.h"

#define BODIES_MAX 8
#define BODY_MAX 60000 /* bytes */

struct bodies {
	unsigned n;
	struct {
		uint32_t min, max, weight;
	} part[BODIES_MAX];
};

/* "40", "20-2000", "40x70,200-800x25,4000x5". False: it is none of these. */
bool bodies_parse(struct bodies *b, const char *text) MUST_USE;
uint32_t bodies_length(const struct bodies *b, uint64_t seed, uint32_t message); /* the same for the same arguments */
uint32_t bodies_longest(const struct bodies *b);

#endif
