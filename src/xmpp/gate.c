/* gate.c - tags, text and their nesting: one pass over the bytes of one element.
 * Threads: any; all state is in the caller's struct gate.
 * Owns: nothing, allocates nothing.
 */
#include "xmpp/gate.h"

#include "xmpp/scan.h"
#include "xmpp/shape.h"

#define NOT_WELL_FORMED "not-well-formed"
#define RESTRICTED_XML "restricted-xml"

enum gate_verdict gate_bad(struct gate *g, const char *condition, const char *error)
{
	g->condition = condition;
	g->error = error;
	return GATE_BAD;
}

enum gate_verdict gate_limit(struct gate *g, const char *error)
{
	g->condition = "policy-violation";
	g->error = error;
	return GATE_LIMIT;
}

void gate_init(struct gate *g, const char *buf, size_t len, const struct route_limits *limits)
{
	memset(g, 0, offsetof(struct gate, attrs));
	g->buf = g->p = buf;
	g->end = buf + len;
	g->limits = limits;
	g->dflt = BOUND_NOT;
}

/* The verdict on a token of n bytes, as scan_utf8() and its kin return it. */
static enum gate_verdict token(struct gate *g, int n, const char *error)
{
	if (n > 0) {
		g->p += n;
		return GATE_OK;
	}
	return n < 0 ? GATE_MORE : gate_bad(g, NOT_WELL_FORMED, error);
}

/* Characters beyond ASCII, one or more. */
static enum gate_verdict beyond_ascii(struct gate *g)
{
	const char *p = scan_beyond_ascii(g->p, g->end);
	uint32_t cp;

	if (likely(p > g->p)) {
		g->p = p;
		return GATE_OK;
	}
	return token(g, scan_utf8(p, g->end, &cp), "ill-formed UTF-8");
}

static enum gate_verdict name_char(struct gate *g, bool first)
{
	if (g->p == g->end)
		return GATE_MORE;
	if (scan_is(*g->p, first ? SC_START : SC_NAME)) {
		g->p++;
		return GATE_OK;
	}
	if ((unsigned char)*g->p < 0x80)
		return gate_bad(g, NOT_WELL_FORMED, "no name where one has to be");
	return token(g, scan_name_char(g->p, g->end, first), "a character that a name can't hold");
}

/* QName: at most one colon, with a name on either side. */
static enum gate_verdict COLD qname_any(struct gate *g, struct gate_name *out)
{
	const char *s = g->p;
	uint32_t colon = 0;
	enum gate_verdict v = name_char(g, true);

	while (v == GATE_OK) {
		g->p = scan_run(g->p, g->end, SC_NAME);
		if (g->p == g->end)
			return GATE_MORE;
		if (*g->p == ':') {
			if (colon)
				return gate_bad(g, NOT_WELL_FORMED, "two colons in a name");
			colon = (uint32_t)(g->p - s);
			g->p++;
			v = name_char(g, true);
		} else if ((unsigned char)*g->p >= 0x80) {
			v = name_char(g, false);
		} else {
			break;
		}
	}
	if (v != GATE_OK)
		return v;
	if (g->p - s > GATE_NAME_MAX)
		return gate_limit(g, "a name is too long");
	*out = (struct gate_name){ (uint32_t)(s - g->buf), (uint16_t)(g->p - s), (uint16_t)colon };
	return GATE_OK;
}

/* The same, quick for what nearly every name is: ASCII, and whole. */
static inline enum gate_verdict qname(struct gate *g, struct gate_name *out)
{
	const char *s = g->p, *end = g->end, *p = s;
	size_t colon = 0;

	if (unlikely(s == end || !scan_is(*s, SC_START)))
		return qname_any(g, out);
	p = scan_run(p + 1, end, SC_NAME);
	if (end - p >= 2 && *p == ':' && scan_is(p[1], SC_START)) {
		colon = (size_t)(p - s);
		p = scan_run(p + 2, end, SC_NAME);
	}
	if (unlikely(p == end || *p == ':' || (unsigned char)*p >= 0x80 || p - s > GATE_NAME_MAX))
		return qname_any(g, out);
	*out = (struct gate_name){ (uint32_t)(s - g->buf), (uint16_t)(p - s), (uint16_t)colon };
	g->p = p;
	return GATE_OK;
}

