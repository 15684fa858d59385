/* control.c - session control between c2s and sm: start, end, create, delete, and what is said back.
 * Threads: the owning shard's.
 * Owns: nothing.
 * Source: jabberd2's sm-c2s protocol. No failed action may cause a bounce; every failure carries an sm id, because the stock c2s drops
 * answers that have none and leaves its client hanging.
 */
#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

/* How a request is answered: to where it came from, with its id and target, under the name that it used. sm p NULL: without. */
static bool answer(struct shard *shard, const struct packet *p, struct span action, struct span sm, struct span from)
{
	struct buf *b = &shard->wire;
	const char *tag = p->route.payload == PL_SESSIONS ? "sessions" : "session";
	bool failed = span_eq(action, packet_slice(p, p->route.action));

	buf_clear(b);
	buf_str(b, "<route xmlns='" NS_COMPONENT "'");
	buf_attr(b, "to", packet_slice(p, p->route.from));
	buf_attr(b, "from", from);
	buf_fmt(b, "><sc:%s xmlns:sc='" NS_SESSION "'", tag);
	if (p->route.flags & ROUTE_HAS_C2S)
		buf_attr(b, "sc:c2s", packet_slice(p, p->route.c2s));
	if (sm.p)
		buf_attr(b, "sc:sm", sm);
	buf_attr(b, "action", action);
	if (p->route.target.off)
		buf_attr(b, "target", packet_slice(p, p->route.target));
	if (p->route.id.off) {
		buf_str(b, " id='");
		buf_put(b, packet_slice(p, p->route.id)); /* raw, as it came */
		buf_str(b, "'");
	}
	if (failed)
		buf_str(b, " sc:failed='1'");
	buf_fmt(b, "></sc:%s></route>", tag);
	if (!b->failed && emit_route(shard, p->link, buf_span(b)))
		return true;
	log_limited(LOG_LEVEL_ERROR, "%s: the answer to session action '" SPAN_FMT "' was lost (out of memory)", p->link->name,
		SPAN_ARG(packet_slice(p, p->route.action)));
	return false;
}

static const char *const actions[] = { "start", "end", "create", "delete" };

static unsigned action_of(const struct packet *p)
{
	unsigned i = 0;

	while (i < sizeof(actions) / sizeof(*actions) && !span_is(packet_slice(p, p->route.action), actions[i]))
		i++;
	return i;
}

void control_count(const struct packet *p)
{
	if (!p->route.error && !(p->route.flags & ROUTE_FAILED))
		stat_inc(STAT_START + action_of(p));
}

void control_failed(struct shard *shard, struct packet *p)
{
	struct span sm = p->route.flags & ROUTE_HAS_SM ? packet_slice(p, p->route.sm) : SPAN("none");
	struct span asked = p->route.to.len ? packet_slice(p, p->route.to) : shard->server->set.id;

	stat_inc(STAT_FAILED_START + action_of(p));
	answer(shard, p, packet_slice(p, p->route.action), sm, asked);
}

/* "ended" and "replaced": of our own accord, for a session that exists. */
void control_ended(struct shard *shard, struct session *s, const char *action)
{
	struct buf *b = &shard->wire;
	char id[SM_ID_HEX];

	sm_id_print(&s->id, id);
	buf_clear(b);
	buf_put(b, span_of(s->peer->text + s->peer->name_len, s->peer->head_len));
	buf_text(b, shard->server->set.id);
	buf_str(b, "'><sc:session xmlns:sc='" NS_SESSION "'");
	buf_attr(b, "sc:c2s", session_c2s(s));
	buf_attr(b, "sc:sm", span_of(id, sizeof(id)));
	buf_attr(b, "action", span_str(action));
	buf_str(b, "></sc:session></route>");
	if (b->failed || !emit_route(shard, s->peer->link, buf_span(b)))
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": '%s' could not be sent (out of memory)", (int)s->jid_len, s->text, action);
}

/* A stanza of a session that we do not know: its c2s holds a client that we have forgotten. 'ended' closes that client cleanly. */
void control_unknown_session(struct shard *shard, struct packet *p)
{
	struct buf *b = &shard->wire;

	if (p->route.error || !(p->route.flags & ROUTE_HAS_C2S))
		return;
	buf_clear(b);
	buf_str(b, "<route xmlns='" NS_COMPONENT "'");
	buf_attr(b, "to", packet_slice(p, p->route.from));
	buf_attr(b, "from", shard->server->set.id);
	buf_str(b, "><sc:session xmlns:sc='" NS_SESSION "'");
	buf_attr(b, "sc:c2s", packet_slice(p, p->route.c2s));
	buf_attr(b, "sc:sm", p->route.flags & ROUTE_HAS_SM ? packet_slice(p, p->route.sm) : SPAN("none"));
	buf_str(b, " action='ended'></sc:session></route>");
	if (b->failed || !emit_route(shard, p->link, buf_span(b)))
		log_limited(LOG_LEVEL_ERROR, "%s: 'ended' could not be sent (out of memory)", p->link->name);
}

