/* names.c - who may bind what, who gets a route, and what a reader sees meanwhile.
 * Threads: one; the table's readers on other threads are tested in names_threads.c.
 * Owns: nothing between tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "shardsm/hash.h"
#include "shardsm/names.h"
#include "shardsm/rcu.h"
#include "sink.h"

static struct names *names;
static struct sink a, b, c;

static void setup(void)
{
	hash_init();
	rcu_thread_start();
	names = names_new();
	sink_init(&a, 1000);
	sink_init(&b, 1000);
	sink_init(&c, 1000);
}

static void teardown(void)
{
	names_free(&names);
	rcu_settle();
	rcu_thread_end();
	cr_assert_eq(atomic_load(&a.ob.refs), 1, "names kept a reference");
	cr_assert_eq(atomic_load(&b.ob.refs), 1, "names kept a reference");
}

TestSuite(names, .init = setup, .fini = teardown);

static enum names_result bind(const char *name, unsigned flags, struct sink *s)
{
	return names_bind(names, span_str(name), flags, &s->ob);
}

static struct outbox *find(const char *name, const char *to)
{
	struct jid jid;

	if (to)
		cr_assert(jid_split(&jid, span_str(to)));
	return names_find_rcu(names, span_str(name), to ? &jid : NULL);
}

Test(names, one_binder)
{
	cr_assert_null(find("c2s", NULL));
	cr_assert_eq(bind("c2s", 0, &a), NAMES_OK);
	cr_assert_eq(find("c2s", NULL), &a.ob);
	cr_assert_null(find("c2", NULL));
	cr_assert_null(find("c2s2", NULL));
	cr_assert_eq(bind("c2s", 0, &b), NAMES_TAKEN);
	cr_assert_eq(bind("c2s", NAME_MULTI, &b), NAMES_TAKEN, "not bound as multi by the first");
	cr_assert_eq(bind("c2s", 0, &a), NAMES_TAKEN);
	cr_assert(names_bound_by_rcu(names, SPAN("c2s"), &a.ob));
	cr_assert_not(names_bound_by_rcu(names, SPAN("c2s"), &b.ob));
	cr_assert_not(names_unbind(names, SPAN("c2s"), &b.ob), "not its own");
	cr_assert(names_unbind(names, SPAN("c2s"), &a.ob));
	cr_assert_null(find("c2s", NULL));
	cr_assert_eq(bind("c2s", 0, &b), NAMES_OK);
}

Test(names, who_is_in_the_way)
{
	cr_assert_null(names_holder_rcu(names, SPAN("c2s"), 0));
	cr_assert_eq(bind("c2s", NAME_MULTI, &a), NAMES_OK);
	cr_assert_null(names_holder_rcu(names, SPAN("c2s"), NAME_MULTI));
	cr_assert_eq(names_holder_rcu(names, SPAN("c2s"), 0), &a.ob);
	cr_assert_eq(bind("c2s", NAME_MULTI, &b), NAMES_OK);
	cr_assert_null(names_holder_rcu(names, SPAN("c2s"), 0), "two");
	cr_assert_eq(bind("s2s", NAME_DEFAULT, &b), NAMES_OK);
	cr_assert_eq(names_holder_rcu(names, SPAN("other"), NAME_DEFAULT), &b.ob);
	cr_assert_null(names_holder_rcu(names, SPAN("other"), 0));
}

Test(names, many_names)
{
	char name[32];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "domain%d.example", i);
		cr_assert_eq(bind(name, 0, i % 2 ? &a : &b), NAMES_OK);
	}
	for (int i = 0; i < 500; i += 3) {
		snprintf(name, sizeof name, "domain%d.example", i);
		cr_assert(names_unbind(names, span_str(name), i % 2 ? &a.ob : &b.ob));
	}
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "domain%d.example", i);
		cr_assert_eq(find(name, NULL), i % 3 == 0 ? NULL : i % 2 ? &a.ob : &b.ob, "%s", name);
	}
}

Test(names, several_binders_are_picked_by_the_users_hash)
{
	/* Worked out with another SHA-1 by the rule that jabberd2's router showed on sixty users and five binders. */
	static const struct { const char *jid; int of2, of3; } want[] = {
		{ "bob@localhost", 1, 1 },
		{ "alice@localhost/res", 0, 1 },
		{ "carol@example.org", 0, 2 },
		{ "dave@example.org/res", 0, 2 },
		{ "erin@x", 0, 2 },
		{ "frank@y.example/res", 1, 1 },
	};
	struct sink *order[] = { &a, &b, &c };

	cr_assert_eq(bind("x", NAME_MULTI, &a), NAMES_OK);
	cr_assert_eq(bind("x", 0, &b), NAMES_TAKEN);
	cr_assert_eq(bind("x", NAME_MULTI, &b), NAMES_OK);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		cr_assert_eq(find("x", want[i].jid), &order[want[i].of2]->ob, "%s of 2", want[i].jid);
	cr_assert_eq(bind("x", NAME_MULTI, &c), NAMES_OK);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++)
		cr_assert_eq(find("x", want[i].jid), &order[want[i].of3]->ob, "%s of 3", want[i].jid);
	cr_assert(names_unbind(names, SPAN("x"), &b.ob));
	cr_assert(names_unbind(names, SPAN("x"), &c.ob));
	cr_assert_eq(find("x", "bob@localhost"), &a.ob);
}

