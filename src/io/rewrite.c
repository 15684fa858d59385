/* rewrite.c - frames that go on with another start tag, and the errors that go back.
 * Threads: an acceptor's.
 * Owns: nothing beyond a call. Everything copied here has passed the gate; everything new goes through buf's escaping.
 */
#include <stdio.h>

#include "io/link.h"
#include "shardsm/log.h"

static bool name_ends(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '/' || c == '>' || c == '=';
}

void rewrite_tag(struct buf *out, struct span tag, const char *drop, const char *add)
{
	size_t n = drop ? strlen(drop) : 0;
	const char *p = tag.p + 1, *end = tag.p + tag.n;

	while (p < end && !name_ends(*p))
		p++;
	buf_put(out, span_of(tag.p, (size_t)(p - tag.p)));
	buf_str(out, add);
	while (p < end) {
		const char *from = p, *name, *close;

		while (p < end && name_ends(*p) && *p != '/' && *p != '>')
			p++;
		name = p;
		while (p < end && !name_ends(*p))
			p++;
		if (p == name) { /* "/>" or ">" */
			buf_put(out, span_of(name, (size_t)(end - name)));
			return;
		}
		size_t name_len = (size_t)(p - name);

		while (p < end && *p != '\'' && *p != '"')
			p++;
		close = p < end ? memchr(p + 1, *p, (size_t)(end - p - 1)) : NULL;
		if (!close)
			break;
		p = close + 1;
		if (!drop || name_len != n || memcmp(name, drop, n) != 0)
			buf_put(out, span_of(from, (size_t)(p - from)));
	}
}

void rewrite_stanza(struct buf *out, const char *frame, const struct route *route, const char *ns)
{
	struct span start = slice_of(frame, route->start);
	struct buf add;

	buf_init(&add);
	if (ns)
		buf_attr(&add, "xmlns", span_str(ns));
	buf_put(&add, span_of("", 1));
	if (add.failed)
		out->failed = true;
	else
		rewrite_tag(out, start, "xmlns", add.p);
	buf_free(&add);
	if (route->flags & ROUTE_ENDS_EMPTY)
		return;
	buf_put(out, slice_of(frame, route->content));
	buf_str(out, "</");
	buf_put(out, slice_of(frame, route->tag));
	buf_str(out, ">");
}

void rewrite_send(struct transit *t, struct outbox *to, struct buf *b)
{
	if (b->failed || !out_put(t->link->home->out, to, buf_span(b)))
		log_limited(LOG_LEVEL_ERROR, "%s: a packet was lost (out of memory)", to->name);
	buf_free(b);
}

struct log_copy {
	struct transit *t;
	struct buf *b;
};

static void log_one(struct outbox *ob, void *arg)
{
	struct log_copy *copy = arg;

	if (!ob->accept && !out_put(copy->t->link->home->out, ob, buf_span(copy->b)))
		log_limited(LOG_LEVEL_ERROR, "%s: a copy was lost (out of memory)", ob->name);
}

void rewrite_to_logs(struct transit *t, struct buf *b)
{
	struct log_copy copy = { t, b };

	if (b->failed)
		log_limited(LOG_LEVEL_ERROR, "%s: a copy was lost (out of memory)", t->link->ob.name);
	else
		names_logs_rcu(t->link->home->io->cfg.names, log_one, &copy);
	buf_free(b);
}

/* The frame's own start tag. */
static struct span rewrite_start(const struct transit *t)
{
	const char *p = t->frame, *end = t->frame + t->route->len;

	while (p < end && *p != '>') {
		if (*p == '\'' || *p == '"')
			p = memchr(p + 1, *p, (size_t)(end - p - 1));
		if (!p)
			return span_of(t->frame, t->route->len);
		p++;
	}
	return span_of(t->frame, (size_t)((p < end ? p + 1 : end) - t->frame));
}

void rewrite_route(struct buf *out, const struct transit *t, const char *drop, const char *add)
{
	struct span start = rewrite_start(t);

	rewrite_tag(out, start, drop, add);
	buf_put(out, span_of(t->frame + start.n, t->route->len - start.n));
}

void rewrite_bounce(struct transit *t, int code)
{
	char add[32];
	struct buf b;

	if (t->route->error)
		return;
	snprintf(add, sizeof add, " error='%d'", code);
	buf_init(&b);
	rewrite_route(&b, t, "error", add);
	rewrite_send(t, &t->link->ob, &b);
}

static const char *stanza_name(const struct route *route)
{
	return route->payload == PL_MESSAGE ? "message" : route->payload == PL_PRESENCE ? "presence" : route->payload == PL_IQ ? "iq" : NULL;
}

static void put_attr(struct buf *b, const char *name, const struct transit *t, struct slice value)
{
	if (value.len)
		buf_attr(b, name, slice_of(t->frame, value));
}

void rewrite_refuse(struct transit *t, enum stanza_condition condition)
{
	const struct route *r = t->route;
	const char *name = stanza_name(r);
	struct span stanza_type = slice_of(t->frame, r->stanza_type);
	bool accept = t->link->ob.accept;
	struct buf b;

	if (!name || r->error || span_is(stanza_type, "error") || span_is(stanza_type, "result"))
		return;
	buf_init(&b);
	if (!accept) {
		buf_str(&b, "<route xmlns='" NS_COMPONENT "'");
		put_attr(&b, "to", t, r->from);
		put_attr(&b, "from", t, r->to);
		buf_str(&b, ">");
	}
	buf_fmt(&b, "<%s%s type='error'", name, accept ? "" : " xmlns='" NS_CLIENT "'");
	put_attr(&b, "to", t, r->stanza_from);
	put_attr(&b, "from", t, r->stanza_to);
	if (r->id.len) { /* raw, and escaped already */
		buf_str(&b, " id='");
		buf_put(&b, slice_of(t->frame, r->id));
		buf_str(&b, "'");
	}
	if (!accept && (r->c2s.len || r->sm.len)) {
		buf_str(&b, " xmlns:sc='" NS_SESSION "'");
		put_attr(&b, "sc:c2s", t, r->c2s);
		put_attr(&b, "sc:sm", t, r->sm);
	}
	buf_str(&b, ">");
	stanza_error_write(&b, condition, NULL);
	buf_fmt(&b, "</%s>%s", name, accept ? "" : "</route>");
	rewrite_send(t, &t->link->ob, &b);
}
