/* classify.c - whose is it: which shard a route belongs to.
 * Threads: any acceptor's; no state.
 * Owns: nothing.
 */
#include "io/link.h"
#include "shardsm/hash.h"

/* A session is found by its id, which carries its user's tag; an id that is none of ours is any shard's to answer. */
static uint32_t shard_of_session(const struct io *io, const struct packet *p)
{
	uint32_t tag;

	if (!(p->route.flags & ROUTE_HAS_SM) || !sm_id_tag(packet_slice(p, p->route.sm), &tag))
		return 0;
	return shard_of_tag(tag, io->cfg.nshards);
}

static void prepare(struct jid *jid, struct span text, char room[static JID_MAX + 1])
{
	if (text.n == 0 || !jid_prep(jid, text, room))
		jid->s = NULL;
}

/* The hash goes with the packet: it is looked up by it. */
static uint32_t shard_of_addressee(const struct io *io, struct packet *p)
{
	p->hash = hash_bytes(jid_bare(&p->to));
	return shard_of_tag(hash_tag(p->hash), io->cfg.nshards);
}

/* start, create and delete name their user; end, and what nobody knows, has only the id. */
static uint32_t shard_of_control(const struct io *io, struct packet *p, struct jid_room *room)
{
	struct span action = packet_slice(p, p->route.action);

	if (span_is(action, "end"))
		return shard_of_session(io, p);
	prepare(&p->to, packet_slice(p, p->route.target), room->to);
	if (!p->to.s)
		return shard_of_session(io, p);
	return shard_of_addressee(io, p);
}

/* From the rest of the world: the addressee's, or where that is a domain the sender's, so that what one sender sends stays in order. */
static uint32_t shard_of_stanza(const struct io *io, struct packet *p, struct jid_room *room)
{
	prepare(&p->to, packet_slice(p, p->route.stanza_to), room->to);
	prepare(&p->from, packet_slice(p, p->route.stanza_from), room->from);
	if (p->to.s && p->to.node_len && !(p->flags & PACKET_BOUNCED))
		return shard_of_addressee(io, p);
	/* A bounce comes back to its sender, who is our user. */
	return p->from.s ? shard_of(jid_bare(&p->from), io->cfg.nshards) : 0;
}

uint32_t classify(const struct io *io, struct packet *p, struct jid_room *room)
{
	p->hash = 0;
	if (p->route.error)
		p->flags |= PACKET_BOUNCED;
	switch (p->route.payload) {
	case PL_NONE:
	case PL_OTHER:
		return SHARD_NONE;
	case PL_SESSION:
	case PL_SESSIONS:
		return p->route.error ? shard_of_session(io, p) : shard_of_control(io, p, room);
	default:
		if (p->route.flags & (ROUTE_HAS_SM | ROUTE_HAS_C2S))
			return shard_of_session(io, p);
		return shard_of_stanza(io, p, room);
	}
}
