/* privacy_test.c - the rules of a privacy list: order, kinds, and what a JID, a group and a subscription match. XEP-0016 section 2.
 * Threads: one.
 * Owns: nothing that outlives a test.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "module/privacy.h"

static struct {
	struct user user;
	char text[16];
} account = { { .node_len = 5, .bare_len = 12, .text_at = sizeof(struct user) }, "alice@a.test" };
#define alice account.user

static struct jid jid(const char *text)
{
	struct jid j;

	cr_assert(jid_split(&j, span_str(text)), "%s", text);
	return j;
}

static void in_roster(const char *who, bool to, bool from, const char *group)
{
	const struct span groups[] = { span_str("Other"), span_str(group) };
	struct roster_item *item = roster_item_new(&(struct item_fields){ .jid = span_str(who), .to = to, .from = from, .groups = groups,
		.ngroups = group ? 2 : 0 });

	cr_assert(item && roster_put(&alice, &item));
}

static bool denies(const struct rule_fields *rules, uint32_t n, const char *peer, uint8_t kind)
{
	struct privacy_list *list = privacy_list_new(SPAN("l"), rules, n);
	const struct jid j = jid(peer);

	cr_assert(list != NULL);
	bool denied = privacy_denies(list, &alice, &j, kind);

	privacy_list_unref(&list);
	cr_assert(list == NULL);
	return denied;
}

static bool one(uint8_t type, const char *value, const char *peer)
{
	const struct rule_fields rule = { .type = type, .deny = true, .value = span_str(value) };

	return denies(&rule, 1, peer, MASK_MESSAGE);
}

Test(privacy, no_list_and_no_rule_allow)
{
	const struct jid j = jid("bob@b.test/r");

	cr_assert_not(privacy_denies(NULL, &alice, &j, MASK_MESSAGE));
	cr_assert_not(denies(NULL, 0, "bob@b.test/r", 0));
}

Test(privacy, a_jid_matches_what_it_stands_for)
{
	static const struct { const char *value, *peer; bool matches; } cases[] = {
		{ "bob@b.test/r", "bob@b.test/r", true },   { "bob@b.test/r", "bob@b.test/s", false }, { "bob@b.test/r", "bob@b.test", false },
		{ "bob@b.test", "bob@b.test", true },       { "bob@b.test", "bob@b.test/r", true },    { "bob@b.test", "rob@b.test", false },
		{ "bob@b.test", "b.test", false },          { "bob@b.test", "bob@b.tes", false },      { "bob@b.test", "bob@b.test.x", false },
		{ "b.test/r", "b.test/r", true },           { "b.test/r", "b.test/s", false },         { "b.test/r", "b.test", false },
		{ "b.test", "b.test", true },               { "b.test", "b.test/r", true },            { "b.test", "bob@b.test", true },
		{ "b.test", "bob@b.test/r", true },         { "b.test", "bob@xb.test", false },        { "b.test", "bob@b.tes", false },
		{ "b.test", "test", false },                { "bob@b.test/r", "bob@b.test/R", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_eq(one(RULE_JID, cases[i].value, cases[i].peer), cases[i].matches, "%s against %s", cases[i].peer, cases[i].value);
}

Test(privacy, ones_own_resources_are_never_denied)
{
	cr_expect_not(one(RULE_ANY, "", "alice@a.test/r"));
	cr_expect_not(one(RULE_JID, "alice@a.test", "alice@a.test/r"));
	cr_expect_not(one(RULE_JID, "a.test", "alice@a.test"));
	cr_expect(one(RULE_ANY, "", "bob@a.test/r"));
	cr_expect(one(RULE_ANY, "", "a.test"));
}

Test(privacy, a_group_is_the_rosters)
{
	in_roster("bob@b.test", true, true, "Foes");
	in_roster("carol@c.test/phone", true, true, "Foes");
	in_roster("d.test", true, false, "Foes");
	in_roster("eve@d.test", true, false, NULL);
	cr_expect(one(RULE_GROUP, "Foes", "bob@b.test/r"));
	cr_expect(one(RULE_GROUP, "Other", "bob@b.test"));
	cr_expect_not(one(RULE_GROUP, "foes", "bob@b.test"));
	cr_expect_not(one(RULE_GROUP, "Foe", "bob@b.test"));
	cr_expect(one(RULE_GROUP, "Foes", "carol@c.test/phone"));
	cr_expect_not(one(RULE_GROUP, "Foes", "carol@c.test/desk"), "an item for one resource is about that one");
	cr_expect(one(RULE_GROUP, "Foes", "frank@d.test/r"), "the item of the domain is everybody's there that has none");
	cr_expect_not(one(RULE_GROUP, "Foes", "eve@d.test/r"));
	cr_expect_not(one(RULE_GROUP, "Foes", "stranger@x.test"));
}

Test(privacy, a_subscription_is_the_pair)
{
	static const char *const names[] = { "none", "to", "from", "both" };

	for (int i = 0; i < 4; i++) {
		in_roster("bob@b.test", i & 1, i & 2, NULL);
		for (int k = 0; k < 4; k++)
			cr_expect_eq(one(RULE_SUBSCRIPTION, names[k], "bob@b.test/r"), i == k, "%s against %s", names[i], names[k]);
	}
	for (int k = 0; k < 4; k++)
		cr_expect_eq(one(RULE_SUBSCRIPTION, names[k], "stranger@x.test"), k == 0, "a stranger against %s", names[k]);
	cr_expect_not(one(RULE_SUBSCRIPTION, "none", "a.test"), "one's own server is no contact");
	cr_expect(one(RULE_SUBSCRIPTION, "none", "x.test"));
	cr_expect(one(RULE_SUBSCRIPTION, "none", "bert@a.test"));
}

Test(privacy, the_first_rule_in_order_decides)
{
	const struct rule_fields rules[] = {
		{ .order = 30, .type = RULE_ANY, .deny = true },
		{ .order = 20, .type = RULE_JID, .value = SPAN("b.test") },
		{ .order = -1, .type = RULE_JID, .value = SPAN("bob@b.test"), .deny = true },
		{ .order = 10, .type = RULE_JID, .value = SPAN("bob@b.test") },
	};

	cr_expect(denies(rules, 4, "bob@b.test/r", MASK_IQ));
	cr_expect_not(denies(rules, 4, "carol@b.test/r", MASK_IQ));
	cr_expect(denies(rules, 4, "carol@c.test", MASK_IQ));
	cr_expect_not(denies(rules + 1, 1, "carol@c.test", MASK_IQ), "what no rule is about is allowed");
}

Test(privacy, equal_orders_stay_as_they_came)
{
	struct rule_fields rules[64];
	struct privacy_list *list;

	for (uint32_t i = 0; i < 64; i++)
		rules[i] = (struct rule_fields){ .order = i < 32 ? 1 : 0, .type = i % 2 ? RULE_ANY : RULE_SUBSCRIPTION, .mask = (uint8_t)(i % 15),
			.value = i % 2 ? (struct span){ 0 } : SPAN("to") };
	list = privacy_list_new(SPAN("l"), rules, 64);
	cr_assert(list != NULL);
	for (uint32_t i = 0; i < 64; i++)
		cr_expect_eq(list->rules[i].mask, (i + 32) % 64 % 15);
	privacy_list_unref(&list);
}

Test(privacy, a_rule_is_for_its_kinds)
{
	static const uint8_t kinds[] = { MASK_MESSAGE, MASK_PRESENCE_IN, MASK_PRESENCE_OUT, MASK_IQ, 0 };

	for (uint8_t mask = 0; mask <= MASK_ALL; mask++) {
		const struct rule_fields rule = { .type = RULE_ANY, .mask = mask, .deny = true };

		for (size_t k = 0; k < sizeof(kinds); k++) {
			/* All four are everything, as jabberd2 stores them; what has no kind is denied by such rules alone. */
			bool denied = mask == 0 || mask == MASK_ALL || (mask & kinds[k]);

			cr_expect_eq(denies(&rule, 1, "bob@b.test", kinds[k]), denied, "kind %u, mask %u", kinds[k], mask);
		}
	}
}

