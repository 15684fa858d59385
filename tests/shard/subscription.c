/* subscription.c - the tables of RFC 6121 appendix A, word for word, against the state machine.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "shardsm/subscription.h"

/* The nine states of appendix A.1, in its order. */
enum state { NONE, NONE_OUT, NONE_IN, NONE_OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH, STATES };
static const struct subscription states[STATES] = {
	[NONE_OUT] = { .ask = true }, [NONE_IN] = { .pending = true }, [NONE_OUT_IN] = { .ask = true, .pending = true },
	[TO] = { .to = true }, [TO_IN] = { .to = true, .pending = true }, [FROM] = { .from = true },
	[FROM_OUT] = { .from = true, .ask = true }, [BOTH] = { .to = true, .from = true },
};

struct row {
	bool pass;       /* MUST route, or MUST deliver */
	enum state next; /* the new state; the same one: no change */
};

static bool same(struct subscription a, struct subscription b)
{
	return a.to == b.to && a.from == b.from && a.ask == b.ask && a.pending == b.pending;
}

static void check(struct subscription_step (*step)(struct subscription, enum subscription_kind), enum subscription_kind kind,
	const struct row table[STATES])
{
	for (int i = 0; i < STATES; i++) {
		struct subscription_step got = step(states[i], kind);

		cr_expect_eq(got.pass, table[i].pass, "state %d: pass", i);
		cr_expect(same(got.next, states[table[i].next]), "state %d: next state", i);
		cr_expect_eq(got.changed, (int)table[i].next != i, "state %d: changed", i);
		struct subscription seen = got.next;
		seen.pending = states[i].pending;
		cr_expect_eq(got.push, !same(seen, states[i]), "state %d: push", i);
	}
}

Test(outbound, subscribe)
{
	check(subscription_outbound, SUB_SUBSCRIBE, (const struct row[]){ { true, NONE_OUT }, { true, NONE_OUT }, { true, NONE_OUT_IN },
		{ true, NONE_OUT_IN }, { true, TO }, { true, TO_IN }, { true, FROM_OUT }, { true, FROM_OUT }, { true, BOTH } });
}

Test(outbound, unsubscribe)
{
	check(subscription_outbound, SUB_UNSUBSCRIBE, (const struct row[]){ { true, NONE }, { true, NONE }, { true, NONE_IN },
		{ true, NONE_IN }, { true, NONE }, { true, NONE_IN }, { true, FROM }, { true, FROM }, { true, FROM } });
}

Test(outbound, subscribed)
{
	check(subscription_outbound, SUB_SUBSCRIBED, (const struct row[]){ { false, NONE }, { false, NONE_OUT }, { true, FROM },
		{ true, FROM_OUT }, { false, TO }, { true, BOTH }, { false, FROM }, { false, FROM_OUT }, { false, BOTH } });
}

Test(outbound, unsubscribed)
{
	check(subscription_outbound, SUB_UNSUBSCRIBED, (const struct row[]){ { false, NONE }, { false, NONE_OUT }, { true, NONE },
		{ true, NONE_OUT }, { false, TO }, { true, TO }, { true, NONE }, { true, NONE_OUT }, { true, TO } });
}

Test(inbound, subscribe)
{
	check(subscription_inbound, SUB_SUBSCRIBE, (const struct row[]){ { true, NONE_IN }, { true, NONE_OUT_IN }, { false, NONE_IN },
		{ false, NONE_OUT_IN }, { true, TO_IN }, { false, TO_IN }, { false, FROM }, { false, FROM_OUT }, { false, BOTH } });
	for (int i = 0; i < STATES; i++)
		cr_expect_eq(subscription_inbound(states[i], SUB_SUBSCRIBE).reply, states[i].from, "state %d: reply", i);
}

Test(inbound, unsubscribe)
{
	check(subscription_inbound, SUB_UNSUBSCRIBE, (const struct row[]){ { false, NONE }, { false, NONE_OUT }, { true, NONE },
		{ true, NONE_OUT }, { false, TO }, { true, TO }, { true, NONE }, { true, NONE_OUT }, { true, TO } });
	/* Wherever the state changes (A.3.2), but for one who would learn from it that the account exists. */
	for (int i = 0; i < STATES; i++) {
		struct subscription_step got = subscription_inbound(states[i], SUB_UNSUBSCRIBE);

		cr_expect_eq(got.reply, got.changed && i != NONE_IN, "state %d: reply", i);
	}
}

Test(inbound, subscribed)
{
	check(subscription_inbound, SUB_SUBSCRIBED, (const struct row[]){ { false, NONE }, { true, TO }, { false, NONE_IN },
		{ true, TO_IN }, { false, TO }, { false, TO_IN }, { false, FROM }, { true, BOTH }, { false, BOTH } });
}

Test(inbound, unsubscribed)
{
	check(subscription_inbound, SUB_UNSUBSCRIBED, (const struct row[]){ { false, NONE }, { true, NONE }, { false, NONE_IN },
		{ true, NONE_IN }, { true, NONE }, { true, NONE_IN }, { false, FROM }, { true, FROM }, { true, FROM } });
}
