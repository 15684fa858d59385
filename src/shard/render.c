/* render.c - a stanza of our own as a packet, like those that come from a link.
 * Threads: the owning shard's.
 * Owns: nothing; the bytes lie in a buffer of the shard's until it is used again.
 */
#include "shard/put.h"
#include "shard/shard.h"
#include "shardsm/log.h"

SHARD_THREAD_BEGIN

/* --- as a peer would send it, and read by the same scanner, which checks it on the way ------------------------------------------- */

static void write_route(struct buf *b, const struct stanza *st)
{
	buf_str(b, "<route xmlns='" NS_COMPONENT "' to='x' from='x'><");
	buf_str(b, st->tag);
	buf_str(b, " xmlns='" NS_CLIENT "'");
	if (st->type)
		buf_attr(b, "type", span_str(st->type));
	if (st->id.n) {
		buf_str(b, " id='");
		buf_put(b, st->id);
		buf_str(b, "'");
	}
	buf_put(b, st->attrs);
	buf_str(b, ">");
	buf_put(b, st->content);
	buf_str(b, "</");
	buf_str(b, st->tag);
	buf_str(b, "></route>");
	buf_grow(b, b->n + 4096u); /* for values that mini-XML has to decode */
}

static bool scanned(struct shard *shard, struct buf *b, const struct stanza *st, struct route *out)
{
	size_t used;

	buf_clear(b);
	write_route(b, st);
	if (b->failed)
		return false;
	if (route_next(&shard->scanner, b->p, b->n, out, &used) != ROUTE_OK || out->element != EL_ROUTE) {
		log_limited(LOG_LEVEL_ERROR, "%s: a stanza of ours is not well-formed (%s): " SPAN_FMT, shard->name,
			shard->scanner.error, SPAN_ARG(buf_span(b)));
		shard_scanner_ready(shard);
		return false;
	}
	return !(out->flags & ROUTE_ODD) || route_mxml(out, b->p, b->p + b->n, b->cap - b->n);
}

/* --- what needs no second look: where things are is known while they are written --------------------------------------------------- */

static enum payload payload_of(struct span tag)
{
	static const struct { const char *tag; enum payload payload; } kinds[] = {
		{ "presence", PL_PRESENCE }, { "iq", PL_IQ }, { "message", PL_MESSAGE },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (span_is(tag, kinds[i].tag))
			return kinds[i].payload;
	return PL_NONE;
}

/* Nothing but what is constant, or came through the gate, or was escaped; and nobody asks what element is in it. */
static bool is_sure(const struct stanza *st)
{
	return !st->attrs.n && (!st->content.n || st->sure);
}

static char *put_attr(char *at, const char *start, struct route *r, struct span name, struct span value)
{
	struct route_attr *a = &r->attrs[r->nattrs++];

	*at++ = ' ';
	a->name = (struct slice){ (uint32_t)(at - start), name.n };
	at = put(at, name);
	at = PUT(at, "='");
	a->value = (struct slice){ (uint32_t)(at - start), value.n };
	a->quote = '\'';
	at = put(at, value);
	*at++ = '\'';
	return at;
}

static bool written(struct buf *b, const struct stanza *st, enum payload payload, struct route *out)
{
	struct span tag = span_str(st->tag), type = st->type ? span_str(st->type) : (struct span){ 0 };
	char *at;

	buf_clear(b);
	if (!buf_grow(b, 2u * tag.n + type.n + st->id.n + st->content.n + 64))
		return false;
	out->element = EL_ROUTE;
	out->payload = (uint8_t)payload;
	out->flags = st->content.n ? ROUTE_DECLARES : 0; /* it may */
	out->tag = (struct slice){ 1, tag.n };
	at = put(b->p + 1, tag);
	*b->p = '<';
	at = PUT(at, " xmlns='" NS_CLIENT "'");
	if (type.n) {
		at = put_attr(at, b->p, out, SPAN("type"), type);
		out->stanza_type = out->attrs[out->nattrs - 1].value;
	}
	if (st->id.n) {
		at = put_attr(at, b->p, out, SPAN("id"), st->id);
		out->id = out->attrs[out->nattrs - 1].value;
	}
	*at++ = '>';
	out->start.len = (uint32_t)(at - b->p);
	out->content = (struct slice){ out->start.len, st->content.n };
	at = put(at, st->content);
	at = PUT(at, "</");
	at = put(at, tag);
	*at++ = '>';
	out->len = b->n = (uint32_t)(at - b->p);
	return true;
}

bool render(struct shard *shard, struct buf *b, const struct stanza *st, struct packet *out)
{
	enum payload payload = is_sure(st) ? payload_of(span_str(st->tag)) : PL_NONE;

	memset(out, 0, offsetof(struct packet, route.attrs));
#ifdef SHARDSM_DEVELOPER
	if (payload) { /* surely? */
		struct packet ignored;

		memset(&ignored, 0, sizeof(ignored));
		if (!scanned(shard, b, st, &ignored.route))
			return false;
		assert(ignored.route.payload == payload && ignored.route.content.len == st->content.n);
	}
#endif
	if (payload ? !written(b, st, payload, &out->route) : !scanned(shard, b, st, &out->route))
		return false;
	out->stage = STAGE_DELIVER;
	out->frame = b->p;
	if (st->from)
		out->from = *st->from;
	if (st->to)
		out->to = *st->to;
	return true;
}

bool packet_of_stanza(struct shard *shard, const struct stanza *st, struct packet *out)
{
	return render(shard, &shard->render, st, out);
}

SHARD_THREAD_END
