/* gate_ns.c - the gate's namespaces: declarations, prefixes, attributes that mean the same.
 * Threads: any; all state is in the caller's struct gate.
 * Owns: nothing, allocates nothing.
 * Source: Namespaces in XML 1.0 (no undeclaring of prefixes).
 */
#include "xmpp/gate.h"

#include "xmpp/scan.h"

#define NOT_WELL_FORMED "not-well-formed"
#define XML_URI "http://www.w3.org/XML/1998/namespace"
#define XMLNS_URI "http://www.w3.org/2000/xmlns/"

enum gate_ns gate_ns_of(struct span uri)
{
	switch (uri.n) {
	case 0:
		return GN_NONE;
	case sizeof(NS_COMPONENT) - 1:
		return span_is(uri, NS_COMPONENT) ? GN_COMPONENT : GN_OTHER;
	case sizeof(NS_SESSION) - 1:
		return span_is(uri, NS_SESSION) ? GN_SESSION : GN_OTHER;
	case sizeof(NS_CLIENT) - 1:
		return span_is(uri, NS_CLIENT) ? GN_CLIENT : GN_OTHER;
	case sizeof(NS_ACCEPT) - 1:
		return span_is(uri, NS_ACCEPT) ? GN_ACCEPT : GN_OTHER;
	case sizeof(NS_STREAMS) - 1:
		return span_is(uri, NS_STREAMS) ? GN_STREAMS : GN_OTHER;
	}
	return GN_OTHER;
}

/* COMPAT jabberd2 writes namespaces unescaped, and its parser stops at the '|' that it joins names with. */
static bool peers_carry(struct span uri)
{
	const char *p = scan_plain(uri.p, uri.p + uri.n), *end = uri.p + uri.n;

	for (; p < end; p = scan_plain(p + 1, end))
		if (memchr("<>&'\"", *p, 5))
			return false;
	return !memchr(uri.p, '|', uri.n);
}

/* The rules for what may be bound to what. */
static enum gate_verdict check_binding(struct gate *g, struct span prefix, struct span uri)
{
	bool is_xml = uri.n == sizeof(XML_URI) - 1 && span_is(uri, XML_URI);

	if (prefix.n && uri.n == 0)
		return gate_bad(g, NOT_WELL_FORMED, "a prefix is undeclared");
	if (span_eq(prefix, SPAN("xmlns")))
		return gate_bad(g, NOT_WELL_FORMED, "the prefix xmlns is declared");
	if (span_eq(prefix, SPAN("xml")) != is_xml)
		return gate_bad(g, NOT_WELL_FORMED, "the prefix xml and its namespace belong to each other");
	if (uri.n == sizeof(XMLNS_URI) - 1 && span_is(uri, XMLNS_URI))
		return gate_bad(g, NOT_WELL_FORMED, "the namespace of xmlns is declared");
	if (uri.n && !peers_carry(uri))
		return gate_limit(g, "a namespace holds a character that peers can't carry");
	return GATE_OK;
}

/* Fast for the declarations that every route holds: no rule of check_binding() can apply to them. */
static inline bool plain_binding(enum gate_ns known, struct span prefix)
{
	return known > GN_OTHER && (prefix.n < 3 || memcmp(prefix.p, "xml", 3) != 0);
}

enum gate_verdict gate_declare(struct gate *g, const struct gate_attr *a)
{
	struct span uri = slice_of(g->buf, a->value);
	struct slice prefix = { 0 };

	if (a->name.prefix_len)
		prefix = (struct slice){ a->name.off + 6, a->name.len - 6u };
	if (g->payload && g->depth > g->payload)
		g->route->flags |= ROUTE_DECLARES;
	if (unlikely(g->nbindings >= GATE_BINDINGS))
		return gate_limit(g, "too many namespaces are declared");
	if (unlikely(a->odd)) {
		if (uri.n > GATE_POOL - g->pool_used)
			return gate_limit(g, "namespaces are too long");
		char *out = g->pool + g->pool_used;
		uri = span_of(out, scan_decode(out, uri));
		g->pool_used += uri.n;
	}
	if (unlikely(uri.n > GATE_URI_MAX))
		return gate_limit(g, "a namespace is too long");
	enum gate_ns known = gate_ns_of(uri);
	if (!plain_binding(known, slice_of(g->buf, prefix))) {
		enum gate_verdict v = check_binding(g, slice_of(g->buf, prefix), uri);
		if (v != GATE_OK)
			return v;
	}
	g->bindings[g->nbindings] = (struct gate_binding){
		.uri = uri.p,
		.prefix = prefix,
		.value = a->value.off,
		.uri_len = (uint16_t)uri.n,
		.depth = (uint16_t)g->depth,
		.known = (uint8_t)known,
		.odd = a->odd,
	};
	if (!a->name.prefix_len)
		g->dflt = (int32_t)g->nbindings;
	g->nbindings++;
	return GATE_OK;
}

