/* privacy_blocking.c - XEP-0191 Blocking Command: the JIDs that the default privacy list denies altogether.
 * Threads: shards.
 * Owns: nothing.
 */
#include <stdlib.h>

#include "module/privacy.h"

/* The JIDs of a request. Their text is in scratch(0). */
struct jids {
	uint32_t n;
	struct span *at;
};

static enum verdict bad(struct event *ev, const char *why)
{
	return event_error_text(ev, SE_BAD_REQUEST, why);
}

static bool has(const struct jids *jids, struct span jid)
{
	for (uint32_t i = 0; i < jids->n; i++)
		if (span_eq(jids->at[i], jid))
			return true;
	return false;
}

static enum verdict read_jid(struct event *ev, struct xml *item, struct buf *text, struct span *out)
{
	char room[JID_MAX + 1];
	struct span jid = xml_attr(item, "jid");
	struct jid j;

	if (!xml_is(item, NS_BLOCKING, "item") || !jid.n)
		return bad(ev, "what is blocked is items with a jid");
	if (!jid_prep(&j, jid, room))
		return event_error_text(ev, SE_JID_MALFORMED, "an item's jid is not one");
	buf_put(text, jid_full(&j));
	*out = jid_full(&j); /* the length; text may move */
	return V_PASS;
}

/* jids->at is the caller's to free, in any case. */
static enum verdict read_jids(struct event *ev, struct xml *request, struct jids *jids)
{
	struct buf *text = scratch(ev->shard, 0);
	uint32_t n = 0, at = 0;
	enum verdict v = V_PASS;