Test(privacy, a_rule_for_other_kinds_is_passed_over)
{
	const struct rule_fields rules[] = {
		{ .order = 1, .type = RULE_ANY, .mask = MASK_MESSAGE },
		{ .order = 2, .type = RULE_ANY, .deny = true },
	};

	cr_expect_not(denies(rules, 2, "bob@b.test", MASK_MESSAGE));
	cr_expect(denies(rules, 2, "bob@b.test", MASK_IQ));
	cr_expect(denies(rules, 2, "bob@b.test", 0));
}

Test(privacy, blocked_is_denied_altogether)
{
	const struct rule_fields rules[] = {
		{ .order = 1, .type = RULE_JID, .value = SPAN("bob@b.test"), .mask = MASK_MESSAGE, .deny = true },
		{ .order = 2, .type = RULE_JID, .value = SPAN("bob@b.test") },
		{ .order = 3, .type = RULE_GROUP, .value = SPAN("bob@b.test"), .deny = true },
		{ .order = 4, .type = RULE_JID, .value = SPAN("bob@b.test"), .deny = true },
	};
	struct privacy_list *list = privacy_list_new(SPAN("l"), rules, 4);

	cr_assert(list != NULL);
	cr_expect_eq(privacy_blocked(list, SPAN("bob@b.test")), 3);
	cr_expect_eq(privacy_blocked(list, SPAN("b.test")), 4);
	cr_expect_eq(privacy_blocked(NULL, SPAN("bob@b.test")), 0);
	cr_expect(span_is(privacy_list_name(list), "l"));
	privacy_list_unref(&list);
}

