/* envelope.c - from the tags that the gate reads to the fields of struct route.
 * Threads: any; all state is in the caller's structs.
 * Owns: nothing, allocates nothing.
 *
 * It fills what it can be sure of and marks the rest ROUTE_ODD: values that hold references, payloads under a prefix, prefixes that
 * the route itself declares. route_mxml() reads those again.
 */
#include "xmpp/gate.h"

static bool name_is(const struct gate *g, const struct gate_name *n, const char *literal, uint32_t len)
{
	return n->len == len && memcmp(g->buf + n->off, literal, len) == 0;
}
#define NAME_IS(g, n, literal) name_is(g, n, literal, sizeof(literal) - 1)

static bool local_is(struct span local, const char *literal)
{
	return span_is(local, literal);
}

/* A value that has to be decoded: as it stands where it holds nothing to decode. */
static void take(struct route *r, struct slice *field, const struct gate_attr *a)
{
	*field = a->value;
	if (unlikely(a->odd))
		r->flags |= ROUTE_ODD;
}

unsigned envelope_error(struct span value)
{
	unsigned v = 0;

	for (uint32_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9' || v > UINT16_MAX / 10 - 1)
			return 500;
		v = v * 10 + (unsigned)(value.p[i] - '0');
	}
	return v ? v : 500;
}

enum route_type envelope_type(struct span value)
{
	if (local_is(value, "broadcast"))
		return RT_BROADCAST;
	return local_is(value, "log") ? RT_LOG : RT_OTHER;
}

enum element envelope_kind(enum gate_ns ns, struct span local, bool accept)
{
	static const struct {
		const char *name;
		enum element element;
	} ours[] = { { "route", EL_ROUTE }, { "presence", EL_ADVERT }, { "bind", EL_BIND }, { "unbind", EL_UNBIND }, { "throttle", EL_THROTTLE } };

	if (accept) {
		/* Some libraries say jabber:client on a component's link. */
		if (ns != GN_ACCEPT && ns != GN_CLIENT)
			return EL_OTHER;
		bool stanza = local_is(local, "message") || local_is(local, "presence") || local_is(local, "iq");
		return stanza ? EL_STANZA : EL_OTHER;
	}
	if (ns != GN_COMPONENT)
		return EL_OTHER;
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (local_is(local, ours[i].name))
			return ours[i].element;
	return EL_OTHER;
}

enum payload envelope_payload(enum gate_ns ns, struct span local)
{
	if (ns == GN_CLIENT) {
		if (local_is(local, "message"))
			return PL_MESSAGE;
		if (local_is(local, "presence"))
			return PL_PRESENCE;
		return local_is(local, "iq") ? PL_IQ : PL_CLIENT;
	}
	if (ns == GN_SESSION) {
		if (local_is(local, "session"))
			return PL_SESSION;
		if (local_is(local, "sessions"))
			return PL_SESSIONS;
	}
	return PL_OTHER;
}

static enum gate_ns tag_ns(const struct gate *g)
{
	if (g->tag.ns == BOUND_NOT && !g->tag.name.prefix_len)
		return g->accept ? GN_ACCEPT : GN_NONE;
	return gate_known(g, g->tag.ns);
}

static void top_attr(struct gate *g, struct route *r, const struct gate_attr *a)
{
	const struct gate_name *n = &a->name;

	if (NAME_IS(g, n, "to")) {
		take(r, &r->to, a);
	} else if (NAME_IS(g, n, "from")) {
		take(r, &r->from, a);
	} else if (NAME_IS(g, n, "type")) {
		r->type = (uint8_t)envelope_type(slice_of(g->buf, a->value));
		if (r->element == EL_ADVERT)
			take(r, &r->stanza_type, a);
		else if (a->odd)
			r->flags |= ROUTE_ODD;
	} else if (NAME_IS(g, n, "name")) {
		take(r, &r->name, a);
	} else if (NAME_IS(g, n, "error")) {
		r->error = (uint16_t)envelope_error(slice_of(g->buf, a->value));
		if (a->odd)
			r->flags |= ROUTE_ODD;
	} else if (NAME_IS(g, n, "multi")) {
		if (span_is(slice_of(g->buf, a->value), "to"))
			r->flags |= ROUTE_MULTI;
		if (a->odd)
			r->flags |= ROUTE_ODD;
	}
}

