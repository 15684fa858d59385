/* salvage.c - what a link that is gone was not sent any more: its stanzas get on their way again.
 * Threads: the acceptor of the link, when nobody refers to the link any more: every shard has heard that it is gone.
 * Owns: links whose last reference is gone, until all of their chunks have been looked at.
 * A message for a session that has ended with its link is delivered as if it had come now: to another session, into the offline store, or
 * it is answered. One for another domain is answered. So a peer that crashes, or does not read, costs nobody a message but those that
 * the kernel had taken for it.
 * Much of it may be for one link, of those who sent it. So it goes on only while no link has much waiting, and stops again before the shards
 * have much to answer: else that link, which reads what it is sent, would be closed for what another did not read.
 */
#include <stdio.h>

#include "io/link.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"

#define TURN_BYTES (256u * 1024) /* looked at in one turn: others want to be read meanwhile */
#define PART 8                   /* of the limit of a link: what may be on its way to it, and what may wait there for more to come */
#define LOOK_MS 5
#define PATIENCE_MS 1000         /* then a turn's bytes go on although some link still has much waiting: it may be one that does not read */
#define ERROR_CODE 502           /* gone meanwhile; a stanza error of type wait */

/* Where frames begin. They are our own: how large they may be was asked when they came. */
static void ready(struct link *link)
{
	struct route_limits limits = link->home->io->cfg.tuning.limits;

	limits.frame_bytes = limits.elements = 1u << 30;
	route_shapes_free(&link->scanner.shapes);
	route_scanner_begin(&link->scanner, &limits, link->ob.accept);
}

void salvage_begin(struct acceptor *a, struct link *link)
{
	struct link **at = &a->wrecks;

	if (a->phase > PHASE_LAST) {
		log_limited(LOG_LEVEL_WARNING, "%s: what had not been sent to it is lost: too late to do anything else with it", link->ob.name);
		link_destroy(link);
		return;
	}
	ready(link);
	while (*at)
		at = &(*at)->next;
	link->next = NULL;
	*at = link;
}

/* From the offline store, where it still is. */
static bool is_stored(const struct packet *p)
{
	static const struct span delay = { "<delay xmlns='urn:xmpp:delay' from='", 36 };
	struct span content = packet_slice(p, p->route.content), domain = jid_domain(&p->to);

	return content.n > delay.n + domain.n && memcmp(content.p, delay.p, delay.n) == 0 &&
		memcmp(content.p + delay.n, domain.p, domain.n) == 0;
}

/* A message for an account goes to several sessions of it, one behind the other: that is one message still. */
static bool is_copy(struct link *link, const struct packet *p)
{
	const struct route *r = &p->route;
	const struct span parts[] = { jid_full(&p->from), jid_bare(&p->to), packet_slice(p, r->id), packet_slice(p, r->stanza_type),
		packet_slice(p, r->content) };
	struct span session = packet_slice(p, r->sm);
	uint64_t said = 0, to = hash_bytes(session);
	bool copy;

	if (r->payload != PL_MESSAGE)
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		said = said * 0x9e3779b97f4a7c15u + hash_bytes(parts[i]);
	copy = said == link->wreck_said && to != link->wreck_to;
	link->wreck_said = said;
	link->wreck_to = to;
	return copy;
}

/* Another component's, for one that is gone: back, as a router that does not know it would have sent it. */
static void bounce(struct transit *t)
{
	struct names *names = t->link->home->io->cfg.names;
	struct outbox *ob;
	struct buf b;
	char add[32];

	rcu_enter();
	ob = t->route->element == EL_ROUTE ? names_find_rcu(names, slice_of(t->frame, t->route->from), NULL) : NULL;
	if (ob) {
		snprintf(add, sizeof(add), " error='%d'", ERROR_CODE);
		buf_init(&b);
		rewrite_route(&b, t, "error", add);
		rewrite_send(t, ob, &b);
	}
	rcu_leave();
}

static bool shard_is_full(struct acceptor *a, uint32_t shard)
{
	uint64_t most = mailbox_share(a->io->cfg.shards[shard]), part = a->io->cfg.tuning.link_bytes / PART / a->io->cfg.nshards;

	if (part < most)
		most = part;
	if (tray_load(&a->shards, shard) <= most)
		return false;
	a->wrecks_wait = true;
	dispatch_tray_post_one(&a->shards, shard); /* what fills it may be what is not posted yet */
	hold_ask(a, shard, most / 2 + 1);
	return true;
}

