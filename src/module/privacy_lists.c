/* privacy_lists.c - XEP-0016's requests: lists got, set and removed, the active and the default one.
 * Threads: shards.
 * Owns: nothing.
 */
#include "module/privacy.h"

static enum verdict bad(struct event *ev, const char *why)
{
	return event_error_text(ev, SE_BAD_REQUEST, why);
}

/* The name that a child has; p NULL where it has none. */
static enum verdict read_name(struct event *ev, struct xml *e, struct span *name)
{
	*name = xml_attr(e, "name");
	if (name->p && (!name->n || name->n > LIST_NAME_MAX))
		return bad(ev, "a list's name holds 1 to 255 bytes");
	return V_PASS;
}

/* --- get ------------------------------------------------------------------------------------------------------------------ */

static void put_named(struct buf *b, const char *tag, const struct privacy_list *list)
{
	if (!list)
		return;
	buf_fmt(b, "<%s", tag);
	buf_attr(b, "name", privacy_list_name(list));
	buf_str(b, "/>");
}

/* order: what no other item of the list has; those that were blocked have all the same in the database. */
static void put_rule(struct buf *b, const struct rule_fields *r, uint32_t order)
{
	static const char *const types[] = { [RULE_JID] = "jid", [RULE_GROUP] = "group", [RULE_SUBSCRIPTION] = "subscription" };

	buf_str(b, "<item");
	if (r->type) {
		buf_attr(b, "type", span_str(types[r->type]));
		buf_attr(b, "value", r->value);
	}
	buf_fmt(b, " action='%s' order='%u'", r->deny ? "deny" : "allow", order);
	if (!r->mask) {
		buf_str(b, "/>");
		return;
	}
	buf_fmt(b, ">%s%s%s%s</item>", r->mask & MASK_MESSAGE ? "<message/>" : "", r->mask & MASK_PRESENCE_IN ? "<presence-in/>" : "",
		r->mask & MASK_PRESENCE_OUT ? "<presence-out/>" : "", r->mask & MASK_IQ ? "<iq/>" : "");
}

static void put_list(struct buf *b, const struct privacy_list *list)
{
	int64_t last = -1;

	buf_str(b, "<list");
	buf_attr(b, "name", privacy_list_name(list));
	buf_str(b, ">");
	for (uint32_t i = 0; i < list->n; i++) {
		const struct rule_fields r = privacy_rule(list, i);

		last = r.order > last ? r.order : last + 1;
		put_rule(b, &r, (uint32_t)last);
	}
	buf_str(b, "</list>");
}

static enum verdict get(struct event *ev, struct xml *child)
{
	const struct privacy *p = ev->user->privacy;
	struct buf *b = scratch(ev->shard, 0);
	struct privacy_list *list;
	struct span name;
	enum verdict v;