Test(names, without_a_node_binders_take_turns)
{
	int seen_a = 0, seen_b = 0;

	cr_assert_eq(bind("x", NAME_MULTI, &a), NAMES_OK);
	cr_assert_eq(bind("x", NAME_MULTI, &b), NAMES_OK);
	for (int i = 0; i < 200; i++) {
		struct outbox *ob = find("x", i % 2 ? "localhost" : NULL);

		seen_a += ob == &a.ob;
		seen_b += ob == &b.ob;
	}
	cr_assert(seen_a > 0 && seen_b > 0 && seen_a + seen_b == 200);
}

Test(names, default_route)
{
	cr_assert_null(names_default_rcu(names));
	cr_assert_eq(bind("s2s", NAME_DEFAULT, &a), NAMES_OK);
	cr_assert_eq(names_default_rcu(names), &a.ob);
	cr_assert_eq(bind("s2s2", NAME_DEFAULT, &b), NAMES_TAKEN, "there is one last resort");
	cr_assert_eq(bind("s2s2", 0, &b), NAMES_OK);
	cr_assert_eq(names_default_rcu(names), &a.ob, "kept over other changes");
	cr_assert(names_unbind(names, SPAN("s2s"), &a.ob));
	cr_assert_null(names_default_rcu(names));
}

static void count(struct outbox *ob, void *arg)
{
	(void)ob;
	++*(int *)arg;
}

Test(names, log_sinks)
{
	int n = 0;

	cr_assert_not(names_have_logs_rcu(names));
	cr_assert_eq(bind("log1", NAME_LOG, &a), NAMES_OK);
	cr_assert_eq(bind("log2", NAME_LOG, &b), NAMES_OK);
	cr_assert(names_have_logs_rcu(names));
	names_logs_rcu(names, count, &n);
	cr_assert_eq(n, 2);
	cr_assert(names_unbind(names, SPAN("log1"), &a.ob));
	cr_assert(names_unbind(names, SPAN("log2"), &b.ob));
	cr_assert_not(names_have_logs_rcu(names));
}

Test(names, router_is_counted)
{
	names_set_router(names, &a.ob);
	cr_assert_eq(names_router_rcu(names), &a.ob);
	cr_assert_eq(bind("x", 0, &b), NAMES_OK);
	cr_assert_eq(names_router_rcu(names), &a.ob, "kept over other changes");
	names_set_router(names, NULL);
	cr_assert_null(names_router_rcu(names));
}

Test(names, an_unbound_link_lives_until_readers_are_through)
{
	struct outbox *mine = &c.ob;

	cr_assert_eq(bind("x", 0, &c), NAMES_OK);
	outbox_unref(&mine);
	cr_assert(names_unbind(names, SPAN("x"), &c.ob));
	/* This thread has not been quiescent since: what it may still hold must be there. */
	cr_assert_eq(c.freed, 0);
	rcu_quiet();
	rcu_settle();
	cr_assert_eq(c.freed, 1);
}
