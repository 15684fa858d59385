/* frame.c - a link's bytes, cut into frames that passed the gate.
 * Threads: the link's acceptor; a scanner has one user at a time.
 * Owns: nothing, allocates nothing.
 *
 * The gate reads a frame in one go where all of it is there. Where it is not, the cutter looks for its end as reads come in, and the
 * gate reads it then: each byte is looked at three times at most, however small the reads.
 */
#include "xmpp/frame.h"

#include "xmpp/gate.h"
#include "xmpp/scan.h"

/* Depth, elements and attributes are what mini-XML reads in good time and memory. */
const struct route_limits route_limits_default = { .frame_bytes = 1u << 20, .depth = 64, .attributes = 64, .elements = 4096 };

#define CLOSE_MAX 128
#define FRAME_MAX (1u << 30) /* offsets are 32 bits wide */

static uint32_t at_most(uint32_t v, uint32_t max)
{
	return v < max ? v : max;
}

void route_scanner_init(struct route_scanner *s, const struct route_limits *limits)
{
	*s = (struct route_scanner){ .limits = limits ? *limits : route_limits_default };
	s->limits.frame_bytes = at_most(s->limits.frame_bytes, FRAME_MAX);
	s->limits.depth = (uint16_t)at_most(s->limits.depth, GATE_DEPTH);
	s->limits.attributes = (uint16_t)at_most(s->limits.attributes, GATE_ATTRS);
}

enum route_result frame_bad(struct route_scanner *s, const char *condition, const char *error)
{
	s->condition = condition;
	s->error = error;
	return ROUTE_BAD;
}

enum cut_result frame_cut(struct route_scanner *s, const char **p, const char *end, uint32_t stop)
{
	struct cut c = { s->state & CUTTER, s->depth, s->quote };
	enum cut_result result = cut_run(&c, p, end, stop);

	s->state = (s->state & ~(uint32_t)CUTTER) | c.state;
	s->depth = c.depth;
	s->quote = c.quote;
	return result;
}

void frame_cut_reset(struct route_scanner *s)
{
	s->state &= ~(uint32_t)CUTTER;
	s->depth = 0;
	s->seen = 0;
}

/* Lets the gate read one element. *n: bytes there are, afterwards bytes that were read. */
static enum gate_verdict pass(struct route_scanner *s, const char *p, size_t *n, struct route *route)
{
	struct gate g;

	memset(route, 0, offsetof(struct route, attrs));
	gate_init(&g, p, *n, &s->limits);
	g.route = route;
	g.watch = 1;
	g.prefixes = s->prefixes;
	g.accept = s->accept;
	g.shapes = s->shapes;
	enum gate_verdict v = gate_element(&g);
	*n = (size_t)(g.p - p);
	if (unlikely(v != GATE_OK)) {
		s->condition = g.condition;
		s->error = g.error;
	}
	return v;
}

static enum route_result done(struct route_scanner *s, struct route *route, size_t n, size_t *used)
{
	frame_cut_reset(s);
	route->len = (uint32_t)n;
	if (unlikely(s->mxml) && route->element != EL_REFUSED)
		route->flags |= ROUTE_ODD;
	*used += n;
	return ROUTE_OK;
}

static enum route_result refuse(struct route_scanner *s, struct route *route, size_t n, size_t *used)
{
	route->element = EL_REFUSED;
	return done(s, route, n, used);
}

/* The cutter found the end n bytes on: the gate has the last word. */
static enum route_result complete(struct route_scanner *s, const char *p, size_t n, struct route *route, size_t *used)
{
	size_t read = n;

	switch (pass(s, p, &read, route)) {
	case GATE_OK:
		if (read == n)
			return done(s, route, n, used);
		break;
	case GATE_LIMIT:
		return refuse(s, route, n, used);
	case GATE_BAD:
		return ROUTE_BAD;
	case GATE_MORE:
		break;
	}
	return frame_bad(s, "not-well-formed", "tags that do not match");
}

/* The frame is longer than it may be: what there is of it is refused now, the rest is thrown away as it comes. */
static enum route_result too_long(struct route_scanner *s, const char *p, size_t n, struct route *route, size_t *used)
{
	size_t read = n;
	enum gate_verdict v = pass(s, p, &read, route);

	if (v == GATE_BAD)
		return ROUTE_BAD;
	if (v == GATE_OK)
		return frame_bad(s, "not-well-formed", "tags that do not match");
	s->condition = "policy-violation";
	s->error = ROUTE_TOO_LONG;
	route->element = EL_REFUSED;
	route->len = (uint32_t)n;
	*used += n;
	s->seen = 0;
	s->state |= SKIPPING;
	return ROUTE_OK;
}

