/* roster_subscription.c - subscription stanzas, out and in. RFC 6121 section 3; the state machine itself is subscription.h.
 * Threads: shards.
 * Owns: nothing.
 */
#include <stdlib.h>

#include "module/roster.h"
#include "shardsm/log.h"
#include "shardsm/subscription.h"

static bool kind_of(uint8_t type, enum subscription_kind *kind)
{
	switch (type) {
	case ST_SUBSCRIBE:
		*kind = SUB_SUBSCRIBE;
		return true;
	case ST_SUBSCRIBED:
		*kind = SUB_SUBSCRIBED;
		return true;
	case ST_UNSUBSCRIBE:
		*kind = SUB_UNSUBSCRIBE;
		return true;
	case ST_UNSUBSCRIBED:
		*kind = SUB_UNSUBSCRIBED;
		return true;
	default:
		return false;
	}
}

static struct subscription state_of(const struct user *u, struct span contact)
{
	const struct roster_item *item = roster_find(u, contact);

	return (struct subscription){ .to = item && item->to, .from = item && item->from, .ask = item && item->ask == 1,
		.pending = roster_pending(u, contact) != NULL };
}

/* The contact's item with the new state. NULL: no memory. */
static struct roster_item *changed_item(const struct user *u, struct span contact, struct subscription next)
{
	const struct roster_item *old = roster_find(u, contact);
	struct item_fields f = { .jid = contact, .to = next.to, .from = next.from, .ask = next.ask };
	struct span *groups = old && old->ngroups ? malloc(old->ngroups * sizeof(*groups)) : NULL;
	struct roster_item *item;
	const char *at = NULL;

	if (old) {
		if (old->ngroups && !groups)
			return NULL;
		f.named = old->named;
		f.name = item_name(old);
		f.groups = groups;
		for (; f.ngroups < old->ngroups; f.ngroups++)
			groups[f.ngroups] = item_group(old, &at);
	}
	item = roster_item_new(&f);
	free(groups);
	return item;
}

/* What a step comes to, kept until it is committed. The new item (if the roster changes) is rebuilt from next then. */
struct change {
	struct subscription before;
	struct subscription_step step;
	uint8_t kind;
};

static enum verdict commit(struct event *ev, const struct jid *contact, struct change change, resume_fn *fn)
{
	struct user *u = ev->user;
	struct store_req *req = store_req_new(user_bare(u));
	struct roster_item *item = change.step.push ? changed_item(u, jid_bare(contact), change.step.next) : NULL;
	struct change *kept = malloc(sizeof(*kept));
	struct buf *row = scratch(ev->shard, 0);

	if (!req || !kept || (change.step.push && !item)) {
		store_req_free(&req);
		free(kept);
		free(item);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	*kept = change;
	if (item) {
		struct roster_version v = roster_version_after(u, roster_find(u, jid_bare(contact)), item);

		roster_store_item(req, item);
		roster_version_write(req, &v, jid_bare(contact));
	}
	free(item);
	if (change.before.pending != change.step.next.pending) {
		store_delete(req, T_PENDING, PENDING_JID, value_text(jid_bare(contact)));
		if (change.step.next.pending) {
			stored_write(row, ev, (struct span){ 0 });
			store_put(req, T_PENDING, (struct value[]){ [PENDING_JID] = value_text(jid_bare(contact)),
				[PENDING_XML] = value_text(buf_span(row)) });
		}
	}
	return event_ask(ev, &req, fn, 0, kept);
}

/* The committed change in memory. False: no memory (the database is right, the next load will be too). */
static bool apply(struct event *ev, const struct jid *contact, const struct change *change)
{
	struct user *u = ev->user;
	bool ok = true;

	if (change->before.pending != change->step.next.pending) {
		struct buf *attrs = scratch(ev->shard, 0), *content = scratch(ev->shard, 1);

		request_attrs(attrs, ev->packet);
		if (!change->step.next.pending)
			roster_pending_remove(u, jid_bare(contact));
		else
			ok = !attrs->failed && event_content(ev, content) &&
				roster_pending_put(u, jid_bare(contact), buf_span(attrs), buf_span(content));
	}
	if (change->step.push) {
		struct roster_item *item = changed_item(u, jid_bare(contact), change->step.next);

		ok = item && roster_turn(ev, &item) && ok;
	}
	if (!ok)
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a change of its roster is not in memory (out of memory)",
			SPAN_ARG(user_bare(u)));
	return ok;
}

static void push(struct event *ev, const struct jid *contact, const struct change *change)
{
	const struct roster_item *item = change->step.push ? roster_find(ev->user, jid_bare(contact)) : NULL;

	if (item)
		roster_push(ev, item);
}

/* --- outbound ----------------------------------------------------------------------------------------------------------- */

