/* forward.c - where each frame of a link goes: to a shard, to another component, back, or nowhere.
 * Threads: the link's acceptor.
 * Owns: nothing.
 * Source: the answers of jabberd2's router to the same frames.
 */
#include "io/link.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

/* The shard that has too much before it to be sent this: where it goes now, or where a client's stanza goes from there. SHARD_NONE: none. */
static uint32_t full_shard(const struct link *link, const struct packet *p, uint32_t shard, struct jid_room *room)
{
	struct jid to;

	if (hold_is_full(link, shard))
		return shard;
	if (likely(!mailboxes_full()) || p->to.s || p->route.payload > PL_IQ || !p->route.stanza_to.len ||
		!jid_prep(&to, packet_slice(p, p->route.stanza_to), room->to) || !to.node_len)
		return SHARD_NONE;
	shard = shard_of(jid_bare(&to), link->home->io->cfg.nshards);
	return hold_is_full(link, shard) ? shard : SHARD_NONE;
}

/* A component speaks for the names that it bound, the default route (s2s) for what nobody here has: neither for our users, nor for each
 * other's. What comes over the router that we dialled is the router's to check. who: an addressee where the stanza came back to its sender. */
static bool speaks_for(const struct link *link, const struct jid *who)
{
	const struct io *io = link->home->io;
	struct span domain = jid_domain(who);

	if (link->router || link->ob.accept || names_bound_by_rcu(io->cfg.names, domain, &link->ob))
		return true;
	return names_default_rcu(io->cfg.names) == &link->ob && !io_serves(io, domain) && !names_find_rcu(io->cfg.names, domain, NULL);
}

/* what: a packet, as jabberd2's router says it, or a stanza in one. */
static void not_its_own(struct transit *t, const char *what, struct span name)
{
	log_limited(LOG_LEVEL_NOTICE, "%s tried to send a %s from '" SPAN_FMT "', but that name is not bound to this component",
		t->link->ob.name, what, SPAN_ARG(name));
	rewrite_bounce(t, 401);
}

bool forward_to_shard(struct transit *t)
{
	struct acceptor *a = t->link->home;
	struct packet *p = t->packet;
	const struct jid *who = t->route->error ? &p->to : &p->from;
	struct jid_room room;
	uint32_t shard;

	p->stage = STAGE_IN;
	p->flags = t->refused ? PACKET_REFUSED : 0;
	p->link = &t->link->ob;
	p->frame = t->frame;
	p->from.s = p->to.s = NULL;
	p->except.n = 0;
	shard = classify(a->io, p, &room);
	if (shard == SHARD_NONE) {
		log_debug("%s: a route without a stanza was dropped", t->link->ob.name);
		return true;
	}
	if (who->s && !speaks_for(t->link, who)) {
		not_its_own(t, "stanza", jid_domain(who));
		return true;
	}
	t->wait = full_shard(t->link, p, shard, &room);
	if (unlikely(t->wait != SHARD_NONE))
		return false;
	hold_count(t->link, p->route.len);
	if (!tray_packet(&a->shards, shard, p))
		log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (out of memory)", t->link->ob.name);
	return true;
}

/* A name as it stands, or what stringprep makes of it. */
static struct span name_of(struct span text, char room[static JID_MAX + 1])
{
	struct jid jid;

	return jid_prep(&jid, text, room) ? jid_domain(&jid) : (struct span){ 0 };
}

static bool from_is_bound(struct link *link, struct span from)
{
	const struct names *names = link->home->io->cfg.names;
	char room[JID_MAX + 1];

	if (link->from_len && span_eq(from, span_of(link->from, link->from_len)))
		return true;
	if (names_bound_by_rcu(names, from, &link->ob)) {
		link->from_len = from.n <= sizeof link->from ? from.n : 0;
		memcpy(link->from, from.p, link->from_len);
		return true;
	}
	from = name_of(from, room);
	return from.n && names_bound_by_rcu(names, from, &link->ob);
}

