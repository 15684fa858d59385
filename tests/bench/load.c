/* tests/bench/load.c - what the load generator decides before the clock starts: lengths of bodies, who knows whom; and
 * how histograms are put together. Threads: one. Owns: a graph per case.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "graph.h"
#include "latency.h"

/* What these parts want of main.c. */
void bench_die(const char *fmt, ...)
{
	(void)fmt;
	exit(42);
}

void *bench_calloc(size_t n, size_t size)
{
	void *q = calloc(n ? n : 1, size);
	cr_assert(q);
	return q;
}

Test(bodies, what_can_be_said)
{
	static const char *const good[] = {"0", "40", "20-2000", "40x70,200-800x25,4000x5", "60000", "1,2,3,4,5,6,7,8"};
	static const char *const bad[] = {"", "x", "40x", "40x0", "-5", "5-", "9-8", "60001", "40,", ",40", "40 ",
		"1x2x3", "1,2,3,4,5,6,7,8,9", "99999999999999999999"};
	struct bodies b;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		cr_expect(bodies_parse(&b, good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(bodies_parse(&b, bad[i]), "%s", bad[i]);
}

Test(bodies, lengths_follow_the_weights_and_the_seed)
{
	struct bodies b;
	unsigned small = 0, middle = 0, large = 0;

	cr_assert(bodies_parse(&b, "40x70,200-800x25,4000x5"));
	cr_expect_eq(bodies_longest(&b), 4000u);
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t n = bodies_length(&b, 7, i);
		cr_expect_eq(n, bodies_length(&b, 7, i));
		small += n == 40;
		middle += n >= 200 && n <= 800;
		large += n == 4000;
	}
	cr_expect_eq(small + middle + large, 10000u);
	cr_expect(small > 6800 && small < 7200, "%u", small);
	cr_expect(large > 400 && large < 600, "%u", large);
	cr_assert(bodies_parse(&b, "5-5"));
	cr_expect_eq(bodies_length(&b, 1, 1), 5u);
}

static void check_graph(uint32_t sessions, uint32_t contacts, uint64_t seed)
{
	struct options opt = {.sessions = sessions, .contacts = contacts, .seed = seed};
	struct graph g;

	graph_init(&g, &opt);
	cr_assert_eq(g.k, contacts);
	for (uint32_t i = 0; i < sessions; i++) {
		uint32_t known = 0;
		for (uint32_t k = 0; k < contacts; k++)
			cr_expect_eq(graph_find(&g, i, graph_contact(&g, i, k)), k);
		for (uint32_t j = 0; j < sessions; j++) {
			bool knows = graph_find(&g, i, j) != GRAPH_NONE;
			known += knows;
			cr_expect_eq(knows, graph_find(&g, j, i) != GRAPH_NONE, "%u and %u", i, j);
		}
		cr_expect_eq(known, contacts);
		cr_expect_eq(graph_find(&g, i, i), GRAPH_NONE);
	}
	graph_free(&g);
}

Test(graph, contacts_are_mutual_and_as_many_as_asked)
{
	check_graph(1, 0, 1);
	check_graph(2, 1, 1);
	check_graph(5, 4, 1);
	check_graph(6, 5, 1);
	check_graph(50, 7, 3);
	check_graph(51, 8, 4);
}

Test(graph, more_contacts_than_sessions, .exit_code = 42)
{
	check_graph(5, 6, 1);
}

Test(graph, an_odd_number_among_an_odd_number, .exit_code = 42)
{
	check_graph(5, 3, 1);
}

Test(latency, histograms_add_up)
{
	static struct latency a, b, both;

	for (uint64_t i = 1; i < 3000; i++) {
		latency_add(i % 3 ? &a : &b, i * i * 1000);
		latency_add(&both, i * i * 1000);
	}
	latency_merge(&a, &b);
	cr_expect_eq(a.count, both.count);
	cr_expect_eq(a.max, both.max);
	for (unsigned q = 0; q <= 1000; q++)
		cr_expect_eq(latency_at(&a, q / 1000.0), latency_at(&both, q / 1000.0));
}
