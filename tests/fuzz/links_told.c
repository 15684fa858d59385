/* links_told.c - a packet as text, the same whoever read its envelope.
 * Threads: one.
 * Owns: nothing beyond a call.
 */
#include "../world/alone.h"
#include "../xmpp/compare.h"
#include "../xmpp/oracle.h"
#include "links.h"

/* Of the flags, what a reader says of the frame; not how it came to know. */
#define FLAGS (ROUTE_FAILED | ROUTE_HAS_C2S | ROUTE_HAS_SM | ROUTE_DEFAULT | ROUTE_LOG | ROUTE_MULTI | ROUTE_TO)

static void put(struct buf *out, const char *name, const struct packet *p, struct slice s)
{
	if (!s.off)
		return;
	buf_fmt(out, " %s=[", name);
	buf_put(out, packet_slice(p, s));
	buf_str(out, "]");
}

static void put_jid(struct buf *out, const char *name, const struct jid *jid)
{
	if (!jid->s)
		return;
	buf_fmt(out, " %s=[", name);
	buf_put(out, jid_full(jid));
	buf_str(out, "]");
}

static void check(const struct packet *p)
{
	struct span frame = span_of(p->frame, p->route.len);
	bool accept = p->link && p->link->accept;

	/* The stream's own prefix may be used; expat has not seen it here. */
	if (!p->link || (p->flags & PACKET_REFUSED) || memmem(frame.p, frame.n, "stream:", 7))
		return;
	const char *what = compare_envelope(&p->route, p->frame, accept);

	what = what ? what : compare_forwarded(&p->route, p->frame, accept);
	if (what)
		broken("expat reads it otherwise (%s): " SPAN_FMT, what, SPAN_ARG(frame));
}

void links_packet(struct buf *out, const struct packet *p, char from)
{
	const struct route *r = &p->route;

	check(p);
	buf_fmt(out, "%c stage=%d flags=%d element=%d type=%d payload=%d error=%d route=%d", from, p->stage, p->flags & ~PACKET_SESSION, r->element,
		r->type, r->payload, r->error, r->flags & FLAGS);
	put(out, "to", p, r->to);
	put(out, "from", p, r->from);
	put(out, "tag", p, r->tag);
	put(out, "stanza_to", p, r->stanza_to);
	put(out, "stanza_from", p, r->stanza_from);
	put(out, "stanza_type", p, r->stanza_type);
	put(out, "c2s", p, r->c2s);
	put(out, "sm", p, r->sm);
	put(out, "action", p, r->action);
	put(out, "target", p, r->target);
	put(out, "child", p, r->child);
	put(out, "start", p, r->start);
	put(out, "content", p, r->content);
	if (r->id.off) {
		buf_str(out, " id=[");
		oracle_decode(packet_slice(p, r->id), '\'', out);
		buf_str(out, "]");
	}
	put_jid(out, "jid_to", &p->to);
	put_jid(out, "jid_from", &p->from);
	buf_str(out, "\n");
}