/* The stanza itself goes while the roster still says what it said when privacy lists let the stanza pass. */
static void send_out(struct event *ev, const struct subscription *before, const struct subscription_step *step)
{
	struct packet *p = ev->packet;

	/* jabberd2 and RFC 6121 section 3.2.1: who may no longer see us hears that we are gone. */
	if (before->from && !step->next.from)
		presence_send_unavailable_all(ev->user, &p->to);
	if (step->pass)
		pass_on(ev->shard, p);
}

static enum verdict on_outbound_committed(struct event *ev, struct store_req *answer)
{
	const struct change *change = ev->state;
	struct packet *p = ev->packet;
	struct jid contact;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a subscription could not be written");
	p->to = jid_to_bare(&p->to);
	p->from = user_jid(ev->user);
	contact = p->to;
	send_out(ev, &change->before, &change->step);
	if (apply(ev, &contact, change))
		push(ev, &contact, change);
	/* Section 3.1.5: presence after the approval, not before. */
	if (change->kind == SUB_SUBSCRIBED && !change->before.from && change->step.next.from)
		presence_send_all(ev->user, &contact);
	return V_HANDLED;
}

enum verdict roster_outbound(struct event *ev)
{
	struct packet *p = ev->packet;
	enum subscription_kind kind;
	struct change change;

	if (!event_is(ev, PL_PRESENCE) || !kind_of(ev->type, &kind))
		return V_PASS;
	if (!p->to.s)
		return event_error_text(ev, SE_BAD_REQUEST, "a subscription stanza needs an addressee");
	p->to = jid_to_bare(&p->to); /* section 3.1.2 */
	p->from = user_jid(ev->user);
	if (jid_same(&p->to, &p->from))
		return V_HANDLED; /* one sees oneself anyway */
	change.before = state_of(ev->user, jid_full(&p->to));
	change.step = subscription_outbound(change.before, kind);
	change.kind = (uint8_t)kind;
	if (change.step.push && !roster_find(ev->user, jid_full(&p->to)) && roster_full(ev->user))
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "the roster is full");
	if (change.step.changed)
		return commit(ev, &p->to, change, on_outbound_committed);
	send_out(ev, &change.before, &change.step);
	return V_HANDLED;
}

/* --- inbound ------------------------------------------------------------------------------------------------------------- */

static void deliver(struct event *ev, uint8_t kind)
{
	/* Section 8.5.2.1.2: requests go to available resources, the rest to those that want to know about the roster. */
	for (struct session *s = ev->user->sessions; s; s = s->next)
		if (!s->fake && (kind == SUB_SUBSCRIBE ? session_available(s) : s->interested))
			pass_to_session(ev, s, NULL);
}

/* What follows from it for the contact. */
static void respond(struct event *ev, const struct subscription *before, const struct subscription_step *step, uint8_t kind)
{
	struct jid contact = ev->packet->from, me = user_jid(ev->user);

	if (before->from && !step->next.from)
		presence_send_unavailable_all(ev->user, &contact);
	if (step->reply)
		send_presence(ev->shard, kind == SUB_SUBSCRIBE ? "subscribed" : "unsubscribed", &me, &contact);
	if (step->reply && kind == SUB_SUBSCRIBE)
		presence_send_all(ev->user, &contact);
}

static enum verdict on_inbound_committed(struct event *ev, struct store_req *answer)
{
	const struct change *change = ev->state;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a subscription could not be written");
	if (change->step.pass)
		deliver(ev, change->kind);
	respond(ev, &change->before, &change->step, change->kind);
	if (apply(ev, &ev->packet->from, change))
		push(ev, &ev->packet->from, change); /* sections 3.1.6, 3.2.3, 3.3.3: after the stanza that explains it */
	return V_HANDLED;
}

enum verdict roster_inbound(struct event *ev)
{
	struct packet *p = ev->packet;
	enum subscription_kind kind;
	struct change change;

	if (!event_is(ev, PL_PRESENCE) || !kind_of(ev->type, &kind))
		return V_PASS;
	p->from = jid_to_bare(&p->from);
	if (jid_same_bare(&p->from, &p->to))
		return V_HANDLED;
	change.before = state_of(ev->user, jid_full(&p->from));
	change.step = subscription_inbound(change.before, kind);
	change.kind = (uint8_t)kind;
	if (roster_drops_requests() && kind == SUB_SUBSCRIBE && change.step.pass && !user_top(ev->user))
		return V_HANDLED;
	if (change.step.next.pending && !change.before.pending && roster_requests_full(ev->user))
		return event_error_text(ev, SE_RESOURCE_CONSTRAINT, "too many wait for this user's answer");
	if (change.step.changed)
		return commit(ev, &p->from, change, on_inbound_committed);
	respond(ev, &change.before, &change.step, change.kind);
	return V_HANDLED;
}