/* --- start and end ---------------------------------------------------------------------------------------------------- */

/* Are there as many sessions as may be, of this user or of all? */
static bool no_more_sessions(struct shard *shard, const struct user *u, const struct packet *p)
{
	const struct server_tuning *t = &shard->server->set.tuning;
	uint32_t n = 0;

	for (const struct session *s = u->sessions; s && t->user_sessions; s = s->next)
		n++;
	if (t->user_sessions && n >= t->user_sessions)
		stat_inc(STAT_LIMIT_USER_SESSIONS);
	else if (t->sessions && stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED) >= t->sessions)
		stat_inc(STAT_LIMIT_SESSIONS);
	else
		return false;
	log_limited(LOG_LEVEL_NOTICE, "no more sessions may start (limits.%ssessions): jid=" SPAN_FMT,
		t->user_sessions && n >= t->user_sessions ? "user-" : "", SPAN_ARG(jid_full(&p->to)));
	return true;
}

static void start_session(struct shard *shard, struct user *u, struct packet *p)
{
	struct session *old = user_session(u, jid_resource(&p->to)), *s;
	char id[SM_ID_HEX];

	if (outbox_closed(p->link))
		return; /* its c2s is gone: nobody would end the session */
	if (old) {
		log_notice("session replaced: jid=" SPAN_FMT, (int)old->jid_len, old->text);
		control_ended(shard, old, "replaced");
		old->replaced = true;
		session_end(shard, old);
	}
	s = no_more_sessions(shard, u, p) ? NULL : session_start(shard, u, p);
	if (!s) {
		control_failed(shard, p);
		return;
	}
	if (!old) /* COMPAT jabberd2: one line says of both that the one took the other's place */
		log_notice("session started: jid=" SPAN_FMT, (int)s->jid_len, s->text);
	sm_id_print(&s->id, id);
	/* A session that its c2s was not told of would have nobody to end it. */
	if (!answer(shard, p, SPAN("started"), span_of(id, sizeof(id)), shard->server->set.id))
		session_end(shard, s);
}

static struct store_req *account_request(struct event *ev, enum chain chain)
{
	const struct chain_list *list = &ev->shard->server->chains[chain];
	struct store_req *req = store_req_new(user_bare(ev->user));

	for (int i = 0; req && i < list->n; i++) {
		void (*hook)(struct event *, struct store_req *) =
			chain == CHAIN_USER_CREATE ? list->modules[i]->user_create : list->modules[i]->user_delete;

		if (hook)
			hook(ev, req);
	}
	return req;
}

static void account_created(struct user *u)
{
	user_forget(u);
	u->exists = true;
	u->parts = PART_ACCOUNT; /* the rest is loaded: a module may have given it a roster */
}

/* Does the request name an account of a domain of ours, and all else that it must (whole)? False: it was refused. */
static bool can_be_for(struct shard *shard, struct packet *p, bool whole, const char *what)
{
	bool named = p->to.s && p->to.node_len && whole;

	if (named && serves_domain(shard, jid_domain(&p->to)))
		return true;
	if (named)
		log_error("request to %s non-serviced domain: jid=" SPAN_FMT, what, SPAN_ARG(jid_full(&p->to)));
	control_failed(shard, p);
	return false;
}

static void start(struct shard *shard, struct packet *p);

static enum verdict on_auto_created(struct event *ev, struct store_req *answer_)
{
	if (store_status(answer_) != STORE_OK) {
		event_store_error(ev, answer_, "user creation failed");
		control_failed(ev->shard, ev->packet);
		return V_HANDLED;
	}
	account_created(ev->user);
	log_notice("created user: jid=" SPAN_FMT, SPAN_ARG(store_req_owner(answer_)));
	if (!ev->no_reply)
		start(ev->shard, ev->packet);
	return V_HANDLED;
}

static void start(struct shard *shard, struct packet *p)
{
	struct event ev;
	struct user *u;

	bool whole = p->to.s && jid_has_resource(&p->to) && (p->route.flags & ROUTE_HAS_C2S) && p->route.c2s.len <= C2S_ID_MAX;

	if (!can_be_for(shard, p, whole, "start session in"))
		return;
	if (atomic_load_explicit(&shard->server->draining, memory_order_relaxed)) {
		control_failed(shard, p);
		return;
	}
	u = user_for(shard, &p->to, PART_ALL, p);
	if (!u)
		return;
	event_init(&ev, shard, p);
	ev.user = u;
	if (u->exists) {
		start_session(shard, u, p);
	} else if (!shard->server->set.tuning.auto_create) {
		log_notice("user not found and user.auto-create not enabled, can't start session: jid=" SPAN_FMT,
			SPAN_ARG(jid_full(&p->to)));
		control_failed(shard, p);
	} else {
		struct store_req *req = account_request(&ev, CHAIN_USER_CREATE);

		if (event_ask(&ev, &req, on_auto_created, 0, NULL) != V_PARKED)
			control_failed(shard, p);
	}
	user_settle(u);
}

