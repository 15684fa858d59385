/* graph.c - draws the distances, and makes the users and rosters that a run wants to find.
 * Threads: the one thread of the program.
 * Owns: see graph.h.
 */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static bool has(const struct graph *g, uint32_t used, uint32_t d)
{
	for (uint32_t i = 0; i < used; i++)
		if (g->distance[i] == d)
			return true;
	return false;
}

void graph_init(struct graph *g, const struct options *opt)
{
	uint64_t seed = opt->seed ^ 0x67726170680000u; /* other choices do not move these */
	uint32_t n = opt->sessions, k = opt->contacts, half = (n - 1) / 2, used = 0;

	*g = (struct graph){.n = n, .k = k};
	if (k >= n)
		bench_die("--contacts %u: must be fewer than the %u sessions", k, n);
	if (k % 2 && n % 2)
		bench_die("--contacts %u: must be even, or --sessions must be", k);
	g->distance = bench_calloc(k, sizeof *g->distance);
	if (k % 2)
		g->distance[used++] = n / 2;
	while (used < k) {
		uint32_t d = 1 + bench_below(&seed, half);
		while (has(g, used, d))
			d = d % half + 1;
		g->distance[used++] = d;
		g->distance[used++] = n - d;
	}
	qsort(g->distance, k, sizeof *g->distance, by_value);
}

void graph_free(struct graph *g)
{
	free(g->distance);
	*g = (struct graph){0};
}

uint32_t graph_find(const struct graph *g, uint32_t of, uint32_t who)
{
	uint32_t d = who >= of ? who - of : g->n - of + who, low = 0, high = g->k;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (g->distance[middle] < d)
			low = middle + 1;
		else
			high = middle;
	}
	return low < g->k && g->distance[low] == d ? low : GRAPH_NONE;
}

void graph_print_sql(const struct options *opt, uint32_t users)
{
	struct graph g;

	graph_init(&g, opt);
	printf("BEGIN;\nINSERT INTO active (\"collection-owner\", time)\n"
	       "  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)\n"
	       "  SELECT 'user' || i || '@%s', 1 FROM n;\n",
		users, opt->domain);
	if (g.k) {
		printf("INSERT INTO \"roster-items\" (\"collection-owner\", jid, \"to\", \"from\", ask)\n"
		       "  WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %u),\n"
		       "  d(d) AS (VALUES ",
			opt->sessions - 1);
		for (uint32_t i = 0; i < g.k; i++)
			printf("%s(%u)", i ? "," : "", g.distance[i]);
		printf(")\n  SELECT 'user' || (i + 1) || '@%s', 'user' || ((i + d) %% %u + 1) || '@%s', 1=1, 1=1, 0 "
		       "FROM n, d;\n",
			opt->domain, opt->sessions, opt->domain);
	}
	printf("COMMIT;\n");
	graph_free(&g);
}