/* Log sinks get a copy of every route that was let in. */
static void copy_to_logs(struct transit *t)
{
	struct buf b;

	if (likely(!names_have_logs_rcu(t->link->home->io->cfg.names)))
		return;
	buf_init(&b);
	rewrite_route(&b, t, "type", " type='log'");
	rewrite_to_logs(t, &b);
}

struct outbox *forward_find_rcu(const struct transit *t, struct span name, const struct jid *to)
{
	const struct names *names = t->link->home->io->cfg.names;
	struct outbox *ob = names_find_rcu(names, name, to);

	if (ob)
		return ob;
	ob = names_default_rcu(names);
	if (ob)
		return ob == &t->link->ob ? NULL : ob;
	/* Nobody of ours: the network behind the router that we dialled may know it. */
	return names_router_rcu(names);
}

/* To another component. */
static void elsewhere(struct transit *t, struct span name)
{
	struct span to = slice_of(t->frame, t->route->stanza_to.len ? t->route->stanza_to : t->route->target);
	char room[JID_MAX + 1];
	struct outbox *ob;
	struct jid jid;

	if (t->route->error) /* never an error for an error; jabberd2's router lets none pass */
		return;
	if (jid_prep(&jid, slice_of(t->frame, t->route->stanza_from), room) && !speaks_for(t->link, &jid)) {
		not_its_own(t, "stanza", jid_domain(&jid));
		return;
	}
	if (to.n == 0 || !jid_prep(&jid, to, room))
		jid.s = NULL;
	ob = forward_find_rcu(t, name, &jid);
	if (ob)
		component_send(t, ob);
	else
		rewrite_bounce(t, 404);
}

static void broadcast(struct transit *t)
{
	struct audience all = { .but = &t->link->ob };

	audience_collect(&all, t->link->home->io->cfg.names);
	for (uint32_t i = 0; i < all.n; i++) {
		if (!out_put(t->link->home->out, all.obs[i], span_of(t->frame, t->route->len)))
			log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (out of memory)", all.obs[i]->name);
	}
	audience_free(&all);
}

/* A c2s ends a session that it does not know by its id alone, without a name to send that to, where no one is logged in yet on the socket
 * that the session once had. It takes the bounce of it for that socket's client, and throws it out. */
static bool ends_a_stale_session(const struct transit *t)
{
	return t->route->payload == PL_SESSION && !t->route->error && (t->route->flags & ROUTE_HAS_SM) &&
	       span_is(slice_of(t->frame, t->route->action), "end");
}

/* From a component: what a router checks before it routes. */
static bool route_in(struct transit *t)
{
	struct link *link = t->link;
	struct span from = slice_of(t->frame, t->route->from), to = slice_of(t->frame, t->route->to);
	char room[JID_MAX + 1];

	if (t->route->type == RT_LOG || t->route->type == RT_OTHER)
		return true;
	if (from.n == 0) {
		rewrite_bounce(t, 400);
		return true;
	}
	if (!from_is_bound(link, from)) {
		not_its_own(t, "packet", from);
		return true;
	}
	if (t->route->type == RT_BROADCAST) {
		copy_to_logs(t);
		broadcast(t);
		return true;
	}
	if (!io_serves(link->home->io, to) && !names_find_rcu(link->home->io->cfg.names, to, NULL))
		to = name_of(to, room);
	if (to.n == 0 && !ends_a_stale_session(t)) {
		rewrite_bounce(t, 400);
		return true;
	}
	if (to.n == 0 || io_serves(link->home->io, to)) {
		if (!forward_to_shard(t))
			return false;
		copy_to_logs(t);
		return true;
	}
	copy_to_logs(t);
	elsewhere(t, to);
	return true;
}

static bool route_frame(struct transit *t)
{
	if (!t->link->router)
		return route_in(t);
	/* The router sends us what is ours, and what comes back to us; a bounce still has the address that we gave it. */
	return t->route->type != RT_UNICAST || forward_to_shard(t);
}

static uint32_t end_of(struct slice s)
{
	return s.off + s.len;
}

