/* roster.c - rosters as clients see them: get, set, remove, pushes. RFC 6121 section 2.
 * Threads: shards.
 * Owns: nothing; the roster itself is the user's.
 * Nothing is acknowledged, pushed or changed in memory before it is committed.
 */
#include <stdlib.h>

#include "module/roster.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

#define NAME_MAX_BYTES 1023
#define GROUPS_MAX 64 /* of one item */

static struct options {
	int64_t max_items; /* 0: no limit */
	uint32_t max_requests;
	bool drop_requests;
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->drop_requests = config_has(config, "offline.dropsubscriptions");
	o->max_requests = (uint32_t)config_int(config, "limits.subscription-requests", 1000, 1, INT32_MAX);
	o->max_items = config_int(config, "roster.maxitems", 0, 0, INT32_MAX);
	return true;
}

bool roster_full(const struct user *u)
{
	bool full = set.max_items && user_roster(u)->n >= set.max_items;

	if (full)
		stat_inc(STAT_LIMIT_ROSTER);
	return full;
}

bool roster_requests_full(const struct user *u)
{
	uint32_t n = 0;

	for (const struct pending *p = user_roster(u)->pending; p; p = p->next)
		n++;
	if (n < set.max_requests)
		return false;
	stat_inc(STAT_LIMIT_REQUESTS);
	return true;
}

bool roster_drops_requests(void)
{
	return set.drop_requests;
}

/* --- writing it out ---------------------------------------------------------------------------------------------------- */

static void put_item(struct buf *b, const struct roster_item *item)
{
	static const char *const subscription[] = { "none", "to", "from", "both" };
	const char *at = NULL;

	buf_str(b, "<item");
	buf_attr(b, "jid", item_jid(item));
	buf_attr(b, "subscription", span_str(subscription[(item->to ? 1 : 0) | (item->from ? 2 : 0)]));
	if (item->ask)
		buf_attr(b, "ask", item->ask == 1 ? SPAN("subscribe") : SPAN("unsubscribe"));
	if (item->named)
		buf_attr(b, "name", item_name(item));
	if (!item->ngroups) {
		buf_str(b, "/>");
		return;
	}
	buf_str(b, ">");
	for (uint16_t i = 0; i < item->ngroups; i++) {
		buf_str(b, "<group>");
		buf_text(b, item_group(item, &at));
		buf_str(b, "</group>");
	}
	buf_str(b, "</item>");
}

/* item NULL: jid was removed. */
static void put_query(struct buf *b, const struct roster_item *item, struct span jid, const struct roster_version *v, uint32_t number)
{
	buf_str(b, "<query xmlns='" NS_ROSTER "'");
	if (v)
		roster_version_attr(b, v, number);
	buf_str(b, ">");
	if (item) {
		put_item(b, item);
	} else {
		buf_str(b, "<item");
		buf_attr(b, "jid", jid);
		buf_str(b, " subscription='remove'/>");
	}
	buf_str(b, "</query>");
}

static void push_to(struct session *s, struct buf *content)
{
	struct shard *shard = s->user->owner;
	struct jid to = session_jid(s);

	if (!content->failed)
		send_to_session(shard, s, &(struct stanza){ .tag = "iq", .type = "set", .id = fresh_id(shard), .content = buf_span(content),
			.to = &to });
}

/* To every session that fetched the roster; those that know it by versions get the one in force with it (P9). */
static void push_all(struct event *ev, const struct roster_item *item, struct span jid)
{
	const struct roster_version *v = &user_roster(ev->user)->version;
	struct buf *plain = scratch(ev->shard, 3), *versioned = scratch(ev->shard, 2);

	put_query(plain, item, jid, NULL, 0);
	put_query(versioned, item, jid, v, v->number);
	for (struct session *s = ev->user->sessions; s; s = s->next)
		if (s->interested)
			push_to(s, s->versioned ? versioned : plain);
}

void roster_push(struct event *ev, const struct roster_item *item)
{
	push_all(ev, item, (struct span){ 0 });
}

