/* dispatch.c - the page to read first: one packet, start to finish.
 * Threads: the owning shard's.
 * Owns: the event of the packet in hand; the packet is its batch's (or its waiter's).
 *
 * A client's stanza comes to the shard of its session: the in-sess chain runs, and whatever is for somebody else is stamped and goes on
 * (deliver -> pass_on) to the shard of the addressee, or to another domain. There, and for what comes from the network, the in-router
 * chain runs, then pkt-user or pkt-sm. A chain that needs the store parks, and goes on from where it was with the answer.
 */
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

#define NS_SESSION_IQ "urn:ietf:params:xml:ns:xmpp-session"

/* --- events ----------------------------------------------------------------------------------------------------------- */

void event_init(struct event *ev, struct shard *shard, struct packet *p)
{
	*ev = (struct event){ .shard = shard, .packet = p };
	if (p)
		ev->type = stanza_type_of(p->route.payload, packet_slice(p, p->route.stanza_type));
}

void event_fini(struct event *ev)
{
	if (ev->doc)
		xml_free(&ev->doc);
}

bool event_is(const struct event *ev, enum payload payload)
{
	return ev->packet->route.payload == payload;
}

enum verdict event_error(struct event *ev, enum stanza_condition c)
{
	ev->condition = c;
	return V_ERROR;
}

enum verdict event_error_text(struct event *ev, enum stanza_condition c, const char *text)
{
	ev->text = text;
	return event_error(ev, c);
}

struct xml *event_payload(struct event *ev)
{
	const struct packet *p = ev->packet;

	if (!ev->doc && !ev->no_doc) {
		const struct route *r = &p->route;
		uint32_t end = r->flags & ROUTE_ENDS_EMPTY ? r->start.off + r->start.len
							   : r->content.off + r->content.len + r->tag.len + 3;
		/* The end tag may hold white space before its '>'. */
		while (!(r->flags & ROUTE_ENDS_EMPTY) && p->frame[end - 1] != '>')
			end++;
		ev->doc = xml_parse(span_of(p->frame + r->start.off, end - r->start.off), NS_COMPONENT);
		ev->no_doc = !ev->doc;
	}
	return ev->doc ? xml_root(ev->doc) : NULL;
}

bool event_child_text(struct event *ev, const char *local, struct buf *out, bool *found)
{
	const struct packet *p = ev->packet;
	struct span tag = packet_slice(p, p->route.tag), text;
	enum glance seen = memchr(tag.p, ':', tag.n) ? GLANCE_UNSURE : xml_glance(packet_slice(p, p->route.content), local, &text);
	struct xml *root;

	*found = seen == GLANCE_FOUND;
	if (seen == GLANCE_FOUND)
		buf_put(out, text);
	if (seen != GLANCE_UNSURE)
		return !out->failed;
	root = event_payload(ev);
	*found = root && xml_child_text(root, NS_CLIENT, local, out);
	return root && !out->failed;
}

struct xml *event_request(struct event *ev)
{
	struct xml *root = event_payload(ev);

	return root ? xml_child(root, NULL, NULL) : NULL;
}

enum verdict event_query(struct event *ev, const char *ns, const char *local, struct xml **query)
{
	struct xml *root = event_payload(ev);

	*query = root ? xml_child(root, NULL, NULL) : NULL;
	if (!root)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (!*query || !xml_is(*query, ns, local) || xml_next(*query, NULL, NULL))
		return event_error_text(ev, SE_BAD_REQUEST, "the request is not the one element that is wanted");
	return V_PASS;
}

/* Takes what the text begins with. False: it begins with something else. */
static bool skip(struct span *text, struct span what)
{
	if (text->n < what.n || memcmp(text->p, what.p, what.n) != 0)
		return false;
	*text = span_of(text->p + what.n, text->n - what.n);
	return true;
}

bool event_asks_plainly(const struct event *ev, const char *ns, const char *local)
{
	struct span at = packet_slice(ev->packet, ev->packet->route.content);
	struct span quote;

	if (!skip(&at, SPAN("<")) || !skip(&at, span_str(local)) || !skip(&at, SPAN(" xmlns=")) || !at.n)
		return false;
	quote = span_of(at.p, 1);
	return skip(&at, quote) && skip(&at, span_str(ns)) && skip(&at, quote) && skip(&at, SPAN("/>")) && !at.n;
}

