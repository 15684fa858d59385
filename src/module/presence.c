/* presence.c - RFC 6121 section 4: initial, broadcast, directed, probes, and what comes from contacts.
 * Threads: shards.
 * Owns: nothing; the tracker (presence_*() of module.h) keeps what a session must remember.
 */
#include <stdlib.h>

#include "shardsm/clock.h"
#include "shardsm/module.h"
#include "shardsm/stats.h"

static struct options {
	uint32_t directed; /* JIDs that one session's presence may be directed to: each must be told when it ends */
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->directed = (uint32_t)config_int(config, "limits.directed-presences", 1000, 1, 1000000);
	return true;
}

/* False: full, or no memory. */
static bool remember(struct jid_set *jids, const struct jid *j)
{
	if (jid_set_add(jids, j, set.directed))
		return true;
	stat_inc(STAT_LIMIT_DIRECTED);
	return false;
}

/* Section 4.2: what a resource that has just come is told, and what it asks for. */
static void greet(struct event *ev)
{
	struct session *s = ev->session;
	struct jid me = session_jid(s), bare = user_jid(ev->user);
	const struct roster *r = user_roster(ev->user);
	struct jid to;

	for (struct session *other = ev->user->sessions; other; other = other->next)
		if (other != s && session_available(other) && !other->fake)
			presence_send(other, &me, true);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->items[i]->to && item_address(r->items[i], &to))
			send_presence(ev->shard, "probe", &bare, &to);
	for (const struct pending *p = r->pending; p; p = p->next) {
		if (!jid_split(&to, span_of(p->text, p->jid_len)))
			continue;
		send_to_session(ev->shard, s, &(struct stanza){ .tag = "presence", .type = "subscribe",
			.attrs = span_of(p->text + p->jid_len, p->attrs_len),
			.content = span_of(p->text + p->jid_len + p->attrs_len, p->xml_len), .from = &to, .to = &bare });
	}
}

static enum verdict available(struct event *ev)
{
	struct session *s = ev->session;
	int8_t priority;

	if (!presence_priority(ev, &priority) || !presence_become(s, ev->packet, priority, clock_wall()))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	presence_broadcast(s, ev->packet);
	if (!s->greeted && !s->fake)
		greet(ev);
	s->greeted = true;
	return V_HANDLED;
}

static enum verdict unavailable(struct event *ev)
{
	struct buf *attrs = scratch(ev->shard, 0);
	const struct packet *p = ev->packet;
	struct packet_attrs at = { 0 };
	struct route_attr a;

	while (packet_next_attr(p, &at, &a))
		if (!span_is(packet_slice(p, a.name), "type"))
			packet_put_attr(attrs, p, &a);
	presence_leave(ev->session, attrs->failed ? (struct span){ 0 } : buf_span(attrs), packet_slice(p, p->route.content));
	return V_HANDLED;
}

/* Section 4.6. */
static enum verdict directed(struct event *ev)
{
	struct session *s = ev->session;
	struct packet *p = ev->packet;

	if (ev->type == ST_NONE) {
		session_forget_bounced(s, &p->to);
		if (!roster_lets_see(ev->user, &p->to) &&
			(!session_extra(s) || !remember(&s->extra->directed, &p->to)))
			return event_error_text(ev, SE_RESOURCE_CONSTRAINT, "presence went to too many others");
	} else if (ev->type == ST_UNAVAILABLE) {
		session_forget_bounced(s, &p->to);
		session_forget_directed(s, &p->to);
	} else if (ev->type == ST_PROBE) {
		return V_HANDLED; /* the server probes, clients have no need to */
	}
	if (for_server(ev->shard, &p->to))
		deliver_to_server(ev);
	else
		pass_on(ev->shard, p);
	return V_HANDLED;
}

static enum verdict in_sess(struct event *ev)
{
	if (!event_is(ev, PL_PRESENCE) || !ev->session)
		return V_PASS;
	if (ev->packet->to.s)
		return directed(ev);
	switch (ev->type) {
	case ST_NONE:
		return available(ev);
	case ST_UNAVAILABLE:
		return unavailable(ev);
	default:
		return V_HANDLED;
	}
}

/* --- for an account of ours ---------------------------------------------------------------------------------------------- */