void roster_store_item(struct store_req *req, const struct roster_item *item)
{
	const struct value jid = value_text(item_jid(item));
	struct value row[] = {
		[ITEM_JID] = jid,
		[ITEM_NAME] = item->named ? value_text(item_name(item)) : value_null(),
		[ITEM_TO] = value_int(item->to),
		[ITEM_FROM] = value_int(item->from),
		[ITEM_ASK] = value_int(item->ask),
	};
	const char *at = NULL;

	store_delete(req, T_ROSTER_ITEMS, ITEM_JID, jid);
	store_put(req, T_ROSTER_ITEMS, row);
	store_delete(req, T_ROSTER_GROUPS, GROUP_JID, jid);
	for (uint16_t i = 0; i < item->ngroups; i++) {
		struct value group[] = { [GROUP_JID] = jid, [GROUP_GROUP] = value_text(item_group(item, &at)) };

		store_put(req, T_ROSTER_GROUPS, group);
	}
}

/* --- get ------------------------------------------------------------------------------------------------------------------ */

static enum verdict whole_roster(struct event *ev, bool versioned)
{
	const struct roster *r = user_roster(ev->user);
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_ROSTER "'");
	if (versioned)
		roster_version_attr(b, &r->version, r->version.number);
	buf_str(b, ">");
	for (uint32_t i = 0; i < r->n; i++)
		put_item(b, r->items[i]);
	buf_str(b, "</query>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	ev->session->interested = true;
	ev->session->versioned = versioned;
	reply_sure(ev, buf_span(b));
	return V_HANDLED;
}

/* RFC 6121 section 2.6.3: an empty result, then a push for each contact that changed, in the order of the changes. */
static enum verdict changes_since(struct event *ev, const struct store_req *answer, uint32_t seen)
{
	const struct user *u = ev->user;

	ev->session->interested = true;
	ev->session->versioned = true;
	reply_result(ev, (struct span){ 0 });
	for (uint32_t i = 0; answer && i < store_rows(answer, 0); i++) {
		struct span jid = store_value(answer, 0, i, RCHANGE_JID).s;
		int64_t number = store_value(answer, 0, i, RCHANGE_NUMBER).i;
		struct buf *b = scratch(ev->shard, 3);

		if (number <= seen || !xml_text_ok(jid))
			continue;
		put_query(b, roster_find(u, jid), jid, &user_roster(u)->version, (uint32_t)number);
		push_to(ev->session, b);
	}
	return V_HANDLED;
}

static enum verdict on_changes(struct event *ev, struct store_req *answer)
{
	const uint32_t *seen = ev->state;

	if (!ev->session)
		return V_HANDLED;
	if (store_status(answer) != STORE_OK) {
		event_store_error(ev, answer, "changes of its roster could not be read: it is sent whole");
		return whole_roster(ev, true);
	}
	/* A roster that is smaller than what happened to it is sent whole. */
	return store_rows(answer, 0) > user_roster(ev->user)->n + 16 ? whole_roster(ev, true) : changes_since(ev, answer, *seen);
}

static enum verdict on_get(struct event *ev)
{
	const struct roster_version *v;
	struct xml *query;
	enum verdict verdict;
	struct store_req *req;
	uint32_t seen, *kept;

	if (event_asks_plainly(ev, NS_ROSTER, "query"))
		return whole_roster(ev, false);
	verdict = event_query(ev, NS_ROSTER, "query", &query);
	if (verdict != V_PASS)
		return verdict;
	if (!xml_attr(query, "ver").p)
		return whole_roster(ev, false);
	roster_version_use(ev);
	v = &user_roster(ev->user)->version;
	if (!roster_version_read(v, xml_attr(query, "ver"), &seen))
		return whole_roster(ev, true);
	if (seen == v->number)
		return changes_since(ev, NULL, seen);
	kept = malloc(sizeof(*kept));
	req = kept ? store_req_new(user_bare(ev->user)) : NULL;
	if (req) {
		*kept = seen;
		store_get(req, T_ROSTER_CHANGES, STORE_ALL, value_null());
	}
	return event_ask(ev, &req, on_changes, ASK_AFTER_WRITES, kept);
}

