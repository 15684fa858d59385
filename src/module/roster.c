/* roster.c - rosters as clients see them: get, set, remove, pushes. RFC 6121 section 2.
 * Threads: shards.
 * Owns: nothing; the roster itself is the user's.
 * Nothing is acknowledged, pushed or changed in memory before it is committed.
 */
#include <stdlib.h>

#include "module/roster.h"
#include "shardsm/log.h"

#define NAME_MAX_BYTES 1023
#define GROUPS_MAX 64 /* of one item */

static int64_t max_items; /* 0: no limit */
bool roster_drop_requests;

static bool start(struct config *config)
{
	roster_drop_requests = config_has(config, "offline.dropsubscriptions");
	max_items = config_int(config, "roster.maxitems", 0, 0, INT32_MAX);
	return true;
}

bool roster_full(const struct user *u)
{
	return max_items && u->roster.n >= max_items;
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

static void push_content(struct event *ev, struct span content)
{
	for (struct session *s = ev->user->sessions; s; s = s->next) {
		struct jid to = session_jid(s);

		if (s->interested)
			send_to_session(ev->shard, s, &(struct stanza){ .tag = "iq", .type = "set", .id = fresh_id(ev->shard),
				.content = content, .to = &to });
	}
}

void roster_push(struct event *ev, const struct roster_item *item)
{
	struct buf *b = scratch(ev->shard, 3);

	buf_str(b, "<query xmlns='" NS_ROSTER "'>");
	put_item(b, item);
	buf_str(b, "</query>");
	if (!b->failed)
		push_content(ev, buf_span(b));
}

static void push_removal(struct event *ev, struct span jid)
{
	struct buf *b = scratch(ev->shard, 3);

	buf_str(b, "<query xmlns='" NS_ROSTER "'><item");
	buf_attr(b, "jid", jid);
	buf_str(b, " subscription='remove'/></query>");
	if (!b->failed)
		push_content(ev, buf_span(b));
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

static enum verdict on_get(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_ROSTER "'>");
	for (uint32_t i = 0; i < ev->user->roster.n; i++)
		put_item(b, ev->user->roster.items[i]);
	buf_str(b, "</query>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	ev->session->interested = true;
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

/* --- set ------------------------------------------------------------------------------------------------------------------ */

static enum verdict on_set_committed(struct event *ev, struct store_req *answer)
{
	struct roster_item *item = ev->state;
	const struct roster_item *now;
	struct roster_item *copy;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a roster item could not be written");
	size_t size = sizeof(*item) + item->jid_len + item->name_len + item->groups_len;

	copy = malloc(size);
	if (copy)
		memcpy(copy, item, size);
	if (!copy || !roster_put(ev->user, &copy)) {
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
static bool read_groups(struct xml *item, struct buf *text, struct span *groups, uint32_t *n, enum stanza_condition *why)
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
	if (!read_groups(xml, scratch(ev->shard, 1), groups, &f.ngroups, &why))
		return event_error(ev, why);
	if (!old && roster_full(ev->user))
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "the roster is full");
	if (old) {
		f.to = old->to;
		f.from = old->from;
		f.ask = old->ask;
	}
	f.named = name.p ? name.n > 0 : old && old->named; /* jabberd2: absent leaves it, empty removes it */
	f.name = name.p ? name : old ? item_name(old) : name;
	item = roster_item_new(&f);
	req = item ? store_req_new(span_of(ev->user->view.bare, ev->user->view.bare_len)) : NULL;
	if (req)
		roster_store_item(req, item);
	return event_ask(ev, &req, on_set_committed, 0, item);
}

/* --- remove --------------------------------------------------------------------------------------------------------------- */

static enum verdict on_removal_committed(struct event *ev, struct store_req *answer)
{
	const struct roster_item *item = ev->state;
	struct jid jid, me = user_jid(ev->user);

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a roster item could not be removed");
	roster_remove(ev->user, item_jid(item));
	push_removal(ev, item_jid(item));
	reply_result(ev, (struct span){ 0 });
	if (!jid_split(&jid, item_jid(item)))
		return V_HANDLED;
	jid = jid_to_bare(&jid);
	if (item->to || item->ask)
		send_presence(ev->shard, "unsubscribe", &me, &jid);
	if (item->from) {
		presence_send_unavailable_all(ev->user, &jid);
		send_presence(ev->shard, "unsubscribed", &me, &jid);
	}
	return V_HANDLED;
}

static enum verdict remove_item(struct event *ev, const struct jid *jid)
{
	const struct roster_item *item = roster_find(ev->user, jid_full(jid));
	struct store_req *req;
	struct roster_item *copy;

	if (!item)
		return event_error(ev, SE_ITEM_NOT_FOUND);
	copy = malloc(sizeof(*item) + item->jid_len);
	req = copy ? store_req_new(span_of(ev->user->view.bare, ev->user->view.bare_len)) : NULL;
	if (copy)
		memcpy(copy, item, sizeof(*item) + item->jid_len);
	if (req) {
		store_delete(req, T_ROSTER_ITEMS, ITEM_JID, value_text(item_jid(item)));
		store_delete(req, T_ROSTER_GROUPS, GROUP_JID, value_text(item_jid(item)));
	}
	return event_ask(ev, &req, on_removal_committed, 0, copy);
}

static enum verdict on_set(struct event *ev)
{
	struct xml *query = event_request(ev), *item = query ? xml_child(query, NS_ROSTER, "item") : NULL;
	char buf[JID_MAX + 1];
	struct span text;
	struct jid jid;

	if (!query)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
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
}

const struct module module_roster = {
	.name = "roster",
	.features = (const char *const[]){ NS_ROSTER, NULL },
	.start = start,
	.part = PART_ROSTER,
	.load_ask = roster_load_ask,
	.load_done = roster_load_done,
	.iq = (const struct iq_rule[]){ { IQ_GET | IQ_SET, TO_SELF, NS_ROSTER, on_roster }, { 0 } },
	.in_sess = roster_outbound,
	.pkt_user = roster_inbound,
	.user_delete = user_delete,
};