enum verdict event_asks(struct event *ev, const char *ns, const char *local)
{
	struct xml *query;

	return event_asks_plainly(ev, ns, local) ? V_PASS : event_query(ev, ns, local, &query);
}

enum verdict event_load(struct event *ev, unsigned parts)
{
	return user_for(ev->shard, &ev->packet->to, ev->user->parts | parts, ev->packet) ? V_PASS : V_HANDLED;
}

/* --- answers ---------------------------------------------------------------------------------------------------------- */

/* The element's local name, for an answer in its kind. */
static const char *tag_of(const struct packet *p, char *out, size_t cap)
{
	static const char *const tags[] = { [PL_MESSAGE] = "message", [PL_PRESENCE] = "presence", [PL_IQ] = "iq" };
	struct span tag = packet_slice(p, p->route.tag);

	if (p->route.payload <= PL_IQ && tags[p->route.payload])
		return tags[p->route.payload];
	if (memchr(tag.p, ':', tag.n) || tag.n >= cap)
		return "message";
	memcpy(out, tag.p, tag.n);
	out[tag.n] = '\0';
	return out;
}

/* What a stanza's content needs to stand in another start tag: the prefixes that were declared in its own. */
static void put_declarations(struct buf *b, const struct packet *p)
{
	struct packet_attrs at = { 0 };
	struct route_attr a;
	struct span prefix;

	while (packet_next_attr(p, &at, &a))
		if (packet_attr_declares(p, &a, &prefix))
			packet_put_attr(b, p, &a);
	if (p->route.flags & ROUTE_SESSION_PREFIX) {
		buf_str(b, " xmlns:");
		buf_put(b, packet_slice(p, p->route.session_prefix));
		buf_str(b, "='" NS_SESSION "'");
	}
}

/* st: what is said; the rest is found here. */
static void answer(struct event *ev, struct stanza st)
{
	struct packet *p = ev->packet;
	char tag[64];

	st.tag = tag_of(p, tag, sizeof(tag));
	st.id = packet_slice(p, p->route.id);
	if (ev->no_reply)
		return;
	ev->no_reply = true;
	if (ev->session) {
		struct jid me = session_jid(ev->session);

		st.from = p->to.s ? &p->to : NULL;
		st.to = &me;
		send_answer(ev->shard, ev->session, &st);
	} else if (p->from.s && p->stage == STAGE_DELIVER) {
		st.from = &p->to;
		st.to = &p->from;
		send_answer(ev->shard, NULL, &st);
	}
}

void reply_result(struct event *ev, struct span content)
{
	answer(ev, (struct stanza){ .type = "result", .content = content });
}

void reply_sure(struct event *ev, struct span content)
{
	answer(ev, (struct stanza){ .type = "result", .content = content, .sure = true });
}

void reply_error(struct event *ev)
{
	struct packet *p = ev->packet;
	struct buf *b = &ev->shard->wire;

	if (ev->type == ST_ERROR || (p->route.payload == PL_IQ && ev->type == ST_RESULT) || (p->flags & PACKET_BOUNCED))
		return;
	stat_inc(STAT_ERRORS + ev->condition);
	buf_clear(b);
	put_declarations(b, p);
	uint32_t attrs = b->n;

	stanza_error_write(b, ev->condition, ev->text);
	if (ev->detail && !b->failed) {
		b->n -= sizeof("</error>") - 1;
		buf_str(b, ev->detail);
		buf_str(b, "</error>");
	}
	buf_put(b, packet_slice(p, p->route.content));
	if (!b->failed)
		answer(ev, (struct stanza){ .type = "error", .attrs = span_of(b->p, attrs), .content = span_of(b->p + attrs, b->n - attrs) });
}

bool packet_refusable(const struct packet *p)
{
	enum stanza_type type = stanza_type_of(p->route.payload, packet_slice(p, p->route.stanza_type));

	if (p->flags & PACKET_BOUNCED)
		return false;
	switch (p->route.payload) {
	case PL_SESSION:
	case PL_SESSIONS: /* an end that is not carried out leaves a ghost */
		return !span_is(packet_slice(p, p->route.action), "end");
	case PL_PRESENCE:
		return type == ST_SUBSCRIBE;
	case PL_IQ:
		return type != ST_RESULT && type != ST_ERROR;
	default:
		return type != ST_ERROR;
	}
}

