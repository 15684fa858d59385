/* bodies.c - see bodies.h.
 * Threads: any.
 * Owns: nothing.
 */
#include "bodies.h"

#include <stdlib.h>

#include "bench.h"

static bool read_number(const char **p, uint32_t max, uint32_t *out)
{
	char *end;
	if (**p < '0' || **p > '9')
		return false;
	unsigned long v = strtoul(*p, &end, 10);
	*p = end;
	*out = (uint32_t)v;
	return v <= max;
}

bool bodies_parse(struct bodies *b, const char *p)
{
	*b = (struct bodies){0};
	for (; b->n < BODIES_MAX; p++) {
		uint32_t min, max, weight = 1;
		if (!read_number(&p, BODY_MAX, &min))
			return false;
		max = min;
		if (*p == '-' && (p++, !read_number(&p, BODY_MAX, &max) || max < min))
			return false;
		if (*p == 'x' && (p++, !read_number(&p, 1000000, &weight) || weight == 0))
			return false;
		b->part[b->n].min = min;
		b->part[b->n].max = max;
		b->part[b->n++].weight = weight;
		if (*p != ',')
			return *p == '\0';
	}
	return false;
}

uint32_t bodies_length(const struct bodies *b, uint64_t seed, uint32_t message)
{
	uint32_t total = 0;

	if (b->n == 1 && b->part[0].min == b->part[0].max)
		return b->part[0].min;
	for (unsigned i = 0; i < b->n; i++)
		total += b->part[i].weight;
	uint64_t state = seed + ((uint64_t)message << 20);
	uint32_t k = bench_below(&state, total);
	for (unsigned i = 0; i < b->n; k -= b->part[i++].weight)
		if (k < b->part[i].weight)
			return b->part[i].min + bench_below(&state, b->part[i].max - b->part[i].min + 1);
	return 0;
}

uint32_t bodies_longest(const struct bodies *b)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < b->n; i++)
		n = b->part[i].max > n ? b->part[i].max : n;
	return n;
}