/* From the first byte that is not plain to behind the closing quote. */
static enum gate_verdict value_any(struct gate *g, struct gate_attr *a)
{
	enum gate_verdict v = GATE_OK;
	uint32_t cp;

	while (v == GATE_OK) {
		g->p = scan_plain(g->p, g->end);
		if (g->p == g->end)
			return GATE_MORE;
		char c = *g->p;
		if (c == a->quote)
			break;
		if (c == '&') {
			a->odd = true;
			v = token(g, scan_reference(g->p, g->end, &cp), "an unknown entity, or the number of no character");
		} else if ((unsigned char)c >= 0x80) {
			v = beyond_ascii(g);
		} else if (c == '\'' || c == '"' || c == '>' || c == ']') {
			g->p++;
		} else if (scan_is(c, SC_SPACE)) {
			a->odd = true;
			g->p++;
		} else {
			return gate_bad(g, NOT_WELL_FORMED, c == '<' ? "a < in an attribute" : "a control character");
		}
	}
	return v;
}

/* From behind the opening quote to behind the closing one. */
static inline enum gate_verdict value(struct gate *g, struct gate_attr *a)
{
	const char *s = g->p, *p = scan_plain(s, g->end);

	a->odd = false;
	if (unlikely(p == g->end || *p != a->quote)) {
		g->p = p;
		enum gate_verdict v = value_any(g, a);
		if (v != GATE_OK)
			return v;
		p = g->p;
	}
	a->value = (struct slice){ (uint32_t)(s - g->buf), (uint32_t)(p - s) };
	g->p = p + 1;
	return GATE_OK;
}

/* From the name to behind the opening quote. */
static enum gate_verdict equals_any(struct gate *g, struct gate_attr *a)
{
	g->p = scan_space(g->p, g->end);
	if (g->p == g->end)
		return GATE_MORE;
	if (*g->p != '=')
		return gate_bad(g, NOT_WELL_FORMED, "an attribute without a value");
	g->p = scan_space(g->p + 1, g->end);
	if (g->p == g->end)
		return GATE_MORE;
	a->quote = *g->p;
	if (a->quote != '\'' && a->quote != '"')
		return gate_bad(g, NOT_WELL_FORMED, "an attribute's value without quotes");
	g->p++;
	return GATE_OK;
}

static inline enum gate_verdict equals(struct gate *g, struct gate_attr *a)
{
	const char *p = g->p;

	if (unlikely(g->end - p < 2 || p[0] != '=' || (p[1] != '\'' && p[1] != '"')))
		return equals_any(g, a);
	a->quote = p[1];
	g->p = p + 2;
	return GATE_OK;
}

/* One bit for most names: where it is not taken yet, the name is new. */
static inline uint64_t name_bit(const struct gate *g, const struct gate_name *n)
{
	const char *s = g->buf + n->off;
	return 1ull << ((n->len * 5u + (unsigned char)s[0] * 3u + (unsigned char)s[n->len - 1]) & 63);
}

static bool name_twice(const struct gate *g, uint32_t nattrs)
{
	const struct gate_name *last = &g->attrs[nattrs].name;

	for (uint32_t i = 0; i < nattrs; i++) {
		const struct gate_name *n = &g->attrs[i].name;
		if (n->len == last->len && memcmp(g->buf + n->off, g->buf + last->off, n->len) == 0)
			return true;
	}
	return false;
}

static inline bool is_xmlns(const struct gate *g, const struct gate_name *n)
{
	uint32_t len = n->prefix_len ? n->prefix_len : n->len;
	return len == 5 && memcmp(g->buf + n->off, "xmlns", 5) == 0;
}