static void end(struct shard *shard, struct packet *p)
{
	struct session *s = packet_session(p) ? session_find(shard, &p->session) : NULL;
	struct user *u;

	if (!s) {
		control_failed(shard, p);
		return;
	}
	if (!peer_is(s->peer, packet_slice(p, p->route.from), p->link) ||
		!span_eq(session_c2s(s), packet_slice(p, p->route.c2s)))
		return; /* somebody is guessing */
	u = s->user;
	if (u->parked || (user_has_waiting(u) && !u->draining)) {
		user_wait(u, p);
		return;
	}
	control_ended(shard, s, "ended");
	session_end(shard, s);
	user_settle(u);
}

/* --- create and delete --------------------------------------------------------------------------------------------------- */

static enum verdict on_created(struct event *ev, struct store_req *answer_)
{
	struct span bare = store_req_owner(answer_);

	if (store_status(answer_) != STORE_OK) {
		log_error("user creation failed: jid=" SPAN_FMT, SPAN_ARG(bare));
		event_store_error(ev, answer_, "user creation failed");
		control_failed(ev->shard, ev->packet);
		return V_HANDLED;
	}
	account_created(ev->user);
	log_notice("created user: jid=" SPAN_FMT, SPAN_ARG(bare));
	answer(ev->shard, ev->packet, SPAN("created"), (struct span){ 0 }, packet_slice(ev->packet, ev->packet->route.to));
	return V_HANDLED;
}

static void create(struct shard *shard, struct packet *p)
{
	struct event ev;
	struct store_req *req;
	struct user *u;

	if (!can_be_for(shard, p, true, "create user for"))
		return;
	u = user_for(shard, &p->to, PART_ACCOUNT, p);
	if (!u)
		return;
	event_init(&ev, shard, p);
	ev.user = u;
	if (u->exists) {
		log_error("request to create already-active user: jid=" SPAN_FMT, SPAN_ARG(jid_bare(&p->to)));
		control_failed(shard, p);
	} else {
		req = account_request(&ev, CHAIN_USER_CREATE);
		if (event_ask(&ev, &req, on_created, 0, NULL) != V_PARKED)
			control_failed(shard, p);
	}
	user_settle(u);
}

static enum verdict on_deleted(struct event *ev, struct store_req *answer_)
{
	if (store_status(answer_) != STORE_OK) {
		event_store_error(ev, answer_, "the account could not be deleted");
		control_failed(ev->shard, ev->packet);
		return V_HANDLED;
	}
	user_forget(ev->user);
	log_notice("deleted user: jid=" SPAN_FMT, SPAN_ARG(store_req_owner(answer_)));
	answer(ev->shard, ev->packet, SPAN("deleted"), (struct span){ 0 }, packet_slice(ev->packet, ev->packet->route.to));
	return V_HANDLED;
}

void control_leave(struct event *ev, enum verdict v)
{
	struct store_req *req;

	if (v == V_PASS) {
		req = account_request(ev, CHAIN_USER_DELETE);
		v = event_ask(ev, &req, on_deleted, 0, NULL);
	}
	if (v == V_ERROR)
		control_failed(ev->shard, ev->packet);
}

static void delete(struct shard *shard, struct packet *p)
{
	struct event ev;
	struct user *u;

	if (!p->route.target.off || !p->to.s || !p->to.node_len) {
		control_failed(shard, p);
		return;
	}
	u = user_for(shard, &p->to, PART_ALL, p);
	if (!u)
		return;
	event_init(&ev, shard, p);
	ev.user = u;
	while (u->sessions) {
		control_ended(shard, u->sessions, "ended");
		session_end(shard, u->sessions);
	}
	event_finish(&ev, chain_run(&ev, CHAIN_USER_DELETE, 0));
	user_settle(u);
}

void control(struct shard *shard, struct packet *p)
{
	static void (*const fns[])(struct shard *, struct packet *) = { start, end, create, delete }; /* by action_of() */
	struct span action = packet_slice(p, p->route.action);
	unsigned i = action_of(p);

	if (p->route.error || (p->route.flags & ROUTE_FAILED))
		return; /* our own, come back: the c2s is gone, or knows better */
	if (i < sizeof(fns) / sizeof(*fns))
		fns[i](shard, p);
	else if (!span_is(action, "started") && !span_is(action, "created") && !span_is(action, "deleted"))
		control_failed(shard, p);
}

SHARD_THREAD_END