static enum route_result cut_frame(struct route_scanner *s, const char *p, size_t n, struct route *route, size_t *used)
{
	const char *at = p + s->seen;

	switch (frame_cut(s, &at, p + n, 0)) {
	case CUT_DONE:
		return complete(s, p, (size_t)(at - p), route, used);
	case CUT_BAD:
		if (pass(s, p, &n, route) != GATE_BAD)
			return frame_bad(s, "restricted-xml", "a comment, a processing instruction or a document type");
		return ROUTE_BAD;
	case CUT_MORE:
		break;
	}
	s->seen = (uint32_t)n;
	return n == s->limits.frame_bytes ? too_long(s, p, n, route, used) : ROUTE_MORE;
}

static enum route_result frame(struct route_scanner *s, const char *p, size_t n, struct route *route, size_t *used)
{
	if (unlikely(n > s->limits.frame_bytes))
		n = s->limits.frame_bytes;
	if (likely(s->seen == 0)) {
		size_t read = n;
		enum gate_verdict v = pass(s, p, &read, route);
		if (likely(v == GATE_OK))
			return done(s, route, read, used);
		if (v == GATE_BAD)
			return ROUTE_BAD;
	}
	return cut_frame(s, p, n, route, used);
}

/* Bytes of a frame that was too long. True: its end was found. */
static enum cut_result skip(struct route_scanner *s, const char *buf, size_t len, size_t *used)
{
	const char *p = buf;
	enum cut_result result = frame_cut(s, &p, buf + len, 0);

	*used = (size_t)(p - buf);
	if (result == CUT_DONE) {
		frame_cut_reset(s);
		s->state &= ~(uint32_t)SKIPPING;
	}
	return result;
}

/* The prefix of a stream header's or a stream end's name. */
static bool stream_prefix(const struct route_scanner *s, struct span prefix)
{
	for (const char *at = s->prefixes; *at; at += strlen(at) + 1)
		if (span_is(prefix, at))
			return true;
	return prefix.n == 0;
}

static enum route_result stream_end(struct route_scanner *s, const char *p, size_t n, size_t *used)
{
	const char *gt = memchr(p, '>', n < CLOSE_MAX ? n : CLOSE_MAX);

	if (!gt)
		return n < CLOSE_MAX ? ROUTE_MORE : frame_bad(s, "not-well-formed", "an end tag that closes nothing");
	const char *name = p + 2, *name_end = name;
	while (name_end < gt && !scan_is(*name_end, SC_SPACE))
		name_end++;
	const char *colon = memchr(name, ':', (size_t)(name_end - name));
	const char *local = colon ? colon + 1 : name;
	struct span prefix = span_of(name, colon ? (size_t)(colon - name) : 0);
	if (!span_is(span_of(local, (size_t)(name_end - local)), "stream") || !stream_prefix(s, prefix) ||
		scan_space(name_end, gt) != gt)
		return frame_bad(s, "not-well-formed", "an end tag that closes nothing");
	*used += (size_t)(gt + 1 - p);
	return ROUTE_CLOSE;
}


enum route_result route_next(struct route_scanner *s, const char *buf, size_t len, struct route *route, size_t *used)
{
	const char *end = buf + len;

	*used = 0;
	if (unlikely(s->state & SKIPPING)) {
		switch (skip(s, buf, len, used)) {
		case CUT_DONE:
			break;
		case CUT_BAD:
			return frame_bad(s, "restricted-xml", "a comment, a processing instruction or a document type");
		case CUT_MORE:
			return ROUTE_MORE;
		}
	}
	const char *p = scan_space(buf + *used, end);
	*used = (size_t)(p - buf);
	if (end - p < 2)
		return p == end || *p == '<' ? ROUTE_MORE : frame_bad(s, "bad-format", "text between elements");
	if (*p != '<')
		return frame_bad(s, "bad-format", "text between elements");
	if (unlikely(!(s->state & HEADER_SEEN)))
		return frame_header(s, p, (size_t)(end - p), used);
	if (unlikely(p[1] == '/'))
		return stream_end(s, p, (size_t)(end - p), used);
	return frame(s, p, (size_t)(end - p), route, used);
}

bool route_check(const struct route_limits *limits, struct span document, const char **error)
{
	struct gate g;

	gate_init(&g, document.p, document.n, limits ? limits : &route_limits_default);
	g.error = "an element that does not end";
	bool ok = gate_element(&g) == GATE_OK;
	if (ok && g.p != g.end) {
		g.error = "more than one element";
		ok = false;
	}
	if (error)
		*error = ok ? NULL : g.error;
	return ok;
}