void reply_condition(struct shard *shard, struct packet *p, enum stanza_condition c)
{
	struct event ev;

	event_init(&ev, shard, p);
	if (p->route.payload == PL_SESSION || p->route.payload == PL_SESSIONS) {
		control_failed(shard, p);
		return;
	}
	if (p->route.payload == PL_PRESENCE && ev.type != ST_SUBSCRIBE)
		return;
	if (p->stage == STAGE_IN && packet_session(p))
		ev.session = session_find(shard, &p->session);
	ev.condition = c;
	reply_error(&ev);
	event_fini(&ev);
}

/* --- the chains, one after the other ------------------------------------------------------------------------------------ */

/* What nobody wanted. RFC 6121 section 8.5: an IQ request is answered, other things have been dealt with or are dropped. */
static void unhandled(struct event *ev)
{
	if (event_is(ev, PL_PRESENCE) || ev->type == ST_RESULT || ev->type == ST_ERROR || ev->type == ST_HEADLINE)
		return;
	ev->condition = SE_SERVICE_UNAVAILABLE;
	reply_error(ev);
}

/* RFC 6121 section 8.5.1: to a name without an account. A probe is answered as one of an account that does not know the asker. */
static enum verdict to_nobody(struct event *ev)
{
	struct jid bare = jid_to_bare(&ev->packet->to);

	if (ev->type != ST_PROBE)
		return V_PASS;
	send_presence(ev->shard, "unsubscribed", &bare, &ev->packet->from);
	return V_HANDLED;
}

/* Behind in-router. */
static enum verdict arrived(struct event *ev)
{
	if (!ev->packet->to.node_len)
		return chain_run(ev, CHAIN_PKT_SM, 0);
	return ev->user->exists ? chain_run(ev, CHAIN_PKT_USER, 0) : to_nobody(ev);
}

void event_finish(struct event *ev, enum verdict v)
{
	if (ev->chain == CHAIN_USER_DELETE) {
		control_leave(ev, v);
		event_fini(ev);
		return;
	}
	if (v == V_PASS && ev->chain == CHAIN_IN_ROUTER)
		v = arrived(ev);
	if (v == V_PASS)
		unhandled(ev);
	else if (v == V_ERROR)
		reply_error(ev);
	event_fini(ev);
}

void deliver_to_server(struct event *ev)
{
	/* The sender's own shard answers for the server: no hop, and its answers stay in order. */
	enum verdict v = chain_run(ev, CHAIN_IN_ROUTER, 0);

	if (v == V_PASS)
		v = chain_run(ev, CHAIN_PKT_SM, 0);
	if (v == V_PASS)
		unhandled(ev);
	else if (v == V_ERROR)
		reply_error(ev);
}

/* RFC 6120 section 8.2.3: an IQ is a get, a set, a result or an error. True: it is none, and the event's condition says so. */
static bool iq_of_no_type(struct event *ev)
{
	struct span type = packet_slice(ev->packet, ev->packet->route.stanza_type);

	if (!event_is(ev, PL_IQ) || (ev->type != ST_NONE && ev->type != ST_UNKNOWN))
		return false;
	if (ev->type == ST_NONE)
		log_limited(LOG_LEVEL_ERROR, "dropping iq without type");
	else
		log_limited(LOG_LEVEL_ERROR, "dropping iq with bad type \"" SPAN_FMT "\"", SPAN_ARG(type));
	ev->condition = SE_BAD_REQUEST;
	return true;
}

/* Whom a packet is for, with what it needs of that user. u: the user, where it is known already. NULL: the packet waits, or was answered. */
static struct user *addressee(struct event *ev, struct user *u)
{
	struct packet *p = ev->packet;
	/* A message to somebody offline needs to know the account, not the roster. */
	bool light = p->route.payload == PL_MESSAGE || ev->type == ST_NONE || ev->type == ST_UNAVAILABLE;
	unsigned parts = PART_ACCOUNT | PART_PRIVACY | (light ? 0 : PART_ROSTER);

