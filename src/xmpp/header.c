/* header.c - stream headers: what may stand before the frames.
 * Threads: the link's acceptor.
 * Owns: nothing, allocates nothing.
 * Source: RFC 6120 section 4.
 */
#include "config.h"

#include <assert.h>
#include <strings.h>

#include "xmpp/frame.h"
#include "xmpp/gate.h"
#include "xmpp/scan.h"

#define HEADER_MAX 4096
#define DECLARATION_MAX 256

/* <?xml version='1.0' encoding='UTF-8'?>: the attributes as in a tag, in XML's order. p: behind "<?xml". NULL: not one. */
static const char *declaration(const char *p, const char *end, bool *utf8)
{
	static const char *const names[] = { "version", "encoding", "standalone" };
	unsigned next = 0;

	*utf8 = true;
	for (;;) {
		const char *s = scan_space(p, end);
		if (end - s >= 2 && s[0] == '?' && s[1] == '>')
			return next > 0 ? s + 2 : NULL;
		if (s == p)
			return NULL;
		const char *name_end = scan_run(s, end, SC_NAME);
		struct span name = span_of(s, (size_t)(name_end - s));
		while (next < 3 && !span_is(name, names[next]) && next > 0)
			next++;
		if (next == 3 || !span_is(name, names[next]))
			return NULL;
		s = scan_space(name_end, end);
		if (s == end || *s != '=')
			return NULL;
		s = scan_space(s + 1, end);
		if (s == end || (*s != '\'' && *s != '"'))
			return NULL;
		const char *value_end = memchr(s + 1, *s, (size_t)(end - s - 1));
		if (!value_end)
			return NULL;
		struct span value = span_of(s + 1, (size_t)(value_end - s - 1));
		if (next == 0 && (value.n < 3 || memcmp(value.p, "1.", 2) != 0))
			return NULL;
		if (next == 1)
			*utf8 = value.n == 5 && strncasecmp(value.p, "utf-8", 5) == 0;
		if (next == 2 && !span_is(value, "yes") && !span_is(value, "no"))
			return NULL;
		next++;
		p = value_end + 1;
	}
}

/* Moves *pp to where the start tag begins. ROUTE_MORE: the XML declaration is not whole yet. */
static enum route_result skip_declaration(struct route_scanner *s, const char **pp, const char *end)
{
	const char *p = *pp;
	bool utf8;

	if (p[1] != '?')
		return ROUTE_OK;
	size_t n = (size_t)(end - p) < DECLARATION_MAX ? (size_t)(end - p) : DECLARATION_MAX;
	const char *close = memmem(p, n, "?>", 2);
	if (!close)
		return n < DECLARATION_MAX ? ROUTE_MORE : frame_bad(s, "restricted-xml", "a processing instruction");
	if (close - p < 5 || memcmp(p, "<?xml", 5) != 0)
		return frame_bad(s, "restricted-xml", "a processing instruction");
	p = declaration(p + 5, close + 2, &utf8);
	if (!p)
		return frame_bad(s, "not-well-formed", "an ill-formed XML declaration");
	if (!utf8)
		return frame_bad(s, "unsupported-encoding", "an encoding other than UTF-8");
	*pp = scan_space(p, end);
	return ROUTE_OK;
}

/* Remembers the prefixes that the header declares. False: too many. */
static bool keep_prefixes(struct route_scanner *s, const struct gate *g)
{
	size_t n = 0;

	memset(s->prefixes, 0, sizeof(s->prefixes));
	for (uint32_t i = 0; i < g->nbindings; i++) {
		struct span prefix = slice_of(g->buf, g->bindings[i].prefix);
		if (prefix.n == 0)
			continue;
		/* One NUL ends the prefix, another the list. */
		if (n + prefix.n + 2 > sizeof(s->prefixes))
			return false;
		memcpy(s->prefixes + n, prefix.p, prefix.n);
		n += prefix.n + 1;
	}
	return true;
}

static enum route_result read_header(struct route_scanner *s, const char *p, size_t n)
{
	struct gate g;

	gate_init(&g, p, n, &route_limits_default);
	switch (gate_start_tag(&g)) {
	case GATE_OK:
		break;
	case GATE_MORE:
		return frame_bad(s, "not-well-formed", "an ill-formed stream header");
	case GATE_LIMIT:
	case GATE_BAD:
		return frame_bad(s, g.condition, g.error);
	}
	if (!span_is(gate_local(&g, &g.tag.name), "stream") || g.tag.empty || g.p != g.end)
		return frame_bad(s, "bad-format", "no stream header");
	if (gate_known(&g, g.tag.ns) != GN_STREAMS)
		return frame_bad(s, "invalid-namespace", "a stream header in another namespace");
	if (!keep_prefixes(s, &g))
		return frame_bad(s, "policy-violation", "a stream header declares too much");
	frame_cut_reset(s);
	s->state |= HEADER_SEEN;
	return ROUTE_HEADER;
}

enum route_result frame_header(struct route_scanner *s, const char *buf, size_t len, size_t *used)
{
	const char *p = buf, *end = buf + len;
	enum route_result result = skip_declaration(s, &p, end);

	if (result != ROUTE_OK)
		return result;
	if (p == end)
		return ROUTE_MORE;
	if (*p != '<')
		return frame_bad(s, "bad-format", "no stream header");
	const char *at = p + s->seen;
	switch (frame_cut(s, &at, end, 1)) {
	case CUT_DONE:
		*used += (size_t)(at - buf);
		return read_header(s, p, (size_t)(at - p));
	case CUT_BAD:
		return frame_bad(s, "restricted-xml", "a comment, a processing instruction or a document type");
	case CUT_MORE:
		break;
	}
	s->seen = (uint32_t)(at - p);
	if (s->seen > HEADER_MAX)
		return frame_bad(s, "policy-violation", "a stream header is too long");
	return ROUTE_MORE;
}

void route_scanner_begin(struct route_scanner *s, const struct route_limits *limits, bool accept)
{
	static const char header[] = "<stream:stream xmlns:stream='" NS_STREAMS "'>";
	enum route_result result;

	route_scanner_init(s, limits);
	s->accept = accept;
	result = read_header(s, header, sizeof header - 1);
	assert(result == ROUTE_HEADER);
	(void)result;
}

bool route_header(struct route_scanner *s, const char *buf, size_t len, struct stream_header *out)
{
	const char *p = scan_space(buf, buf + len), *end = buf + len;
	struct gate g;

	*out = (struct stream_header){ 0 };
	if (end - p < 2 || skip_declaration(s, &p, end) != ROUTE_OK)
		return false;
	gate_init(&g, p, (size_t)(end - p), &route_limits_default);
	if (p == end || *p != '<' || gate_start_tag(&g) != GATE_OK || !keep_prefixes(s, &g))
		return false;
	for (uint32_t i = 0; i < g.tag.nattrs; i++) {
		struct span name = span_of(g.buf + g.attrs[i].name.off, g.attrs[i].name.len);
		struct span value = slice_of(g.buf, g.attrs[i].value);
		if (span_is(name, "to"))
			out->to = value;
		else if (span_is(name, "from"))
			out->from = value;
		else if (span_is(name, "id"))
			out->id = value;
		else if (span_is(name, "version"))
			out->version = value;
		else if (span_is(name, "xmlns"))
			out->xmlns = value;
	}
	return true;
}