/* --- set ------------------------------------------------------------------------------------------------------------------ */

bool roster_change(struct user *u, struct roster_item **item)
{
	struct roster_version v = roster_version_after(u, roster_find(u, item_jid(*item)), *item);

	return roster_put(u, item) && roster_version_put(u, &v);
}

void roster_take_out(struct user *u, struct span jid)
{
	struct roster_version v = roster_version_after(u, roster_find(u, jid), NULL);

	if (u->roster)
		u->roster->version = v;
	roster_remove(u, jid);
}

bool roster_turn(struct event *ev, struct roster_item **item)
{
	const struct roster_item *now = roster_find(ev->user, item_jid(*item));
	struct roster_item *old = now && ev->user->privacy ? roster_item_copy(now) : NULL;
	bool ok;

	if (old)
		contact_turns(ev, old, *item, false);
	now = *item;
	ok = roster_change(ev->user, item);
	if (old && ok)
		contact_turns(ev, old, now, true);
	free(old);
	return ok;
}

static enum verdict on_set_committed(struct event *ev, struct store_req *answer)
{
	struct roster_item *item = ev->state;
	const struct roster_item *now;
	struct roster_item *copy;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a roster item could not be written");
	copy = roster_item_copy(item);
	if (!copy || !roster_turn(ev, &copy)) {
		/* It is written and will be there after the next load; this memory cannot hold it. */
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": roster item not kept in memory (out of memory)", SPAN_ARG(item_jid(item)));
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	now = roster_find(ev->user, item_jid(item));
	roster_push(ev, now);
	reply_result(ev, (struct span){ 0 });
	return V_HANDLED;
}

/* The groups of the request, in buf; false: one is empty or there are too many. */
bool roster_read_groups(struct xml *item, struct buf *text, struct span *groups, uint32_t *n, enum stanza_condition *why)
{
	uint32_t ends[GROUPS_MAX];

	*n = 0;
	for (struct xml *g = xml_child(item, NS_ROSTER, "group"); g; g = xml_next(g, NS_ROSTER, "group")) {
		uint32_t begin = text->n;

		*why = SE_NOT_ACCEPTABLE;
		if (*n == GROUPS_MAX)
			return false;
		xml_text(g, text);
		if (text->failed || text->n == begin || text->n - begin > NAME_MAX_BYTES)
			return false;
		ends[(*n)++] = text->n;
	}
	for (uint32_t i = 0; i < *n; i++) {
		uint32_t begin = i ? ends[i - 1] : 0;

		groups[i] = span_of(text->p + begin, ends[i] - begin);
		*why = SE_BAD_REQUEST;
		for (uint32_t k = 0; k < i; k++)
			if (span_eq(groups[i], groups[k]))
				return false;
	}
	return true;
}

static enum verdict set_item(struct event *ev, struct xml *xml, const struct jid *jid)
{
	const struct roster_item *old = roster_find(ev->user, jid_full(jid));
	struct span groups[GROUPS_MAX], name = xml_attr(xml, "name");
	struct item_fields f = { .jid = jid_full(jid), .groups = groups };
	struct roster_item *item;
	struct store_req *req;
	enum stanza_condition why;

	if (name.n > NAME_MAX_BYTES)
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "a name holds at most 1023 bytes");
	if (!roster_read_groups(xml, scratch(ev->shard, 1), groups, &f.ngroups, &why))
		return event_error(ev, why);
	if (!old && roster_full(ev->user))
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "the roster is full");
	if (old) {
		f.to = old->to;
		f.from = old->from;
		f.ask = old->ask;
	}
	/* RFC 6121 section 2.4.1: what is set is the whole item, and a name that is absent is as one that is empty. */
	f.named = name.n > 0;
	f.name = name;
	item = roster_item_new(&f);
	req = item ? store_req_new(user_bare(ev->user)) : NULL;
	if (req) {
		struct roster_version v = roster_version_after(ev->user, old, item);

		roster_store_item(req, item);
		roster_version_write(req, &v, f.jid);
	}
	return event_ask(ev, &req, on_set_committed, 0, item);
}

/* --- remove --------------------------------------------------------------------------------------------------------------- */