	if (likely(u && !ev->shard->gone_peers && user_has(u, parts | u->needs)))
		return u;
	if (u && unlikely(ev->shard->gone_peers))
		sessions_reap(u);
	if (!u || !user_has(u, parts))
		u = user_for(ev->shard, &p->to, parts, p);
	if (u && (u->needs & ~u->parts))
		u = user_for(ev->shard, &p->to, parts | u->needs, p);
	return u;
}

/* Through the chains of its addressee. */
static void arrive(struct event *ev)
{
	struct user *u = ev->user;

	ev->shard->now = ev;
	if (u && u->exists && query_refused_from_others(ev))
		event_fini(ev);
	else
		event_finish(ev, chain_run(ev, CHAIN_IN_ROUTER, 0));
	ev->shard->now = NULL;
	if (u && (user_has_waiting(u) || !u->sessions))
		user_settle(u);
}

/* A stanza for an account or a session of ours, or for the server itself. */
static void deliver_here(struct shard *shard, struct packet *p)
{
	struct event ev;

	event_init(&ev, shard, p);
	if (iq_of_no_type(&ev)) {
		reply_error(&ev);
		return;
	}
	if (p->to.node_len && !(ev.user = addressee(&ev, NULL)))
		return;
	arrive(&ev);
}

void dispatch_to_user(struct event *ev, struct user *u)
{
	ev->user = addressee(ev, u);
	if (ev->user)
		arrive(ev);
}

/* Users of ours, and components that we route for. */
static bool is_of_ours(struct shard *shard, struct span domain)
{
	bool found = serves_domain(shard, domain);

	rcu_enter();
	found = found || names_find_rcu(shard->server->set.names, domain, NULL);
	rcu_leave();
	return found;
}

/* Our own stanza, come back with a routing error: turned into a stanza error for its sender. */
static void bounced(struct shard *shard, struct packet *p)
{
	char tag[64];
	struct buf *b = &shard->wire;
	enum stanza_type type = stanza_type_of(p->route.payload, packet_slice(p, p->route.stanza_type));

	if (type == ST_ERROR || type == ST_RESULT || !p->from.s || !p->to.s || !is_of_ours(shard, jid_domain(&p->from)))
		return;
	buf_clear(b);
	put_declarations(b, p);
	uint32_t attrs = b->n;

	stanza_error_write(b, stanza_error_of_route(p->route.error), NULL);
	buf_put(b, packet_slice(p, p->route.content));
	if (!b->failed)
		send_stanza(shard, &(struct stanza){ .tag = tag_of(p, tag, sizeof(tag)), .type = "error",
			.id = packet_slice(p, p->route.id), .attrs = span_of(b->p, attrs),
			.content = span_of(b->p + attrs, b->n - attrs), .from = &p->to, .to = &p->from });
}

static void from_network(struct shard *shard, struct packet *p)
{
	if (p->route.payload > PL_CLIENT || p->route.payload == PL_NONE)
		return;
	if (p->flags & PACKET_BOUNCED) {
		bounced(shard, p);
		return;
	}
	if (!p->from.s || !p->to.s || !(p->to.node_len ? serves_domain(shard, jid_domain(&p->to)) : for_server(shard, &p->to))) {
		log_limited(LOG_LEVEL_NOTICE, "%s: a stanza without an address that can be served was dropped",
			p->link ? p->link->name : shard->name);
		return;
	}
	p->stage = STAGE_DELIVER;
	deliver_here(shard, p);
}

/* --- from a client ---------------------------------------------------------------------------------------------------- */

/* The session that a c2s speaks for. Its two ids must match, and the c2s and the link be those that started it. */
static struct session *claimed_session(struct shard *shard, struct packet *p, bool *guessed)
{
	struct session *s = packet_session(p) ? session_find(shard, &p->session) : NULL;

	*guessed = s && (!peer_is(s->peer, packet_slice(p, p->route.from), p->link) ||
				!span_eq(session_c2s(s), packet_slice(p, p->route.c2s)));
	return s;
}

static bool address(struct event *ev, char *buf)
{
	struct packet *p = ev->packet;
	struct jid me = session_jid(ev->session);

	p->from = me;
	p->to.s = NULL;
	if (!(p->route.flags & ROUTE_TO)) {
		ev->to_self = true;
		return true;
	}
	if (!jid_prep(&p->to, packet_slice(p, p->route.stanza_to), buf)) {
		p->to.s = NULL;
		return false;
	}
	ev->to_self = jid_same_bare(&p->to, &me) && !jid_has_resource(&p->to);
	return true;
}