/* A JID as long as one can be. */
Test(privacy, long_jids)
{
	char text[JID_MAX];

	memset(text, 'x', sizeof(text));
	text[JID_PART_MAX] = '@';
	text[2 * JID_PART_MAX + 1] = '/';
	const struct rule_fields rule = { .type = RULE_JID, .deny = true, .value = span_of(text, sizeof(text)) };
	struct privacy_list *list = privacy_list_new(SPAN("l"), &rule, 1);
	struct jid j;

	cr_assert(list && jid_split(&j, rule.value));
	cr_expect(privacy_denies(list, &alice, &j, 0));
	j.len--;
	cr_expect_not(privacy_denies(list, &alice, &j, 0));
	privacy_list_unref(&list);
}

/* --- all lists of a user ------------------------------------------------------------------------------------------------ */

Test(privacy, an_edit_leaves_the_old_lists_alone)
{
	const struct rule_fields deny = { .type = RULE_ANY, .deny = true }, allow = { .type = RULE_ANY };
	struct session *s = calloc(1, sizeof(*s) + 1);
	struct privacy_list *a = privacy_list_new(SPAN("a"), &deny, 1), *b = privacy_list_new(SPAN("b"), &deny, 1), *edited;
	struct privacy *first = privacy_copy(&alice), *next;

	cr_assert(s && a && b && first && sm_id_new(&s->id, 1));
	alice.sessions = s;
	cr_assert(privacy_put(first, &a) && privacy_put(first, &b));
	first->def = privacy_find(first, SPAN("a"));
	cr_assert(privacy_activate(first, s, privacy_find(first, SPAN("b"))));
	alice.privacy = first;
	cr_expect_eq(privacy_in_force(first, s), privacy_find(first, SPAN("b")));
	cr_expect_eq(privacy_in_force(first, NULL), first->def);

	next = privacy_copy(&alice);
	edited = privacy_list_new(SPAN("b"), &allow, 1);
	cr_assert(next && edited && privacy_put(next, &edited));
	cr_expect_neq(privacy_in_force(next, s), privacy_in_force(first, s), "what is active is the edited list");
	cr_expect_eq(next->n, 2);
	privacy_remove(next, privacy_find(next, SPAN("a")));
	cr_expect_null(next->def);
	cr_expect_not_null(first->def);
	privacy_remove(next, privacy_find(next, SPAN("b")));
	cr_expect_null(privacy_in_force(next, s));
	cr_expect_eq(next->n, 0);
	cr_expect_eq(first->n, 2);
	privacy_free(&next);

	/* A session that ended is left behind by the next edit. */
	alice.sessions = NULL;
	next = privacy_copy(&alice);
	cr_assert(next);
	cr_expect_eq(next->nactive, 0);
	privacy_free(&next);
	privacy_unload(&alice);
	free(s);
}