/* Nobody waits for the row: whoever may see the user has heard of it when it came meanwhile, and what it has sent since is not overtaken
 * by what was stored before. */
static enum verdict on_status_row(struct event *ev, struct store_req *answer)
{
	const uint16_t *turns = ev->state;
	struct jid bare = user_jid(ev->user);

	if (store_status(answer) == STORE_OK && store_rows(answer, 0) && *turns == ev->user->turns &&
		roster_lets_see(ev->user, &ev->packet->from))
		stored_unavailable(ev->shard, store_value(answer, 0, 0, STATUS_XML).s, &bare, &ev->packet->from);
	return V_HANDLED;
}

static enum verdict ask_status_row(struct event *ev)
{
	struct jid bare = user_jid(ev->user);
	struct store_req *req = store_req_new(jid_bare(&bare));
	uint16_t *turns = malloc(sizeof(*turns));

	if (!turns) {
		store_req_free(&req);
		return V_HANDLED;
	}
	*turns = ev->user->turns;
	if (req)
		store_get(req, T_STATUS, STORE_ALL, value_null());
	return event_ask(ev, &req, on_status_row, ASK_FREE | ASK_AFTER_WRITES, turns);
}

/* Section 4.3.2. */
static enum verdict probed(struct event *ev)
{
	struct user *u = ev->user;
	const struct jid *from = &ev->packet->from, *to = &ev->packet->to;
	struct jid bare = jid_to_bare(to);
	bool any = false;

	if (!roster_lets_see(u, from)) {
		send_presence(ev->shard, "unsubscribed", &bare, from);
		return V_HANDLED;
	}
	for (struct session *s = u->sessions; s; s = s->next) {
		struct jid full = session_jid(s);

		session_forget_bounced(s, from);
		if (!session_available(s) || s->fake)
			continue;
		any = true;
		if (!jid_has_resource(to) || jid_same(to, &full))
			presence_send(s, from, true);
	}
	return any ? V_HANDLED : ask_status_row(ev);
}

static enum verdict to_sessions(struct event *ev)
{
	const struct jid *to = &ev->packet->to;

	for (struct session *s = ev->user->sessions; s; s = s->next) {
		struct jid full = session_jid(s);

		if (jid_has_resource(to) ? jid_same(to, &full) : session_available(s) && !s->fake)
			pass_to_session(ev, s, NULL);
	}
	return V_HANDLED;
}

static enum verdict bounced(struct event *ev)
{
	struct session *s = user_session(ev->user, jid_resource(&ev->packet->to));

	if (!s)
		return V_HANDLED;
	session_forget_directed(s, &ev->packet->from);
	/* A set that is full keeps sending: the worst is another bounce. */
	if (session_extra(s) && remember(&s->extra->bounced, &ev->packet->from))
		pass_to_session(ev, s, NULL);
	return V_HANDLED;
}

static enum verdict pkt_user(struct event *ev)
{
	if (!event_is(ev, PL_PRESENCE))
		return V_PASS;
	switch (ev->type) {
	case ST_NONE:
	case ST_UNAVAILABLE:
		return to_sessions(ev);
	case ST_PROBE:
		return probed(ev);
	case ST_ERROR:
		return bounced(ev);
	default:
		return V_PASS;
	}
}

/* The server itself is everybody's friend: jabberd2 grants what is asked, and asks back. */
static enum verdict pkt_sm(struct event *ev)
{
	struct jid server = jid_to_bare(&ev->packet->to), asker = jid_to_bare(&ev->packet->from);

	if (!event_is(ev, PL_PRESENCE))
		return V_PASS;
	if (ev->type == ST_SUBSCRIBE) {
		send_presence(ev->shard, "subscribed", &server, &asker);
		send_presence(ev->shard, "subscribe", &server, &asker);
	} else if (ev->type == ST_UNSUBSCRIBE) {
		send_presence(ev->shard, "unsubscribed", &server, &asker);
	}
	return V_HANDLED;
}

const struct module module_presence = {
	.name = "presence",
	.options = { &set, sizeof(set), read_options, NULL },
	.about = ABOUT_NOTIFICATIONS | ABOUT_SUBSCRIPTIONS,
	.features = (const char *const[]){ "presence", NULL },
	.in_sess = in_sess,
	.pkt_user = pkt_user,
	.pkt_sm = pkt_sm,
};