static void from_client(struct shard *shard, struct packet *p)
{
	struct event ev;
	bool guessed;
	struct session *s = claimed_session(shard, p, &guessed);
	char buf[JID_MAX + 1];

	if (!s) {
		control_unknown_session(shard, p);
		return;
	}
	struct user *u = s->user;

	if (guessed || (p->flags & PACKET_BOUNCED)) {
		log_limited(LOG_LEVEL_WARNING, "%s: a stanza for a session that is another component's was dropped", p->link->name);
		return;
	}
	if (unlikely(shard->gone_peers))
		sessions_reap(u);
	/* What comes was asked about by defer(); of what waits for the user's answers from the store each waits for those before. */
	if (u->draining && !u->parked && unlikely(outbox_is_behind(s->peer->link)))
		user_await_written(s);
	if (u->parked || (user_has_waiting(u) && !u->draining)) {
		user_wait(u, p);
		return;
	}
	event_init(&ev, shard, p);
	ev.user = u;
	ev.session = s;
	ev.chain = CHAIN_IN_SESS;
	if (ev.type == ST_SET && span_is(packet_slice(p, p->route.child_ns), NS_SESSION_IQ)) {
		p->to.s = NULL;
		reply_result(&ev, (struct span){ 0 }); /* RFC 3921's session request: nothing to do since RFC 6121 */
		return;
	}
	shard->now = &ev;
	if (!address(&ev, buf))
		event_finish(&ev, event_error(&ev, SE_JID_MALFORMED));
	else if (p->flags & PACKET_REFUSED)
		event_finish(&ev, event_error(&ev, SE_POLICY_VIOLATION));
	else if (iq_of_no_type(&ev))
		event_finish(&ev, V_ERROR);
	else if (stanza_over_limit(&ev) || query_over_limit(&ev))
		event_fini(&ev);
	else
		event_finish(&ev, chain_run(&ev, CHAIN_IN_SESS, 0));
	shard->now = NULL;
	user_settle(u);
}

void dispatch(struct shard *shard, struct packet *p)
{
	assert_owner(shard);
	if (p->many)
		fanout_deliver(shard, p);
	else if (p->stage == STAGE_DELIVER)
		deliver_here(shard, p);
	else if (p->route.payload == PL_SESSION || p->route.payload == PL_SESSIONS)
		control(shard, p);
	else if (p->route.flags & (ROUTE_HAS_C2S | ROUTE_HAS_SM))
		from_client(shard, p);
	else
		from_network(shard, p);
}

/* --- with the store's answer -------------------------------------------------------------------------------------------- */

static void resume(struct shard *shard, struct parked *park, struct store_req *req)
{
	struct event ev = { .shard = shard, .packet = park->packet, .user = park->user, .chain = park->chain, .at = park->at,
		.type = park->type, .to_self = park->to_self, .state = park->state };
	enum verdict v;

	if (park->has_session)
		ev.session = session_find(shard, &park->session);
	/* Whoever asked has gone: the work is done all the same, nobody is told. */
	ev.no_reply = park->lost || (park->has_session && !ev.session);
	shard->now = &ev;
	v = park->fn(&ev, req);
	if (v == V_PASS && park->has_session && !ev.session) {
		/* The modules behind need a session; what was meant for somebody else still goes there. */
		if (ev.packet->to.s)
			pass_on(shard, ev.packet);
		v = V_HANDLED;
	}
	if (v == V_PASS && ev.packet)
		v = chain_run(&ev, ev.chain, (uint8_t)(ev.at + 1));
	if (ev.packet)
		event_finish(&ev, v);
	else
		event_fini(&ev);
	shard->now = NULL;
}

void dispatch_resume(struct shard *shard, uint64_t token, struct store_req *answer)
{
	struct parked *park = park_take(shard, token);

	if (park) {
		struct user *u = park->user;

		if (u && unlikely(shard->gone_peers))
			sessions_reap(u);
		if (park->is_load)
			user_loaded(shard, park, answer);
		else
			resume(shard, park, answer);
		park_free(shard, &park);
		if (u)
			user_settle(u);
	}
	store_req_free(&answer);
}

SHARD_THREAD_END