/* False: its shard has no room. */
static bool send_on(struct transit *t, bool all)
{
	struct acceptor *a = t->link->home;
	const struct io *io = a->io;
	struct packet *p = t->packet;
	struct route *r = &p->route;
	struct jid_room room;
	uint32_t shard;

	p->flags = 0;
	p->link = NULL;
	p->frame = t->frame;
	if (!jid_prep(&p->to, slice_of(t->frame, r->stanza_to), room.to) || !jid_prep(&p->from, slice_of(t->frame, r->stanza_from), room.from))
		return true; /* the server's own word to a session */
	if (r->flags & (ROUTE_HAS_C2S | ROUTE_HAS_SM)) {
		if (is_stored(p) || is_copy(t->link, p))
			return true;
		p->stage = STAGE_DELIVER;
		p->hash = hash_bytes(jid_bare(&p->to));
		shard = shard_of_tag(hash_tag(p->hash), io->cfg.nshards);
	} else if (io_serves(io, jid_domain(&p->from))) {
		p->stage = STAGE_IN;
		p->flags = PACKET_BOUNCED;
		p->hash = 0;
		r->error = ERROR_CODE;
		shard = shard_of(jid_bare(&p->from), io->cfg.nshards);
	} else {
		bounce(t);
		return true;
	}
	if (!all && shard_is_full(a, shard))
		return false;
	if (!tray_packet(&a->shards, shard, p))
		log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (out of memory)", t->link->ob.name);
	return true;
}

/* A frame that was not written to its end. Presence, and what is said of sessions, has been overtaken by the end of the link. */
static bool frame_again(struct link *link, const char *frame, struct packet *packet, bool all)
{
	struct transit t = { .link = link, .packet = packet, .frame = frame, .route = &packet->route };
	const struct route *r = &packet->route;

	if ((r->flags & ROUTE_ODD) && !forward_odd(&t))
		return true;
	if ((r->element != EL_ROUTE && r->element != EL_STANZA) || r->type != RT_UNICAST || r->error ||
		(r->payload != PL_MESSAGE && r->payload != PL_IQ))
		return true;
	return send_on(&t, all);
}

/* True: all of it was looked at. */
static bool go_on(struct link *link, uint32_t *budget, bool all)
{
	struct packet packet = { 0 };
	size_t used;

	for (;;) {
		const char *at;

		if (link->wreck_off == link->wreck.n) {
			if (!outbox_lost(&link->ob, &link->wreck, &link->wreck_written))
				return true;
			link->wreck_off = 0;
		}
		if (*budget == 0)
			return false;
		at = link->wreck.p + link->wreck_off;
		if (route_next(&link->scanner, at, link->wreck.n - link->wreck_off, &packet.route, &used) != ROUTE_OK) {
			/* White space at its end; or what was said before the link was online. */
			link->wreck_off = link->wreck.n;
			ready(link);
			continue;
		}
		if (link->wreck_off + used > link->wreck_written && !frame_again(link, at + used - packet.route.len, &packet, all))
			return false;
		link->wreck_off += (uint32_t)used;
		*budget -= used < *budget ? (uint32_t)used : *budget;
	}
}

/* Has some link much waiting? It is looked at again soon. What is left of others may not pile up for that. */
static bool links_are_full(struct acceptor *a)
{
	if (!outboxes_keep_much() && !crowd_has_room(a->io, a->io->cfg.tuning.link_bytes / PART)) {
		if (!a->wrecks_since)
			a->wrecks_since = a->now;
		if (a->now - a->wrecks_since < PATIENCE_MS) {
			a->wrecks_look = a->now + LOOK_MS;
			return true;
		}
	}
	a->wrecks_since = a->wrecks_look = 0;
	return false;
}

void salvage(struct acceptor *a, bool all)
{
	uint32_t budget = all ? UINT32_MAX : TURN_BYTES;

	if (!all && (!a->wrecks || a->wrecks_wait || a->now < a->wrecks_look || links_are_full(a)))
		return;
	while (a->wrecks && go_on(a->wrecks, &budget, all)) {
		struct link *link = a->wrecks;

		a->wrecks = link->next;
		link_destroy(link);
	}
}
