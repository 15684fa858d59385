/* graph.h - who is whose contact: session i knows i + d for each d of a set of distances that the seed draws. Every
 * session has as many contacts, contacts are mutual, and whether two are takes no table of pairs.
 * Threads: the one thread of the program.
 * Owns: the distances, from graph_init() to graph_free().
 */
#ifndef BENCH_GRAPH_H
#define BENCH_GRAPH_H

#include "bench.h"

#define GRAPH_NONE UINT32_MAX

struct graph {
	uint32_t n, k;      /* sessions, contacts of each */
	uint32_t *distance; /* k of them, ascending */
};

void graph_init(struct graph *g, const struct options *opt); /* ends the program where it cannot be */
void graph_free(struct graph *g);
static inline uint32_t graph_contact(const struct graph *g, uint32_t of, uint32_t which)
{
	return (uint32_t)(((uint64_t)of + g->distance[which]) % g->n);
}
/* Which contact of `of` is `who`; GRAPH_NONE: none. */
uint32_t graph_find(const struct graph *g, uint32_t of, uint32_t who);
/* SQL that makes the first `users` users and their rosters in jabberd2's tables (SQLite, PostgreSQL). */
void graph_print_sql(const struct options *opt, uint32_t users);

#endif
