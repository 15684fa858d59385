/* stored.c - stanzas as rows: jabberd2's form, "NAD" and the whole route element.
 * Threads: the owning shard's.
 * Owns: nothing; what is read lies in the shard's render buffer until the next stanza of ours is made.
 * A row is untrusted input like the network: it passes the same gate.
 */
#include "shard/shard.h"

SHARD_THREAD_BEGIN

#define NAD SPAN("NAD")

void stored_write(struct buf *out, const struct event *ev, struct span first_child)
{
	const struct packet *p = ev->packet;
	struct span tag = packet_slice(p, p->route.tag);
	struct jid none = { 0 };

	buf_put(out, NAD);
	buf_str(out, "<route xmlns='" NS_COMPONENT "'");
	buf_attr(out, "to", jid_domain(p->to.s ? &p->to : &none));
	buf_attr(out, "from", server_id(ev->shard));
	buf_str(out, "><");
	buf_put(out, tag);
	buf_str(out, " xmlns='" NS_CLIENT "'");
	if (p->route.flags & ROUTE_SESSION_PREFIX) {
		buf_str(out, " xmlns:");
		buf_put(out, packet_slice(p, p->route.session_prefix));
		buf_str(out, "='" NS_SESSION "'");
	}
	for (int i = 0; i < p->route.nattrs; i++)
		packet_put_attr(out, p, &p->route.attrs[i]);
	if (p->from.s)
		buf_attr(out, "from", jid_full(&p->from));
	if (p->to.s)
		buf_attr(out, "to", jid_full(&p->to));
	buf_str(out, ">");
	buf_put(out, first_child);
	buf_put(out, packet_slice(p, p->route.content));
	buf_str(out, "</");
	buf_put(out, tag);
	buf_str(out, "></route>");
}

bool stored_read(struct shard *shard, struct span row, struct packet *out, char *from, char *to)
{
	struct buf *b = &shard->render;
	size_t used;

	buf_clear(b);
	if (row.n < NAD.n || !span_eq(span_of(row.p, NAD.n), NAD))
		return false;
	buf_put(b, span_of(row.p + NAD.n, row.n - NAD.n));
	buf_grow(b, b->n + 4096u); /* for values that mini-XML has to decode */
	memset(out, 0, offsetof(struct packet, route.attrs));
	if (b->failed)
		return false;
	if (route_next(&shard->scanner, b->p, b->n, &out->route, &used) != ROUTE_OK || used != b->n) {
		shard_scanner_ready(shard);
		return false;
	}
	if ((out->route.flags & ROUTE_ODD) && !route_mxml(&out->route, b->p, b->p + b->n, b->cap - b->n))
		return false;
	out->frame = b->p;
	out->stage = STAGE_DELIVER;
	if (out->route.element != EL_ROUTE || out->route.payload < PL_MESSAGE || out->route.payload > PL_IQ)
		return false;
	if (out->route.stanza_from.off && !jid_prep(&out->from, packet_slice(out, out->route.stanza_from), from))
		out->from.s = NULL;
	if (out->route.stanza_to.off && !jid_prep(&out->to, packet_slice(out, out->route.stanza_to), to))
		out->to.s = NULL;
	return true;
}

bool stored_to_session(struct session *s, struct span row)
{
	struct shard *shard = s->user->owner;
	char from[JID_MAX + 1], to[JID_MAX + 1];
	struct packet p;

	if (!stored_read(shard, row, &p, from, to))
		return false;
	if (session_hears(shard, s, &p)) /* else: blocked since it was stored */
		emit_to_session(shard, s, &p, p.to.s ? &p.to : NULL);
	return true;
}

bool row_check(struct shard *shard, struct span document)
{
	return route_check(&shard->scanner.limits, document, NULL);
}

struct xml_doc *stored_tree(struct shard *shard, struct span row, struct xml **stanza)
{
	struct xml_doc *doc;

	if (row.n < NAD.n || !span_eq(span_of(row.p, NAD.n), NAD))
		return NULL;
	row = span_of(row.p + NAD.n, row.n - NAD.n);
	doc = row_check(shard, row) ? xml_parse(row, NULL) : NULL;
	*stanza = doc && xml_is(xml_root(doc), NS_COMPONENT, "route") ? xml_child(xml_root(doc), NS_CLIENT, NULL) : NULL;
	if (doc && !*stanza)
		xml_free(&doc);
	return doc;
}

bool stored_bounce(struct shard *shard, struct span row, enum stanza_condition c)
{
	char from[JID_MAX + 1], to[JID_MAX + 1];
	struct packet p, *kept;

	if (!stored_read(shard, row, &p, from, to))
		return false;
	/* The answer is made in the buffer that the row was read into. */
	kept = p.from.s && p.to.s ? packet_keep(&p) : NULL;
	if (kept)
		reply_condition(shard, kept, c);
	packet_drop(&kept);
	return true;
}

/* The elements of a stanza, so that they can stand in another one: each with the prefixes that it uses. */
static bool write_content(const struct xml *stanza, struct buf *out)
{
	for (const struct xml *e = xml_child(stanza, NULL, NULL); e; e = xml_next(e, NULL, NULL))
		xml_write(out, e, NS_CLIENT, NS_SESSION);
	return !out->failed;
}

bool event_content(struct event *ev, struct buf *out)
{
	const struct xml *stanza = event_payload(ev);

	return stanza && write_content(stanza, out);
}

bool stored_content(struct shard *shard, struct span row, struct buf *out)
{
	char from[JID_MAX + 1], to[JID_MAX + 1];
	struct packet p;

	/* A prefix may be declared on the stanza itself. */
	if (row.n && memmem(row.p, row.n, "xmlns:", 6)) {
		struct xml *stanza;
		struct xml_doc *doc = stored_tree(shard, row, &stanza);
		bool ok = doc && write_content(stanza, out);

		if (doc)
			xml_free(&doc);
		return ok;
	}
	if (!stored_read(shard, row, &p, from, to))
		return false;
	buf_put(out, packet_slice(&p, p.route.content));
	return !out->failed;
}

void stored_unavailable(struct shard *shard, struct span row, const struct jid *from, const struct jid *to)
{
	struct buf *content = &shard->wire;

	buf_clear(content);
	if (row.n && !stored_content(shard, row, content))
		buf_clear(content);
	send_stanza(shard, &(struct stanza){ .tag = "presence", .type = "unavailable", .content = buf_span(content), .from = from,
		.to = to });
}

void request_attrs(struct buf *out, const struct packet *p)
{
	struct packet_attrs at = { 0 };
	struct route_attr a;

	while (packet_next_attr(p, &at, &a)) {
		struct span name = packet_slice(p, a.name);

		if (span_is(name, "id") || span_is(name, "xml:lang"))
			packet_put_attr(out, p, &a);
	}
}

bool stored_request(struct shard *shard, struct span row, struct jid *who, char *from, struct buf *attrs, struct buf *content)
{
	char to[JID_MAX + 1];
	struct packet p;

	if (!stored_read(shard, row, &p, from, to) || p.route.payload != PL_PRESENCE || !p.from.s ||
		!span_is(packet_slice(&p, p.route.stanza_type), "subscribe"))
		return false;
	request_attrs(attrs, &p);
	/* The prepared JID may still lie in the buffer that the row was read into. */
	memmove(from, p.from.s, p.from.bare_len);
	*who = jid_to_bare(&p.from);
	who->s = from;
	return !attrs->failed && stored_content(shard, row, content);
}

SHARD_THREAD_END