static inline enum gate_verdict attribute(struct gate *g, uint64_t *names)
{
	uint32_t i = g->tag.nattrs;
	struct gate_attr *a = &g->attrs[i];

	if (unlikely(i >= g->limits->attributes))
		return gate_limit(g, "an element has too many attributes");
	enum gate_verdict v = qname(g, &a->name);
	if (v != GATE_OK)
		return v;
	v = equals(g, a);
	if (v == GATE_OK)
		v = value(g, a);
	if (v != GATE_OK)
		return v;
	uint64_t bit = name_bit(g, &a->name);
	if (unlikely(*names & bit) && name_twice(g, i))
		return gate_bad(g, NOT_WELL_FORMED, "an attribute stands twice");
	*names |= bit;
	g->tag.nattrs = i + 1;
	g->attributes++;
	a->ns = BOUND_NOT;
	a->declares = is_xmlns(g, &a->name);
	if (a->declares)
		return gate_declare(g, a);
	g->tag.prefixed |= a->name.prefix_len != 0;
	return GATE_OK;
}

/* All attributes, and the end of the tag. */
static inline enum gate_verdict attributes(struct gate *g)
{
	uint64_t names = 0;

	for (;;) {
		if (g->p == g->end)
			return GATE_MORE;
		const char *before = g->p;
		if (scan_is(*g->p, SC_SPACE))
			g->p = scan_space(g->p + 1, g->end);
		if (g->p == g->end)
			return GATE_MORE;
		if (*g->p == '>') {
			g->tag.empty = false;
			g->p++;
			return GATE_OK;
		}
		if (*g->p == '/') {
			if (g->p + 1 == g->end)
				return GATE_MORE;
			if (g->p[1] != '>')
				return gate_bad(g, NOT_WELL_FORMED, "a tag ends neither with > nor with />");
			g->tag.empty = true;
			g->p += 2;
			return GATE_OK;
		}
		if (g->p == before)
			return gate_bad(g, NOT_WELL_FORMED, "no white space before an attribute");
		enum gate_verdict v = attribute(g, &names);
		if (v != GATE_OK)
			return v;
	}
}

enum gate_verdict gate_start_tag(struct gate *g)
{
	if (unlikely(g->depth >= g->limits->depth))
		return gate_limit(g, "elements are nested too deeply");
	if (unlikely(g->elements >= g->limits->elements))
		return gate_limit(g, "too many elements");
	struct gate_element *e = &g->stack[g->depth];
	e->bindings = (uint16_t)g->nbindings;
	e->dflt = (int16_t)g->dflt;
	e->pool = (uint16_t)g->pool_used;
	g->tag.lt = (uint32_t)(g->p - g->buf);
	g->tag.nattrs = 0;
	g->tag.prefixed = false;
	g->depth++;
	g->elements++;
	g->p++;
	enum gate_verdict v = qname(g, &g->tag.name);
	if (v != GATE_OK)
		return v;
	e->name = (struct slice){ g->tag.name.off, g->tag.name.len };
	v = attributes(g);
	if (v != GATE_OK)
		return v;
	if (unlikely(g->tag.name.prefix_len) || g->tag.prefixed)
		return gate_resolve(g);
	g->tag.ns = g->dflt;
	return GATE_OK;
}

static inline void close_element(struct gate *g)
{
	struct gate_element *e = &g->stack[--g->depth];

	g->nbindings = e->bindings;
	g->dflt = e->dflt;
	g->pool_used = e->pool;
}

static inline enum gate_verdict start_tag(struct gate *g)
{
	enum gate_verdict v = gate_start_tag(g);

	if (v == GATE_OK && g->depth <= g->watch) {
		v = envelope_element(g);
		if (unlikely(g->shapes) && v == GATE_OK && g->depth == 2 && g->route->element == EL_ROUTE)
			shape_learn(g);
	}
	if (v == GATE_OK && g->tag.empty)
		close_element(g);
	return v;
}

