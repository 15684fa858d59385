/* route_mxml.c - envelopes that the scanner does not fully understand, read by mini-XML.
 * Threads: any.
 * Owns: nothing that outlives a call.
 *
 * The gate has found where the tags are. The tags that an envelope needs (the top element's, the payload's, its first child's) are put
 * together to a small document; what it says fills the same struct route, with values in the extra bytes behind the frame.
 */
#include "config.h"

#include "shardsm/route.h"

#include "xmpp/gate.h"
#include "xmpp/mxml_safe.h"

struct reader {
	struct route *r;
	const char *frame;
	struct buf extra;
};

/* From '<' to behind the '>' of a start tag. */
static const char *tag_end(const char *p)
{
	for (; *p != '>'; p++)
		if (*p == '\'' || *p == '"')
			p = strchr(p + 1, *p);
	return p + 1;
}

/* The first start tag of the content. */
static struct span child_tag(struct span content)
{
	const char *p = content.p, *end = content.p + content.n;

	while (p < end && (p = memchr(p, '<', (size_t)(end - p))) && p[1] == '!')
		p = (const char *)memmem(p, (size_t)(end - p), "]]>", 3) + 3;
	if (!p || p >= end || p[1] == '/')
		return (struct span){ 0 };
	return span_of(p, (size_t)(tag_end(p) - p));
}

/* <x a='b'> or <x a='b'/>, made a start tag (empty: an empty one). */
static void put_tag(struct buf *b, struct span tag, bool empty)
{
	uint32_t n = tag.n - (tag.p[tag.n - 2] == '/' ? 2 : 1);

	buf_put(b, span_of(tag.p, n));
	buf_str(b, empty ? "/>" : ">");
}

static void put_end(struct buf *b, struct span tag)
{
	size_t n = 1;

	while (n < tag.n && !memchr(" \t\r\n/>", tag.p[n], 6))
		n++;
	buf_str(b, "</");
	buf_put(b, span_of(tag.p + 1, n - 1));
	buf_str(b, ">");
}

static struct xml_doc *parse_tags(const struct route *r, const char *frame)
{
	struct span top = span_of(frame, (size_t)(tag_end(frame) - frame));
	struct span payload = slice_of(frame, r->start), child = child_tag(slice_of(frame, r->content));
	bool stanza = r->element == EL_STANZA;
	struct buf b;

	buf_init(&b);
	if (!stanza)
		put_tag(&b, top, payload.n == 0);
	if (payload.n) {
		put_tag(&b, payload, child.n == 0);
		if (child.n) {
			put_tag(&b, child, true);
			put_end(&b, payload);
		}
		if (!stanza)
			put_end(&b, top);
	}
	struct xml_doc *doc = b.failed ? NULL : xml_parse(buf_span(&b), stanza ? NS_ACCEPT : NULL);
	buf_free(&b);
	return doc;
}

static struct slice put(struct reader *rd, struct span value)
{
	struct slice s = { rd->r->len + rd->extra.n, value.n };

	buf_put(&rd->extra, value);
	return s;
}

/* An unqualified attribute's value, decoded. */
static struct slice put_attr(struct reader *rd, const struct xml *e, const char *name)
{
	struct span value = xml_attr(e, name);
	return value.p ? put(rd, value) : (struct slice){ 0 };
}

static void read_top(struct reader *rd, const struct xml *e)
{
	struct route *r = rd->r;

	r->to = put_attr(rd, e, "to");
	r->from = put_attr(rd, e, "from");
	if (r->element == EL_STANZA)
		return;
	r->name = put_attr(rd, e, "name");
	struct span type = xml_attr(e, "type"), error = xml_attr(e, "error");
	if (type.p)
		r->type = (uint8_t)envelope_type(type);
	if (r->element == EL_ADVERT)
		r->stanza_type = put_attr(rd, e, "type");
	if (error.p)
		r->error = (uint16_t)envelope_error(error);
	if (span_is(xml_attr(e, "multi"), "to"))
		r->flags |= ROUTE_MULTI;
}

/* The declaration of NS_SESSION whose prefix the payload's attributes are taken to have: the payload's own, else one around it that the
 * payload does not redeclare. */