static bool of_stream(const struct gate *g, struct span prefix)
{
	for (const char *s = g->prefixes; s && *s; s += strlen(s) + 1)
		if (span_is(prefix, s))
			return true;
	return false;
}

static enum gate_verdict lookup(struct gate *g, const struct gate_name *name, int32_t *out)
{
	struct span prefix = span_of(g->buf + name->off, name->prefix_len);

	for (uint32_t i = g->nbindings; i-- > 0;) {
		const struct gate_binding *b = &g->bindings[i];
		if (b->prefix.len != prefix.n || memcmp(g->buf + b->prefix.off, prefix.p, prefix.n) != 0)
			continue;
		*out = (int32_t)i;
		/* The declaration stays behind when the content goes to a client, unless the content needs it. */
		if (b->known == GN_SESSION && g->payload && g->depth > g->payload && b->depth <= g->payload)
			g->route->flags |= ROUTE_SESSION_PREFIX;
		return GATE_OK;
	}
	if (span_eq(prefix, SPAN("xml"))) {
		*out = BOUND_XML;
		return GATE_OK;
	}
	if (of_stream(g, prefix)) {
		*out = BOUND_STREAM;
		g->stream_prefix = true;
		/* Its declaration is not among the bytes that would be passed on. */
		if (g->route && g->route->element != EL_OTHER && g->depth > 1)
			return gate_limit(g, "a prefix that only the stream header declares");
		return GATE_OK;
	}
	*out = BOUND_NOT;
	if (g->tolerant)
		return GATE_OK;
	return gate_bad(g, NOT_WELL_FORMED, "a prefix that is not declared");
}

static struct span uri_of(const struct gate *g, int32_t ns)
{
	if (ns == BOUND_XML)
		return SPAN(XML_URI);
	return ns >= 0 ? span_of(g->bindings[ns].uri, g->bindings[ns].uri_len) : (struct span){ 0 };
}

/* Namespaces in XML 6.3: the same local name in the same namespace, under two prefixes. */
static bool means_same(const struct gate *g, const struct gate_attr *a, const struct gate_attr *b)
{
	if (!a->name.prefix_len || a->declares || !span_eq(gate_local(g, &a->name), gate_local(g, &b->name)))
		return false;
	return span_eq(uri_of(g, a->ns), uri_of(g, b->ns));
}

static enum gate_verdict resolve_attr(struct gate *g, uint32_t i)
{
	struct gate_attr *a = &g->attrs[i];
	int32_t ns;
	enum gate_verdict v = lookup(g, &a->name, &ns);

	if (v != GATE_OK)
		return v;
	a->ns = (int16_t)ns;
	/* What a tolerant caller does not know the namespace of can't be compared. */
	for (uint32_t j = 0; j < i && ns != BOUND_NOT && ns != BOUND_STREAM; j++)
		if (g->attrs[j].ns != BOUND_NOT && g->attrs[j].ns != BOUND_STREAM && means_same(g, &g->attrs[j], a))
			return gate_bad(g, NOT_WELL_FORMED, "an attribute stands twice, under two prefixes");
	return GATE_OK;
}

enum gate_verdict gate_resolve(struct gate *g)
{
	enum gate_verdict v = GATE_OK;

	g->tag.ns = g->dflt;
	if (g->tag.name.prefix_len)
		v = lookup(g, &g->tag.name, &g->tag.ns);
	for (uint32_t i = 0; i < g->tag.nattrs && v == GATE_OK && g->tag.prefixed; i++)
		if (g->attrs[i].name.prefix_len && !g->attrs[i].declares)
			v = resolve_attr(g, i);
	return v;
}