static void session_attr(struct gate *g, struct route *r, const struct gate_attr *a)
{
	struct span local = gate_local(g, &a->name);

	/* A component has no sessions to speak for. */
	if (r->element == EL_STANZA)
		return;
	if (local_is(local, "c2s")) {
		take(r, &r->c2s, a);
		r->flags |= ROUTE_HAS_C2S;
	} else if (local_is(local, "sm")) {
		take(r, &r->sm, a);
		r->flags |= ROUTE_HAS_SM;
	} else if (local_is(local, "failed")) {
		r->flags |= ROUTE_FAILED;
	}
}

/* xmlns and xmlns:prefix. True: it is not passed on. */
static bool declaration(struct gate *g, struct route *r, const struct gate_attr *a)
{
	if (!a->name.prefix_len)
		return true;
	struct slice prefix = { a->name.off + 6, a->name.len - 6u };
	struct span uri = slice_of(g->buf, a->value);
	if (unlikely(a->odd)) {
		r->flags |= ROUTE_ODD;
		return false;
	}
	if (gate_ns_of(uri) != GN_SESSION)
		return false;
	/* One prefix is all that fits: the other must stay declared. */
	if (r->session_prefix.off)
		r->flags |= ROUTE_ODD;
	r->session_prefix = prefix;
	return true;
}

/* An unqualified attribute of the payload. True: it is not passed on. */
static bool payload_attr(struct gate *g, struct route *r, const struct gate_attr *a)
{
	const struct gate_name *n = &a->name;

	switch (n->len) {
	case 2:
		if (NAME_IS(g, n, "to")) {
			take(r, &r->stanza_to, a);
			r->flags |= ROUTE_TO;
			return true;
		}
		if (NAME_IS(g, n, "id")) {
			r->id = a->value;
			/* Raw, and yet fit for either quote. */
			if (memchr(g->buf + a->value.off, a->quote == '"' ? '\'' : '"', a->value.len))
				r->flags |= ROUTE_ODD;
		}
		break;
	case 4:
		if (NAME_IS(g, n, "from")) {
			take(r, &r->stanza_from, a);
			return true;
		}
		if (NAME_IS(g, n, "type"))
			take(r, &r->stanza_type, a);
		break;
	case 6:
		if (NAME_IS(g, n, "action"))
			take(r, &r->action, a);
		else if (NAME_IS(g, n, "target"))
			take(r, &r->target, a);
		break;
	}
	return false;
}

/* White space of which a parser makes blanks. */
static bool has_other_space(struct span value)
{
	return memchr(value.p, '\t', value.n) || memchr(value.p, '\n', value.n) || memchr(value.p, '\r', value.n);
}

static void payload_attrs(struct gate *g, struct route *r)
{
	for (uint32_t i = 0; i < g->tag.nattrs; i++) {
		const struct gate_attr *a = &g->attrs[i];
		bool ours;

		/* What goes on goes on as it was read. */
		if (unlikely(a->odd) && has_other_space(slice_of(g->buf, a->value)))
			r->flags |= ROUTE_ODD;
		if (a->declares) {
			ours = declaration(g, r, a);
		} else if (a->name.prefix_len) {
			ours = gate_known(g, a->ns) == GN_SESSION;
			if (ours)
				session_attr(g, r, a);
		} else {
			ours = payload_attr(g, r, a);
		}
		if (ours)
			continue;
		if (r->nattrs == ROUTE_ATTRS) {
			r->flags |= ROUTE_ODD;
			continue;
		}
		struct route_attr *out = &r->attrs[r->nattrs++];
		out->name = (struct slice){ a->name.off, a->name.len };
		out->value = a->value;
		out->quote = a->quote;
	}
}

static enum gate_verdict payload(struct gate *g, struct route *r, enum payload kind)
{
	uint32_t end = (uint32_t)(g->p - g->buf);