static const char *session_declaration(const struct xml *e)
{
	mxml_node_t *payload = xml_node(e);

	for (mxml_node_t *n = payload, *parent; (parent = mxmlGetParent(n)); n = parent) {
		int count = mxmlElementGetAttrCount(n);
		for (int i = 0; i < count; i++) {
			const char *name, *value = mxmlElementGetAttrByIndex(n, i, &name);
			struct span prefix;
			if (xml_declares(name, &prefix) && prefix.n && strcmp(value, NS_SESSION) == 0 &&
				(n == payload || !mxmlElementGetAttr(payload, name)))
				return name;
		}
	}
	return NULL;
}

static void session_attr(struct reader *rd, const char *local, const char *value)
{
	struct route *r = rd->r;

	if (r->element == EL_STANZA)
		return;
	if (strcmp(local, "c2s") == 0) {
		r->c2s = put(rd, span_str(value));
		r->flags |= ROUTE_HAS_C2S;
	} else if (strcmp(local, "sm") == 0) {
		r->sm = put(rd, span_str(value));
		r->flags |= ROUTE_HAS_SM;
	} else if (strcmp(local, "failed") == 0) {
		r->flags |= ROUTE_FAILED;
	}
}

static bool in_session_ns(mxml_node_t *n, const char *name)
{
	struct span prefix = xml_prefix(name);
	const char *uri = prefix.n ? xml_lookup(n, prefix) : NULL;

	return uri && strcmp(uri, NS_SESSION) == 0;
}

/* Written as it will be sent: name, =, quote, value, quote, and so one behind the other that what does not fit in attrs any more
 * can run on in the last value. */
static void pass_on(struct reader *rd, const char *name, const char *value)
{
	struct route *r = rd->r;
	uint32_t at = r->len + rd->extra.n;

	buf_attr(&rd->extra, name, span_str(value));
	uint32_t end = r->len + rd->extra.n - 1;
	if (r->nattrs == ROUTE_ATTRS) {
		struct slice *last = &r->attrs[ROUTE_ATTRS - 1].value;
		last->len = end - last->off;
		return;
	}
	uint32_t n = (uint32_t)strlen(name), value_at = at + 1 + n + 2;
	r->attrs[r->nattrs++] = (struct route_attr){ { at + 1, n }, { value_at, end - value_at }, '\'' };
}

/* The value that was passed on last: escaped, and so fit for either quote. */
static struct slice last_value(const struct reader *rd)
{
	uint32_t end = rd->extra.n, at;

	if (rd->extra.failed || end == 0)
		return (struct slice){ 0 };
	for (at = --end; at > 0 && rd->extra.p[at - 1] != '\''; at--)
		;
	return (struct slice){ rd->r->len + at, end - at };
}

static bool passed_on(mxml_node_t *n, const char *name, const char *session)
{
	struct span prefix;

	if (xml_declares(name, &prefix))
		return prefix.n && (!session || strcmp(name, session) != 0);
	return strcmp(name, "to") != 0 && strcmp(name, "from") != 0 && !in_session_ns(n, name);
}

/* The route's own declarations, where the payload's bytes speak of their prefixes. */
static void pass_on_inherited(struct reader *rd, mxml_node_t *payload, const char *session)
{
	mxml_node_t *top = mxmlGetParent(payload);
	const struct route *r = rd->r;

	if (!mxmlGetParent(top))
		return;
	int count = mxmlElementGetAttrCount(top);
	for (int i = 0; i < count; i++) {
		const char *name, *value = mxmlElementGetAttrByIndex(top, i, &name);
		struct span prefix;
		if (!xml_declares(name, &prefix) || prefix.n == 0 || mxmlElementGetAttr(payload, name) ||
			(session && strcmp(name, session) == 0))
			continue;
		char use[GATE_NAME_MAX + 1];
		size_t n = prefix.n;
		memcpy(use, prefix.p, n);
		use[n++] = ':';
		struct span bytes = span_of(rd->frame + r->start.off, r->content.off + r->content.len - r->start.off);
		if (memmem(bytes.p, bytes.n, use, n))
			pass_on(rd, name, value);
	}
}