	for (struct xml *e = xml_child(request, NULL, NULL); e; e = xml_next(e, NULL, NULL))
		n++;
	*jids = (struct jids){ 0, malloc((n + 1u) * sizeof(*jids->at)) };
	if (n > privacy_limits.items)
		return privacy_too_many(ev, "too many items at once");
	if (!jids->at)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	n = 0;
	for (struct xml *e = xml_child(request, NULL, NULL); v == V_PASS && e; e = xml_next(e, NULL, NULL))
		v = read_jid(ev, e, text, &jids->at[n++]);
	if (v == V_PASS && text->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	for (uint32_t i = 0; v == V_PASS && i < n; i++) {
		struct span jid = span_of(text->p + at, jids->at[i].n);

		at += jid.n;
		if (!has(jids, jid))
			jids->at[jids->n++] = jid;
	}
	return v;
}

static void write_push(struct buf *b, const char *tag, const struct jids *jids)
{
	buf_fmt(b, "<%s xmlns='" NS_BLOCKING "'>", tag);
	for (uint32_t i = 0; i < jids->n; i++) {
		buf_str(b, "<item");
		buf_attr(b, "jid", jids->at[i]);
		buf_str(b, "/>");
	}
	buf_fmt(b, "</%s>", tag);
}

/* --- blocklist ------------------------------------------------------------------------------------------------------------ */

static enum verdict get(struct event *ev)
{
	const struct privacy_list *list = ev->user->privacy ? ev->user->privacy->def : NULL;
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<blocklist xmlns='" NS_BLOCKING "'>");
	for (uint32_t i = 0; list && i < list->n; i++) {
		if (!privacy_blocks(&list->rules[i]))
			continue;
		buf_str(b, "<item");
		buf_attr(b, "jid", privacy_rule(list, i).value);
		buf_str(b, "/>");
	}
	buf_str(b, "</blocklist>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	ev->session->asked |= ASKED_BLOCKLIST;
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

/* --- what an edit makes of the list ------------------------------------------------------------------------------------------ */

struct edit {
	struct span name;
	const struct privacy_list *old; /* NULL: there is none yet */
	struct rule_fields *rules;      /* of the new one */
	uint32_t n, added;              /* the added ones are the first */
	bool rewrite;                   /* rows that stand there must go, or stand behind the added ones */
};

/* Blocked JIDs come first (XEP-0191 section 3): those that do not yet, from wherever they stand. */
static void add_rules(struct edit *e, const struct jids *jids)
{
	uint32_t old_n = e->old ? e->old->n : 0, first = 0, at;
	int32_t order = old_n && e->old->rules[0].order < 0 ? e->old->rules[0].order : 0;

	while (first < old_n && privacy_blocks(&e->old->rules[first]))
		first++;
	for (uint32_t i = 0; i < jids->n; i++)
		if (privacy_blocked(e->old, jids->at[i]) >= first)
			e->rules[e->n++] = (struct rule_fields){ .order = order, .type = RULE_JID, .deny = true, .value = jids->at[i] };
	e->added = e->n;
	for (at = 0; at < old_n; at++) {
		const struct rule *r = &e->old->rules[at];
		const struct rule_fields f = privacy_rule(e->old, at);
		bool moved = at >= first && privacy_blocks(r) && has(jids, f.value);

		e->rewrite |= moved || (r->order <= order && !privacy_blocks(r));
		if (!moved)
			e->rules[e->n++] = f;
	}
}

static struct store_req *write_edit(struct event *ev, const struct edit *e, const struct privacy_list *list, bool new_default)
{
	struct store_req *req = privacy_request(ev);

	if (!req)
		return NULL;
	if (e->rewrite)
		privacy_store_list(req, e->name, list);
	for (uint32_t i = 0; !e->rewrite && i < e->added; i++)
		privacy_store_rule(req, e->name, &e->rules[i]);
	if (new_default || !list)
		store_delete(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null());
	if (new_default)
		store_put(req, T_PRIVACY_DEFAULT, (struct value[]){ [PRIVDEF_DEFAULT] = value_text(e->name) });
	return req;
}

static enum verdict commit(struct event *ev, const struct edit *e, const struct privacy_news *news)
{
	const struct privacy *p = ev->user->privacy;
	struct privacy_list *list = e->n ? privacy_list_new(e->name, e->rules, e->n) : NULL, *kept = list;
	struct privacy *next = !e->n || list ? privacy_copy(ev->user) : NULL;
	struct store_req *req = NULL;
	bool new_default = !p || !p->def;

	if (!next || (list && !privacy_put(next, &list)))
		goto fail;
	if (!kept)
		privacy_remove(next, privacy_find(next, e->name)); /* a list without items cannot be stored */
	else
		next->def = kept;
	if (!(req = write_edit(ev, e, kept, kept && new_default)))
		goto fail;
	return privacy_commit(ev, &next, &req, news);
fail:
	if (list)
		privacy_list_unref(&list);
	privacy_free(&next);
	return event_error(ev, SE_RESOURCE_CONSTRAINT);
}

static enum verdict told_only(struct event *ev, const struct buf *push)
{
	struct privacy *same = privacy_copy(ev->user);
	struct store_req *none = NULL;

	if (!same)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	return privacy_commit(ev, &same, &none, &(struct privacy_news){ .blocking = buf_span(push) });
}

static enum verdict block(struct event *ev, const struct jids *jids)
{
	const struct privacy *p = ev->user->privacy;
	struct edit e = { .name = SPAN(BLOCKING_LIST) };
	struct buf *push = scratch(ev->shard, 1);
	enum verdict v;

	if (!jids->n)
		return bad(ev, "nothing is to be blocked");
	if (p && p->def)
		e.name = privacy_list_name(p->def);
	e.old = privacy_find(p, e.name);
	e.rules = calloc(jids->n + (e.old ? e.old->n : 0), sizeof(*e.rules));
	write_push(push, "block", jids);
	if (!e.rules || push->failed) {
		free(e.rules);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	add_rules(&e, jids);
	if (!e.added && p && p->def)
		v = told_only(ev, push);
	else if (e.added && e.n > privacy_limits.items)
		v = privacy_too_many(ev, "too many JIDs are blocked");
	else
		v = commit(ev, &e, &(struct privacy_news){ .list = e.name, .blocking = buf_span(push) });
	free(e.rules);
	return v;
}

static enum verdict unblock(struct event *ev, const struct jids *jids)
{
	struct privacy_list *old = ev->user->privacy ? ev->user->privacy->def : NULL;
	struct edit e = { .old = old, .rewrite = true };
	struct buf *push = scratch(ev->shard, 1);
	enum verdict v;

	for (uint32_t i = 0; i < jids->n; i++)
		if (!old || privacy_blocked(old, jids->at[i]) == old->n)
			return event_error(ev, SE_ITEM_NOT_FOUND);
	write_push(push, "unblock", jids);
	e.rules = old ? calloc(old->n, sizeof(*e.rules)) : NULL;
	if (push->failed || (old && !e.rules))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	for (uint32_t i = 0; old && i < old->n; i++) {
		const struct rule_fields f = privacy_rule(old, i);

		if (!privacy_blocks(&old->rules[i]) || (jids->n && !has(jids, f.value)))
			e.rules[e.n++] = f;
	}
	if (old)
		e.name = privacy_list_name(old);
	if (!old || e.n == old->n)
		v = told_only(ev, push);
	else
		v = commit(ev, &e, &(struct privacy_news){ .list = e.name, .blocking = buf_span(push) });
	free(e.rules);
	return v;
}

enum verdict privacy_on_blocking(struct event *ev)
{
	struct xml *request = event_request(ev);
	struct jids jids;
	bool blocks;
	enum verdict v;

	if (!ev->session)
		return V_HANDLED;
	if (!event_payload(ev))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (ev->packet->to.s)
		return bad(ev, "blocking is asked for without an addressee");
	if (!request || xml_next(request, NULL, NULL))
		return bad(ev, "the request is exactly one element");
	if (ev->type == ST_GET)
		return xml_is(request, NS_BLOCKING, "blocklist") && !xml_child(request, NULL, NULL)
			? get(ev) : bad(ev, "what can be got is an empty blocklist element");
	blocks = xml_is(request, NS_BLOCKING, "block");
	if (!blocks && !xml_is(request, NS_BLOCKING, "unblock"))
		return bad(ev, "what can be set is block and unblock");
	v = read_jids(ev, request, &jids);
	if (v == V_PASS)
		v = blocks ? block(ev, &jids) : unblock(ev, &jids);
	free(jids.at);
	return v;
}