/* RFC 6121 section 2.5.2. While the contact is still in the roster: a privacy list that stops strangers must not stop this. */
static void part(struct event *ev, const struct roster_item *item, const struct jid *contact)
{
	struct jid me = user_jid(ev->user);

	if (item->to || item->ask)
		send_presence(ev->shard, "unsubscribe", &me, contact);
	if (item->from) {
		presence_send_unavailable_all(ev->user, contact);
		send_presence(ev->shard, "unsubscribed", &me, contact);
	}
}

static enum verdict on_removal_committed(struct event *ev, struct store_req *answer)
{
	const struct roster_item *item = ev->state;
	struct jid jid;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a roster item could not be removed");
	if (item_address(item, &jid)) {
		jid = jid_to_bare(&jid);
		part(ev, item, &jid);
	}
	contact_turns(ev, item, NULL, false);
	roster_take_out(ev->user, item_jid(item));
	push_all(ev, NULL, item_jid(item));
	reply_result(ev, (struct span){ 0 });
	contact_turns(ev, item, NULL, true);
	return V_HANDLED;
}

static enum verdict remove_item(struct event *ev, const struct jid *jid)
{
	const struct roster_item *item = roster_find(ev->user, jid_full(jid));
	struct store_req *req;
	struct roster_item *copy;

	if (!item)
		return event_error(ev, SE_ITEM_NOT_FOUND);
	copy = roster_item_copy(item);
	req = copy ? store_req_new(user_bare(ev->user)) : NULL;
	if (req) {
		store_delete(req, T_ROSTER_ITEMS, ITEM_JID, value_text(item_jid(item)));
		store_delete(req, T_ROSTER_GROUPS, GROUP_JID, value_text(item_jid(item)));
		struct roster_version v = roster_version_after(ev->user, item, NULL);

		roster_version_write(req, &v, item_jid(item));
	}
	return event_ask(ev, &req, on_removal_committed, 0, copy);
}

static enum verdict on_set(struct event *ev)
{
	struct xml *query, *item;
	enum verdict v = event_query(ev, NS_ROSTER, "query", &query);
	char buf[JID_MAX + 1];
	struct span text;
	struct jid jid;

	if (v != V_PASS)
		return v;
	item = xml_child(query, NS_ROSTER, "item");
	if (!item || xml_next(item, NS_ROSTER, "item"))
		return event_error_text(ev, SE_BAD_REQUEST, "a roster set holds exactly one item");
	text = xml_attr(item, "jid");
	if (!text.n)
		return event_error_text(ev, SE_BAD_REQUEST, "the item has no jid");
	if (!jid_prep(&jid, text, buf))
		return event_error_text(ev, SE_JID_MALFORMED, "the item's jid is not one");
	return span_is(xml_attr(item, "subscription"), "remove") ? remove_item(ev, &jid) : set_item(ev, item, &jid);
}

static enum verdict on_roster(struct event *ev)
{
	if (!ev->session)
		return V_HANDLED;
	return ev->type == ST_GET ? on_get(ev) : on_set(ev);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_ROSTER_ITEMS, STORE_ALL, value_null());
	store_delete(req, T_ROSTER_GROUPS, STORE_ALL, value_null());
	store_delete(req, T_PENDING, STORE_ALL, value_null());
	store_delete(req, T_ROSTER_VERSION, STORE_ALL, value_null());
	store_delete(req, T_ROSTER_CHANGES, STORE_ALL, value_null());
}

const struct module module_roster = {
	.name = "roster",
	.about = ABOUT_SUBSCRIPTIONS,
	.features = (const char *const[]){ NS_ROSTER, NULL },
	.options = { &set, sizeof(set), read_options, NULL },
	.part = PART_ROSTER,
	.load_ask = roster_load_ask,
	.load_done = roster_load_done,
	.iq = (const struct iq_rule[]){ { IQ_GET | IQ_SET, TO_SELF, NS_ROSTER, on_roster }, { 0 } },
	.in_sess = roster_outbound,
	.pkt_user = roster_inbound,
	.user_delete = user_delete,
};