static void read_payload(struct reader *rd, const struct xml *e)
{
	struct route *r = rd->r;
	mxml_node_t *n = xml_node(e);
	int count = mxmlElementGetAttrCount(n);
	const char *session = session_declaration(e);

	r->payload = (uint8_t)envelope_payload(
		r->element == EL_STANZA ? GN_CLIENT : gate_ns_of(xml_ns(e)), xml_local(e));
	r->stanza_to = put_attr(rd, e, "to");
	if (r->stanza_to.off)
		r->flags |= ROUTE_TO;
	r->stanza_from = put_attr(rd, e, "from");
	r->stanza_type = put_attr(rd, e, "type");
	r->action = put_attr(rd, e, "action");
	r->target = put_attr(rd, e, "target");
	if (session)
		r->session_prefix = put(rd, span_str(session + 6));
	for (int i = 0; i < count; i++) {
		const char *name, *value = mxmlElementGetAttrByIndex(n, i, &name);
		struct span prefix;
		if (!xml_declares(name, &prefix) && in_session_ns(n, name))
			session_attr(rd, name + xml_prefix(name).n + 1, value);
	}
	for (int i = 0; i < count; i++) {
		const char *name, *value = mxmlElementGetAttrByIndex(n, i, &name);
		if (!passed_on(n, name, session))
			continue;
		pass_on(rd, name, value);
		if (strcmp(name, "id") == 0)
			r->id = last_value(rd);
	}
	pass_on_inherited(rd, n, session);
}

static void read_child(struct reader *rd, const struct xml *payload)
{
	const struct xml *child = xml_child(payload, NULL, NULL);

	if (!child)
		return;
	const char *qname = mxmlGetElement(xml_node(child));
	rd->r->child = put(rd, xml_local(child));
	if (xml_prefix(qname).n || xml_attr(child, "xmlns").p)
		rd->r->child_ns = put(rd, xml_ns(child));
}

/* Binds are small: read whole, as any child may be the one that counts. */
static bool read_bind(struct route *r, const char *frame)
{
	struct xml_doc *doc = xml_parse(span_of(frame, r->len), NULL);

	if (!doc)
		return false;
	if (xml_child(xml_root(doc), NS_COMPONENT, "default"))
		r->flags |= ROUTE_DEFAULT;
	if (xml_child(xml_root(doc), NS_COMPONENT, "log"))
		r->flags |= ROUTE_LOG;
	xml_free(&doc);
	return true;
}

/* Keeps what the gate says of the bytes and forgets what the scanner read. */
static void forget(struct route *r)
{
	struct route kept = { .len = r->len, .element = r->element, .tag = r->tag, .start = r->start, .content = r->content };

	kept.flags = r->flags & (ROUTE_ENDS_EMPTY | ROUTE_SESSION_PREFIX | ROUTE_DECLARES);
	*r = kept;
}

bool route_mxml(struct route *r, const char *frame, char *extra, size_t cap)
{
	if (r->element == EL_OTHER || r->element == EL_REFUSED) {
		r->flags &= (uint16_t)~ROUTE_ODD;
		return true;
	}
	struct reader rd = { .r = r, .frame = frame };
	struct xml_doc *doc = parse_tags(r, frame);
	if (!doc)
		return false;
	buf_init(&rd.extra);
	forget(r);
	bool stanza = r->element == EL_STANZA;
	const struct xml *root = xml_root(doc);
	bool ok = true;
	if (!stanza)
		r->element = (uint8_t)envelope_kind(gate_ns_of(xml_ns(root)), xml_local(root), false);
	read_top(&rd, root);
	const struct xml *payload = stanza ? root : xml_child(root, NULL, NULL);
	if (payload && (stanza || r->element == EL_ROUTE)) {
		read_child(&rd, payload);
		read_payload(&rd, payload);
	}
	if (r->element == EL_BIND)
		ok = read_bind(r, frame);
	xml_free(&doc);
	ok = ok && !rd.extra.failed && rd.extra.n <= cap;
	if (ok) {
		if (rd.extra.n)
			memcpy(extra, rd.extra.p, rd.extra.n);
		r->extra = rd.extra.n;
	}
	buf_free(&rd.extra);
	return ok;
}