/* What there is of a client's frame that says whose it is and what it was. Only its session's shard knows the JID that an error goes to
 * (RFC 6120 section 8.3.1), and what was sent before it is answered before it. */
static bool refuse_in_shard(struct transit *t)
{
	struct route *r = &t->packet->route;
	const struct slice kept[] = { r->from, r->to, r->id, r->c2s, r->sm, r->stanza_to, r->stanza_type, r->tag };
	uint32_t len = 0;

	if (t->link->ob.accept || r->error || r->payload > PL_IQ || r->payload == PL_NONE || !(r->flags & ROUTE_HAS_SM) || (r->flags & ROUTE_ODD))
		return false;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		len = end_of(kept[i]) > len ? end_of(kept[i]) : len;
	r->len = len;
	r->start = r->content = r->child = r->child_ns = r->session_prefix = r->action = r->target = (struct slice){ 0 };
	r->flags &= (uint16_t)~ROUTE_SESSION_PREFIX;
	r->nattrs = 0;
	t->refused = true;
	return forward_to_shard(t);
}

static void refused(struct transit *t)
{
	struct link *link = t->link;

	log_limited(LOG_LEVEL_WARNING, "%s: a frame was dropped (%s)", link->ob.name, link->scanner.error ? link->scanner.error : "refused");
	stat_inc(STAT_FRAMES_REFUSED);
	stat_inc(link->scanner.error && strcmp(link->scanner.error, ROUTE_TOO_LONG) == 0 ? STAT_LIMIT_FRAME_BYTES : STAT_LIMIT_STRUCTURE);
	if (!refuse_in_shard(t))
		rewrite_refuse(t, SE_POLICY_VIOLATION);
}

/* On the router's link, and on a jabberd2 component's. */
static bool frame_component(struct transit *t)
{
	struct link *link = t->link;

	switch (t->route->element) {
	case EL_ROUTE:
		return route_frame(t);
	case EL_ADVERT:
		if (link->router)
			bind_advert(link, t->frame, t->route);
		break;
	case EL_BIND:
		if (link->router) {
			dial_bound(link, t->route);
			break;
		}
		t->wait = SHARD_NONE;
		return bind_request(link, t->frame, t->route);
	case EL_UNBIND:
		if (!link->router)
			bind_undo(link, t->frame, t->route);
		break;
	case EL_THROTTLE:
		if (!link->router)
			link_throttle(link);
		break;
	case EL_REFUSED:
		refused(t);
		break;
	case EL_OTHER:
		stream_other(link, t->frame, t->route);
		break;
	default:
		break;
	}
	return true;
}

/* A XEP-0114 component has stanzas and nothing else. */
static bool frame_accept(struct transit *t)
{
	switch (t->route->element) {
	case EL_STANZA:
		return component_stanza(t);
	case EL_REFUSED:
		refused(t);
		break;
	case EL_OTHER:
		stream_other(t->link, t->frame, t->route);
		break;
	default:
		break;
	}
	return true;
}

bool forward_odd(struct transit *t)
{
	struct link *link = t->link;
	struct scratch_frame room;

	if (acceptor_scratch(link->home, t->route->len, &room)) {
		memcpy(room.frame, t->frame, t->route->len);
		t->frame = room.frame;
		if (route_mxml(&t->packet->route, room.frame, room.extra, room.extra_cap))
			return true;
	}
	log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (mini-XML could not read it, or out of memory)", link->ob.name);
	return false;
}

bool forward_frame(struct link *link, const char *frame, struct packet *packet)
{
	struct transit t = { .link = link, .packet = packet, .frame = frame, .route = &packet->route };
	struct route as_read;
	bool odd = unlikely(packet->route.flags & ROUTE_ODD), done;

	if (odd) {
		as_read = packet->route;
		if (!forward_odd(&t))
			return true;
	}
	done = link->ob.accept ? frame_accept(&t) : frame_component(&t);
	if (unlikely(!done))
		link_pause(link, t.wait, frame, odd ? &as_read : &packet->route);
	return done;
}