static inline enum gate_verdict end_tag(struct gate *g)
{
	const struct gate_element *e = &g->stack[g->depth - 1];
	uint32_t lt = (uint32_t)(g->p - g->buf);
	size_t have = (size_t)(g->end - g->p) - 2, n = e->name.len;

	g->p += 2;
	if (memcmp(g->p, g->buf + e->name.off, have < n ? have : n) != 0)
		return gate_bad(g, NOT_WELL_FORMED, "an end tag that closes another element");
	if (have <= n)
		return GATE_MORE;
	g->p += n;
	if (unlikely(*g->p != '>')) {
		const char *s = g->p;
		g->p = scan_space(s, g->end);
		if (g->p == g->end)
			return GATE_MORE;
		if (*g->p != '>')
			return gate_bad(g, NOT_WELL_FORMED,
				g->p == s ? "an end tag that closes another element" : "more than a name in an end tag");
	}
	g->p++;
	if (g->depth == g->payload)
		envelope_payload_end(g, lt);
	close_element(g);
	return GATE_OK;
}

static enum gate_verdict cdata(struct gate *g)
{
	static const char open[] = "<![CDATA[";
	size_t n = sizeof(open) - 1, have = (size_t)(g->end - g->p);
	enum gate_verdict v = GATE_OK;

	if (memcmp(g->p, open, have < n ? have : n) != 0)
		return gate_bad(g, RESTRICTED_XML, "a comment or a document type");
	if (have < n)
		return GATE_MORE;
	g->p += n;
	while (v == GATE_OK) {
		g->p = scan_text(g->p, g->end);
		if (g->p == g->end)
			return GATE_MORE;
		if (*g->p == ']') {
			if (g->end - g->p < 3)
				return GATE_MORE;
			if (g->p[1] == ']' && g->p[2] == '>')
				break;
			g->p++;
		} else if ((unsigned char)*g->p >= 0x80) {
			v = beyond_ascii(g);
		} else if (*g->p == '<' || *g->p == '&' || scan_is(*g->p, SC_SPACE)) {
			g->p++;
		} else {
			return gate_bad(g, NOT_WELL_FORMED, "a control character");
		}
	}
	g->p += v == GATE_OK ? 3 : 0;
	return v;
}

/* What scan_text() stopped at, other than a tag. */
static enum gate_verdict text_stop(struct gate *g)
{
	uint32_t cp;

	switch (*g->p) {
	case '&':
		return token(g, scan_reference(g->p, g->end, &cp), "an unknown entity, or the number of no character");
	case ']':
		if (g->end - g->p < 3)
			return GATE_MORE;
		if (g->p[1] == ']' && g->p[2] == '>')
			return gate_bad(g, NOT_WELL_FORMED, "]]> outside of a CDATA section");
		g->p++;
		return GATE_OK;
	case '\t':
	case '\n':
	case '\r':
		g->p++;
		return GATE_OK;
	}
	if ((unsigned char)*g->p < 0x80)
		return gate_bad(g, NOT_WELL_FORMED, "a control character");
	return beyond_ascii(g);
}

static inline enum gate_verdict content(struct gate *g)
{
	enum gate_verdict v = GATE_OK;

	while (g->depth > 0 && v == GATE_OK) {
		g->p = scan_text(g->p, g->end);
		if (g->p == g->end)
			return GATE_MORE;
		if (*g->p != '<') {
			v = text_stop(g);
			continue;
		}
		if (g->p + 1 == g->end)
			return GATE_MORE;
		switch (g->p[1]) {
		case '/':
			v = end_tag(g);
			break;
		case '!':
			v = cdata(g);
			break;
		case '?':
			return gate_bad(g, RESTRICTED_XML, "a processing instruction");
		default:
			v = start_tag(g);
		}
	}
	return v;
}

enum gate_verdict gate_element(struct gate *g)
{
	const char *s = g->p;

	if (g->p == g->end)
		return GATE_MORE;
	if (*g->p != '<')
		return gate_bad(g, NOT_WELL_FORMED, "no element where one has to be");
	if (g->p + 1 == g->end)
		return GATE_MORE;
	if (g->p[1] == '?' || g->p[1] == '!')
		return gate_bad(g, RESTRICTED_XML, "a comment, a processing instruction or a document type");
	enum gate_verdict v = GATE_OK;
	if (!g->shapes || !shape_match(g))
		v = start_tag(g);
	else if (g->tag.empty)
		close_element(g);
	if (v == GATE_OK)
		v = content(g);
	scan_work += (uint64_t)(g->p - s);
	return v;
}
