/* roster_load.c - a roster from its three tables.
 * Threads: shards.
 * Owns: nothing; the items go to the user.
 */
#include <stdlib.h>

#include "module/roster.h"
#include "shardsm/log.h"

int roster_load_ask(struct store_req *req)
{
	int first = store_get(req, T_ROSTER_ITEMS, STORE_ALL, value_null());

	store_get(req, T_ROSTER_GROUPS, STORE_ALL, value_null());
	store_get(req, T_PENDING, STORE_ALL, value_null());
	roster_version_ask(req);
	return first;
}

struct group_row {
	struct span jid, group;
	uint32_t row;
};

static int by_jid(const void *a, const void *b)
{
	const struct group_row *x = a, *y = b;
	int c = span_compare(x->jid, y->jid);

	if (c)
		return c;
	return x->row < y->row ? -1 : 1;
}

/* The first row of jid's groups; they stand together. */
static uint32_t first_of(const struct group_row *rows, uint32_t n, struct span jid)
{
	const struct group_row key = { .jid = jid };
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (by_jid(&rows[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Rows are untrusted: one with a JID that is none, or text that is not XML's, would close the link that it is sent over. */
static bool sound(struct span text)
{
	return xml_text_ok(text);
}

static bool load_item(struct user *u, const struct store_req *req, int first, uint32_t row, const struct group_row *groups, uint32_t ngroups)
{
	struct value name = store_value(req, first, row, ITEM_NAME);
	struct item_fields f = {
		.jid = store_value(req, first, row, ITEM_JID).s,
		.name = name.s,
		.named = name.kind == VALUE_TEXT && name.s.n,
		.to = store_value(req, first, row, ITEM_TO).i != 0,
		.from = store_value(req, first, row, ITEM_FROM).i != 0,
		.ask = (uint8_t)store_value(req, first, row, ITEM_ASK).i,
	};
	char buf[JID_MAX + 1];
	struct roster_item *item;
	struct span *names;
	struct jid jid;
	uint32_t i = first_of(groups, ngroups, f.jid);

	if (!jid_prep(&jid, f.jid, buf) || !sound(f.name)) {
		log_limited(LOG_LEVEL_WARNING, SPAN_FMT ": a roster row is not readable and left out", SPAN_ARG(store_req_owner(req)));
		return true;
	}
	names = malloc((ngroups - i + 1) * sizeof(*names));
	if (!names)
		return false;
	for (; i < ngroups && span_eq(groups[i].jid, f.jid); i++)
		if (sound(groups[i].group))
			names[f.ngroups++] = groups[i].group;
	f.jid = jid_full(&jid);
	f.groups = names;
	item = roster_item_new(&f);
	free(names);
	return item && roster_put(u, &item);
}

static bool load_pending(struct user *u, const struct store_req *req, int stmt)
{
	struct buf attrs, content;
	bool ok = true;

	buf_init(&attrs);
	buf_init(&content);
	for (uint32_t i = 0; ok && i < store_rows(req, stmt); i++) {
		char from[JID_MAX + 1];
		struct jid who;

		buf_clear(&attrs);
		buf_clear(&content);
		if (stored_request(u->owner, store_value(req, stmt, i, PENDING_XML).s, &who, from, &attrs, &content))
			ok = roster_pending_put(u, jid_bare(&who), buf_span(&attrs), buf_span(&content));
	}
	buf_free(&attrs);
	buf_free(&content);
	return ok;
}

bool roster_load_done(struct user *u, const struct store_req *req, int first)
{
	uint32_t n = store_rows(req, first), ngroups = store_rows(req, first + 1);
	struct group_row *groups = malloc((ngroups + 1) * sizeof(*groups));
	bool ok = groups != NULL;

	for (uint32_t i = 0; ok && i < ngroups; i++)
		groups[i] = (struct group_row){ store_value(req, first + 1, i, GROUP_JID).s, store_value(req, first + 1, i, GROUP_GROUP).s, i };
	if (ok && ngroups > 1)
		qsort(groups, ngroups, sizeof(*groups), by_jid);
	for (uint32_t i = 0; ok && i < n; i++)
		ok = load_item(u, req, first, i, groups, ngroups);
	free(groups);
	return ok && load_pending(u, req, first + 2) && roster_version_load(u, req, first + 3);
}
