/* privacy_read.c - a <list/> that a client sends, checked: XEP-0016 section 2.1.
 * Threads: shards.
 * Owns: nothing.
 */
#include <stdlib.h>

#include "module/privacy.h"

static enum verdict bad(struct event *ev, const char *why)
{
	return event_error_text(ev, SE_BAD_REQUEST, why);
}

/* A non-negative integer that the database's column can hold. */
static bool read_order(struct span text, int32_t *order)
{
	int64_t v = 0;

	if (!text.n || text.n > 10)
		return false;
	for (uint32_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (text.p[i] - '0');
	}
	*order = (int32_t)v;
	return v <= INT32_MAX;
}

static bool in_roster(const struct user *u, struct span group)
{
	const struct roster *r = user_roster(u);

	for (uint32_t i = 0; i < r->n; i++) {
		const struct roster_item *item = r->items[i];
		const char *at = NULL;

		for (uint16_t k = 0; k < item->ngroups; k++)
			if (span_eq(item_group(item, &at), group))
				return true;
	}
	return false;
}

static enum verdict read_jid(struct event *ev, struct rule_fields *rule, struct buf *text)
{
	char room[JID_MAX + 1];
	struct jid jid;

	rule->type = RULE_JID;
	if (!jid_prep(&jid, rule->value, room))
		return event_error_text(ev, SE_JID_MALFORMED, "an item's value is not a JID");
	rule->value = jid_full(&jid);
	buf_put(text, rule->value);
	return V_PASS;
}

static enum verdict read_value(struct event *ev, struct xml *item, struct rule_fields *rule, struct buf *text)
{
	struct span type = xml_attr(item, "type");

	rule->value = xml_attr(item, "value");
	if (!type.p)
		return rule->value.n ? bad(ev, "an item has a value without a type") : V_PASS;
	if (!rule->value.n)
		return bad(ev, "an item with a type needs a value");
	if (span_is(type, "jid"))
		return read_jid(ev, rule, text);
	if (span_is(type, "group")) {
		rule->type = RULE_GROUP;
		if (rule->value.n > GROUP_NAME_MAX)
			return bad(ev, "a group's name holds at most 1023 bytes");
		return in_roster(ev->user, rule->value) ? V_PASS
							: event_error_text(ev, SE_ITEM_NOT_FOUND, "the roster has no such group");
	}
	if (!span_is(type, "subscription"))
		return bad(ev, "an item's type is jid, group or subscription");
	rule->type = RULE_SUBSCRIPTION;
	if (!span_is(rule->value, "none") && !span_is(rule->value, "to") && !span_is(rule->value, "from") && !span_is(rule->value, "both"))
		return bad(ev, "a subscription is none, to, from or both");
	return V_PASS;
}

static enum verdict read_mask(struct event *ev, struct xml *item, struct rule_fields *rule)
{
	static const struct { const char *name; uint8_t bit; } kinds[] = { { "message", MASK_MESSAGE },
		{ "presence-in", MASK_PRESENCE_IN }, { "presence-out", MASK_PRESENCE_OUT }, { "iq", MASK_IQ } };

	for (struct xml *e = xml_child(item, NULL, NULL); e; e = xml_next(e, NULL, NULL)) {
		uint8_t bit = 0;

		for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
			if (xml_is(e, NS_PRIVACY, kinds[i].name))
				bit = kinds[i].bit;
		if (!bit || (rule->mask & bit) || xml_child(e, NULL, NULL))
			return bad(ev, "an item holds at most one empty message, iq, presence-in and presence-out");
		rule->mask |= bit;
	}
	return V_PASS;
}

static enum verdict read_item(struct event *ev, struct xml *item, struct rule_fields *rule, struct buf *text)
{
	struct span action = xml_attr(item, "action");
	enum verdict v;

	if (!xml_is(item, NS_PRIVACY, "item"))
		return bad(ev, "a list holds items only");
	rule->deny = span_is(action, "deny");
	if (!rule->deny && !span_is(action, "allow"))
		return bad(ev, "an item's action is allow or deny");
	if (!read_order(xml_attr(item, "order"), &rule->order))
		return bad(ev, "an item's order is a number from 0 to 2147483647");
	v = read_value(ev, item, rule, text);
	return v == V_PASS ? read_mask(ev, item, rule) : v;
}

static enum verdict read_items(struct event *ev, struct xml *list, struct rule_fields *rules, uint32_t n)
{
	struct buf *text = scratch(ev->shard, 0); /* of prepared JIDs, one after the other */
	struct xml *item = xml_child(list, NULL, NULL);
	enum verdict v = V_PASS;
	uint32_t at = 0;

	for (uint32_t i = 0; v == V_PASS && i < n; i++, item = xml_next(item, NULL, NULL))
		v = read_item(ev, item, &rules[i], text);
	if (v == V_PASS && text->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	for (uint32_t i = 0; v == V_PASS && i < n; i++)
		if (rules[i].type == RULE_JID) {
			rules[i].value.p = text->p + at;
			at += rules[i].value.n;
		}
	return v;
}

enum verdict privacy_read_list(struct event *ev, struct xml *list, struct privacy_list **out)
{
	struct rule_fields *rules;
	enum verdict v;
	uint32_t n = 0;

	for (struct xml *e = xml_child(list, NULL, NULL); e; e = xml_next(e, NULL, NULL))
		n++;
	if (n > privacy_limits.items)
		return privacy_too_many(ev, "too many items in a privacy list");
	rules = calloc(n, sizeof(*rules));
	if (!rules)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	v = read_items(ev, list, rules, n);
	*out = v == V_PASS ? privacy_list_new(xml_attr(list, "name"), rules, n) : NULL;
	free(rules);
	if (v != V_PASS)
		return v;
	if (!*out)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	for (uint32_t i = 1; i < n; i++)
		if ((*out)->rules[i].order == (*out)->rules[i - 1].order) {
			privacy_list_unref(out);
			return bad(ev, "two items of a list have the same order");
		}
	return V_PASS;
}