	buf_str(b, "<query xmlns='" NS_PRIVACY "'>");
	if (child) {
		v = read_name(ev, child, &name);
		if (v != V_PASS)
			return v;
		if (!xml_is(child, NS_PRIVACY, "list") || !name.p || xml_child(child, NULL, NULL) || xml_next(child, NULL, NULL))
			return bad(ev, "a get names nothing, or one list");
		list = privacy_find(p, name);
		if (!list)
			return event_error(ev, SE_ITEM_NOT_FOUND);
		put_list(b, list);
	} else if (p) {
		put_named(b, "active", privacy_active(p, ev->session));
		put_named(b, "default", p->def);
		for (uint32_t i = 0; i < p->n; i++)
			put_named(b, "list", p->lists[i]);
	}
	buf_str(b, "</query>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

/* --- active and default --------------------------------------------------------------------------------------------------- */

/* Section 2.2, rule 11: does a list apply to another connected resource? PBX sessions can't put up with a conflict. */
static bool in_use_elsewhere(const struct event *ev, const struct privacy_list *list)
{
	for (const struct session *s = ev->user->sessions; s; s = s->next)
		if (s != ev->session && !s->fake && privacy_in_force(ev->user->privacy, s) == list)
			return true;
	return false;
}

static enum verdict unchanged(struct event *ev)
{
	reply_result(ev, (struct span){ 0 });
	return V_HANDLED;
}

static enum verdict set_active(struct event *ev, struct privacy_list *list)
{
	struct privacy *next;
	struct store_req *none = NULL;

	if (list == privacy_active(ev->user->privacy, ev->session))
		return unchanged(ev);
	next = privacy_copy(ev->user);
	if (!next || !privacy_activate(next, ev->session, list)) {
		privacy_free(&next);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	return privacy_commit(ev, &next, &none, &(struct privacy_news){ { 0 } });
}

static enum verdict set_default(struct event *ev, struct privacy_list *list)
{
	struct privacy_list *old = ev->user->privacy ? ev->user->privacy->def : NULL;
	struct store_req *req;
	struct privacy *next;

	if (list == old)
		return unchanged(ev);
	if (old && in_use_elsewhere(ev, old))
		return event_error_text(ev, SE_CONFLICT, "the default list applies to another resource");
	next = privacy_copy(ev->user);
	req = next ? privacy_request(ev) : NULL;
	if (!req) {
		privacy_free(&next);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	next->def = list;
	store_delete(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null()); /* P16: declining it, too, is for good */
	if (list)
		store_put(req, T_PRIVACY_DEFAULT, (struct value[]){ [PRIVDEF_DEFAULT] = value_text(privacy_list_name(list)) });
	return privacy_commit(ev, &next, &req, &(struct privacy_news){ { 0 } });
}

static enum verdict set_current(struct event *ev, struct xml *e, enum verdict (*set)(struct event *, struct privacy_list *))
{
	struct privacy_list *list = NULL;
	struct span name;
	enum verdict v = read_name(ev, e, &name);

	if (v != V_PASS)
		return v;
	if (xml_child(e, NULL, NULL))
		return bad(ev, "active and default are empty");
	if (name.p && !(list = privacy_find(ev->user->privacy, name)))
		return event_error(ev, SE_ITEM_NOT_FOUND);
	return set(ev, list);
}

/* --- lists ---------------------------------------------------------------------------------------------------------------- */

static enum verdict commit_list(struct event *ev, struct privacy **next, struct span name, bool default_gone)
{
	struct store_req *req = privacy_request(ev);

	if (!req) {
		privacy_free(next);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	privacy_store_list(req, name, privacy_find(*next, name));
	if (default_gone)
		store_delete(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null());
	return privacy_commit(ev, next, &req, &(struct privacy_news){ .list = name });
}

static enum verdict remove_list(struct event *ev, struct span name)
{
	struct privacy_list *list = privacy_find(ev->user->privacy, name);
	struct privacy *next;

	if (!list)
		return event_error(ev, SE_ITEM_NOT_FOUND);
	if (in_use_elsewhere(ev, list))
		return event_error_text(ev, SE_CONFLICT, "the list applies to another resource");
	next = privacy_copy(ev->user);
	if (!next)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	privacy_remove(next, list);
	return commit_list(ev, &next, name, ev->user->privacy->def == list);
}

static enum verdict set_list(struct event *ev, struct xml *e)
{
	const struct privacy *p = ev->user->privacy;
	struct privacy_list *list;
	struct privacy *next;
	struct span name;
	enum verdict v = read_name(ev, e, &name);

	if (v != V_PASS)
		return v;
	if (!name.p)
		return bad(ev, "the list has no name");
	if (!xml_child(e, NULL, NULL))
		return remove_list(ev, name);
	v = privacy_read_list(ev, e, &list);
	if (v != V_PASS)
		return v;
	if (p && p->n >= privacy_limits.lists && !privacy_find(p, name)) {
		privacy_list_unref(&list);
		return privacy_too_many(ev, "too many privacy lists");
	}
	next = privacy_copy(ev->user);
	if (!next) {
		privacy_list_unref(&list);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	if (!privacy_put(next, &list)) {
		privacy_free(&next);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	return commit_list(ev, &next, name, false);
}

enum verdict privacy_on_lists(struct event *ev)
{
	struct xml *query = event_request(ev), *child;

	if (!ev->session)
		return V_HANDLED;
	if (!event_payload(ev))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (ev->packet->to.s)
		return bad(ev, "privacy lists are asked for without an addressee");
	if (!xml_is(query, NS_PRIVACY, "query") || xml_next(query, NULL, NULL))
		return bad(ev, "the request is exactly one query element");
	ev->session->asked |= ASKED_LISTS;
	child = xml_child(query, NULL, NULL);
	if (ev->type == ST_GET)
		return get(ev, child);
	if (!child || xml_next(child, NULL, NULL))
		return bad(ev, "a set holds exactly one list, active or default");
	if (xml_is(child, NS_PRIVACY, "list"))
		return set_list(ev, child);
	if (xml_is(child, NS_PRIVACY, "active"))
		return set_current(ev, child, set_active);
	if (xml_is(child, NS_PRIVACY, "default"))
		return set_current(ev, child, set_default);
	return bad(ev, "a set holds exactly one list, active or default");
}