	r->payload = (uint8_t)kind;
	r->tag = (struct slice){ g->tag.name.off, g->tag.name.len };
	r->start = (struct slice){ g->tag.lt, end - g->tag.lt };
	r->content = (struct slice){ end, 0 };
	if (g->tag.empty)
		r->flags |= ROUTE_ENDS_EMPTY;
	else
		g->payload = g->depth;
	g->watch = g->tag.empty ? 0 : g->depth + 1;
	if (g->tag.name.prefix_len && tag_ns(g) != GN_SESSION) {
		r->flags |= ROUTE_ODD;
		/* Passed on, its content comes to stand under jabber:client: another default namespace would be lost. */
		const struct gate_binding *b = g->dflt >= 0 ? &g->bindings[g->dflt] : NULL;
		if (b && b->depth == g->depth && b->known != GN_CLIENT && kind <= PL_CLIENT)
			return gate_limit(g, "a stanza under a prefix with another default namespace");
	}
	payload_attrs(g, r);
	return GATE_OK;
}

static void first_child(struct gate *g, struct route *r)
{
	const struct gate_name *n = &g->tag.name;
	struct span local = gate_local(g, n);

	g->watch = 0;
	r->child = (struct slice){ (uint32_t)(local.p - g->buf), local.n };
	if (g->tag.ns < 0) {
		/* xml:..., or no namespace anywhere around */
		if (n->prefix_len)
			r->flags |= ROUTE_ODD;
		return;
	}
	const struct gate_binding *b = &g->bindings[g->tag.ns];
	if (!n->prefix_len && b->depth < g->depth)
		return;
	r->child_ns = (struct slice){ b->value, b->uri_len };
	if (b->odd)
		r->flags |= ROUTE_ODD;
}

static void bind_child(struct gate *g, struct route *r)
{
	struct span local = gate_local(g, &g->tag.name);

	if (tag_ns(g) != GN_COMPONENT)
		return;
	if (local_is(local, "default"))
		r->flags |= ROUTE_DEFAULT;
	else if (local_is(local, "log"))
		r->flags |= ROUTE_LOG;
}

static enum gate_verdict top(struct gate *g, struct route *r)
{
	r->element = (uint8_t)envelope_kind(tag_ns(g), gate_local(g, &g->tag.name), g->accept);
	g->watch = 0;
	if (r->element == EL_OTHER)
		return GATE_OK;
	bool prefixes = g->nbindings > (g->dflt >= 0 ? 1u : 0u);
	for (uint32_t i = 0; i < g->tag.nattrs; i++)
		if (!g->attrs[i].name.prefix_len)
			top_attr(g, r, &g->attrs[i]);
	if (r->element == EL_STANZA) {
		/* Bare stanzas have none of a route's own. */
		r->type = RT_UNICAST;
		r->error = 0;
		r->name = (struct slice){ 0 };
		r->flags &= (uint16_t)~ROUTE_MULTI;
		if (g->stream_prefix)
			return gate_limit(g, "a prefix that only the stream header declares");
		struct span local = gate_local(g, &g->tag.name);
		return payload(g, r, envelope_payload(GN_CLIENT, local));
	}
	if (prefixes)
		r->flags |= ROUTE_ODD;
	if (r->element == EL_ROUTE || r->element == EL_BIND)
		g->watch = 2;
	return GATE_OK;
}

enum gate_verdict envelope_element(struct gate *g)
{
	struct route *r = g->route;

	if (g->depth == 1)
		return top(g, r);
	if (r->element == EL_BIND) {
		bind_child(g, r);
		return GATE_OK;
	}
	if (r->element == EL_ROUTE && g->depth == 2)
		return payload(g, r, envelope_payload(tag_ns(g), gate_local(g, &g->tag.name)));
	first_child(g, r);
	return GATE_OK;
}

void envelope_payload_end(struct gate *g, uint32_t lt)
{
	g->route->content.len = lt - g->route->content.off;
	g->payload = 0;
	g->watch = 0;
}
