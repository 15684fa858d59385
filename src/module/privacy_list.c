/* privacy_list.c - one privacy list: made, and asked about a stanza.
 * Threads: the owning shard's.
 * Owns: lists count their references.
 */
#include <stdlib.h>

#include "module/privacy.h"

static char *text_of(struct privacy_list *list)
{
	return (char *)(list->rules + list->n);
}

static struct span value_of(const struct privacy_list *list, const struct rule *r)
{
	return span_of((const char *)(list->rules + list->n) + r->at, r->len);
}

struct span privacy_list_name(const struct privacy_list *list)
{
	return span_of((const char *)(list->rules + list->n), list->name_len);
}

/* Places in the order of processing; equals stay as they came. */
static int by_order(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void fill(struct privacy_list *list, struct rule *r, const struct rule_fields *f, uint32_t *at)
{
	struct jid jid = { 0 };

	*r = (struct rule){ .order = f->order, .at = *at, .len = (uint16_t)f->value.n, .type = f->type, .deny = f->deny,
		.mask = f->mask == MASK_ALL ? 0 : f->mask };
	if (f->value.n)
		memcpy(text_of(list) + *at, f->value.p, f->value.n);
	if (f->type == RULE_JID && jid_split(&jid, f->value)) {
		r->bare_len = jid.bare_len;
		r->node_len = jid.node_len;
	}
	list->uses_roster |= f->type == RULE_GROUP || f->type == RULE_SUBSCRIPTION;
	*at += f->value.n + 1u; /* no two rules begin at the same byte: by_order() keeps their order */
}

struct privacy_list *privacy_list_new(struct span name, const struct rule_fields *rules, uint32_t n)
{
	size_t text = name.n;
	uint32_t at = name.n;

	for (uint32_t i = 0; i < n; i++)
		text += rules[i].value.n + 1u;
	struct privacy_list *list = malloc(sizeof(*list) + n * sizeof(*list->rules) + text);

	if (!list)
		return NULL;
	*list = (struct privacy_list){ .refs = 1, .n = n, .name_len = (uint16_t)name.n };
	memcpy(text_of(list), name.p, name.n);
	for (uint32_t i = 0; i < n; i++)
		fill(list, &list->rules[i], &rules[i], &at);
	if (n)
		qsort(list->rules, n, sizeof(*list->rules), by_order);
	return list;
}

void privacy_list_unref(struct privacy_list **list)
{
	if (*list && --(*list)->refs == 0)
		free(*list);
	*list = NULL;
}

struct rule_fields privacy_rule(const struct privacy_list *list, uint32_t i)
{
	const struct rule *r = &list->rules[i];

	return (struct rule_fields){ .order = r->order, .type = r->type, .mask = r->mask, .deny = r->deny, .value = value_of(list, r) };
}

bool privacy_blocks(const struct rule *r)
{
	return r->type == RULE_JID && r->deny && !r->mask;
}

uint32_t privacy_blocked(const struct privacy_list *list, struct span jid)
{
	uint32_t i = 0;

	while (list && i < list->n && !(privacy_blocks(&list->rules[i]) && span_eq(value_of(list, &list->rules[i]), jid)))
		i++;
	return i;
}

bool privacy_names_resource(const struct privacy_list *list, uint32_t i, struct jid *out)
{
	const struct rule *r = &list->rules[i];

	if (r->type != RULE_JID || !r->node_len || r->len <= r->bare_len)
		return false;
	*out = (struct jid){ value_of(list, r).p, r->node_len, r->bare_len, r->len };
	return true;
}

uint32_t privacy_first(const struct privacy_list *list, struct span jid)
{
	uint32_t i = 0;

	while (i < list->n && !(list->rules[i].type == RULE_JID && span_eq(value_of(list, &list->rules[i]), jid)))
		i++;
	return i;
}

/* --- asking ---------------------------------------------------------------------------------------------------------------- */

/* Section 2.1: user@domain/resource, user@domain (any resource), domain/resource, domain (everybody there). */
static bool matches_jid(const struct privacy_list *list, const struct rule *r, const struct jid *peer)
{
	struct span v = value_of(list, r);

	if (r->len > r->bare_len && r->node_len)
		return span_eq(v, jid_full(peer));
	if (r->node_len)
		return span_eq(v, jid_bare(peer));
	if (!span_eq(span_of(v.p, r->bare_len), jid_domain(peer)))
		return false;
	return r->len == r->bare_len ||
		(jid_has_resource(peer) && span_eq(span_of(v.p + r->bare_len + 1, r->len - r->bare_len - 1u), jid_resource(peer)));
}

/* The peer's item: as jabberd2 looks for it, the full JID, then the bare one, then the domain. */
static const struct roster_item *item_of(const struct user *u, const struct jid *peer)
{
	const struct roster_item *item = roster_find(u, jid_full(peer));

	if (!item && jid_has_resource(peer))
		item = roster_find(u, jid_bare(peer));
	return item || !peer->node_len ? item : roster_find(u, jid_domain(peer));
}

static bool matches_group(const struct roster_item *item, struct span group)
{
	const char *at = NULL;

	for (uint16_t i = 0; item && i < item->ngroups; i++)
		if (span_eq(item_group(item, &at), group))
			return true;
	return false;
}

/* "none" are those who are in no roster, too; but not one's own server, which is no contact. */
static bool matches_subscription(const struct user *u, const struct roster_item *item, const struct jid *peer, struct span value)
{
	static const char *const names[] = { "none", "to", "from", "both" };
	struct jid me = user_jid(u);

	if (!item && !peer->node_len && span_eq(jid_domain(peer), jid_domain(&me)))
		return false;
	return span_is(value, names[item ? (item->to ? 1 : 0) | (item->from ? 2 : 0) : 0]);
}

bool privacy_denies(const struct privacy_list *list, const struct user *u, const struct jid *peer, uint8_t kind)
{
	return list && privacy_denies_as(list, u, peer, kind, list->uses_roster ? item_of(u, peer) : NULL);
}

bool privacy_denies_as(const struct privacy_list *list, const struct user *u, const struct jid *peer, uint8_t kind,
	const struct roster_item *item)
{
	struct jid me = user_jid(u);

	/* Section 2.1: never between a user's own resources. */
	if (!list || jid_same_bare(peer, &me))
		return false;
	for (uint32_t i = 0; i < list->n; i++) {
		const struct rule *r = &list->rules[i];

		if (r->mask && !(r->mask & kind))
			continue;
		if (r->type == RULE_ANY || (r->type == RULE_JID && matches_jid(list, r, peer)) ||
			(r->type == RULE_GROUP && matches_group(item, value_of(list, r))) ||
			(r->type == RULE_SUBSCRIPTION && matches_subscription(u, item, peer, value_of(list, r))))
			return r->deny;
	}
	return false;
}
