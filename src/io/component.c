/* component.c - XEP-0114 components: the handshake, and their stanzas without <route>.
 * Threads: the link's acceptor.
 * Owns: nothing.
 * Source: XEP-0114.
 */
#include <openssl/sha.h>
#include <stdio.h>

#include "io/link.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"

bool component_handshake_good(const struct link *link, struct span digest_hex)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1];
	struct buf b;

	if (!link->stream_id[0] || digest_hex.n != sizeof hex - 1)
		return false;
	buf_init(&b);
	buf_str(&b, link->stream_id);
	buf_str(&b, link->listen->secret);
	if (b.failed) {
		buf_free(&b);
		return false;
	}
	SHA1((const unsigned char *)b.p, b.n, digest);
	buf_free(&b);
	for (size_t i = 0; i < sizeof digest; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return hash_equal_secret(span_of(hex, sizeof hex - 1), digest_hex);
}

void component_online(struct link *link)
{
	struct acceptor *a = link->home;
	struct span name = span_str(link->peer);

	if (takeover_waits(link, name, 0)) {
		link->held = true;
		link->held_shard = SHARD_NONE;
		link_stop_reading(link);
		return;
	}
	/* Before the name is bound, so that no stanza gets ahead of it; after a look, so that it is not said to one who loses. */
	if (!io_serves(a->io, name) && !names_find_rcu(a->io->cfg.names, name, NULL)) {
		link_send(link, SPAN("<handshake/>"));
		out_flush(a->out);
		link->scanner.limits = a->io->cfg.tuning.limits;
		link->scanner.mxml = a->io->cfg.route_mxml;
		link_online(link);
		log_notice("%s authenticated as " SPAN_FMT, link->ob.name, SPAN_ARG(name));
		if (bind_name(link, name, 0) == 0) {
			bind_announce(link, name);
			return;
		}
	}
	link_end(link, "conflict", "the name that it wants is bound already");
}

/* A stanza as the route that a jabberd2 component would have sent. */
static void wrap(struct buf *b, const struct transit *t, struct span to, struct span from, bool log)
{
	buf_str(b, "<route xmlns='" NS_COMPONENT "'");
	if (log)
		buf_str(b, " type='log'");
	buf_attr(b, "to", to);
	buf_attr(b, "from", from);
	buf_str(b, ">");
	rewrite_stanza(b, t->frame, t->route, NS_CLIENT);
	buf_str(b, "</route>");
}

/* To the router that we dialled. It takes routes from our names alone; and what is no stanza has an answer that could not find back. */
static void send_beyond(struct transit *t, struct outbox *router)
{
	const struct route *r = t->route;
	struct buf from, b;

	if (r->payload > PL_IQ || r->payload == PL_NONE || (r->flags & (ROUTE_HAS_C2S | ROUTE_HAS_SM))) {
		rewrite_bounce(t, 404);
		return;
	}
	buf_init(&from);
	buf_init(&b);
	buf_attr(&from, "from", t->link->home->io->cfg.id);
	buf_put(&from, span_of("", 1));
	if (from.failed)
		b.failed = true;
	else
		rewrite_route(&b, t, "from", from.p);
	buf_free(&from);
	rewrite_send(t, router, &b);
}

/* A jabberd2 component wants a route around it, a XEP-0114 one none. */
void component_send(struct transit *t, struct outbox *to)
{
	bool bare = t->route->element == EL_STANZA, beyond = to == names_router_rcu(t->link->home->io->cfg.names);
	struct span tag = slice_of(t->frame, t->route->tag);
	struct jid jid;
	char room[JID_MAX + 1];
	struct buf b;

	if (!bare && beyond) {
		send_beyond(t, to);
		return;
	}
	if (!bare && !to->accept) {
		if (!out_put(t->link->home->out, to, span_of(t->frame, t->route->len)))
			log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (out of memory)", to->name);
		return;
	}
	/* Another namespace can only be given to a stanza that has its own by default. */
	if (t->route->payload > PL_IQ || t->route->payload == PL_NONE || memchr(tag.p, ':', tag.n)) {
		if (!bare)
			rewrite_bounce(t, 400);
		return;
	}
	buf_init(&b);
	if (bare && !to->accept) {
		if (!jid_prep(&jid, slice_of(t->frame, t->route->stanza_to), room))
			return;
		wrap(&b, t, jid_domain(&jid), beyond ? t->link->home->io->cfg.id : span_str(t->link->peer), false);
	} else {
		rewrite_stanza(&b, t->frame, t->route, NULL);
	}
	rewrite_send(t, to, &b);
}

static void copy_to_logs(struct transit *t, struct span to)
{
	struct buf b;

	if (likely(!names_have_logs_rcu(t->link->home->io->cfg.names)))
		return;
	buf_init(&b);
	wrap(&b, t, to, span_str(t->link->peer), true);
	rewrite_to_logs(t, &b);
}

bool component_stanza(struct transit *t)
{
	struct link *link = t->link;
	char room[JID_MAX + 1];
	struct outbox *ob;
	struct jid jid;

	if (!jid_prep(&jid, slice_of(t->frame, t->route->stanza_from), room) || !span_is(jid_domain(&jid), link->peer)) {
		link_end(link, "invalid-from", "it sent a stanza from a domain that is not its own");
		return true;
	}
	if (!jid_prep(&jid, slice_of(t->frame, t->route->stanza_to), room)) {
		rewrite_refuse(t, SE_JID_MALFORMED);
		return true;
	}
	if (io_serves(link->home->io, jid_domain(&jid))) {
		if (!forward_to_shard(t))
			return false;
		copy_to_logs(t, jid_domain(&jid));
		return true;
	}
	copy_to_logs(t, jid_domain(&jid));
	ob = forward_find_rcu(t, jid_domain(&jid), &jid);
	if (ob)
		component_send(t, ob);
	else
		rewrite_refuse(t, SE_REMOTE_SERVER_NOT_FOUND);
	return true;
}
