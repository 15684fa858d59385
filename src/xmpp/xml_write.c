/* xml_write.c - elements of a tree, written so that they stand alone.
 * Threads: the tree's.
 * Owns: nothing.
 */
#include "xmpp/mxml_safe.h"

struct writer {
	struct buf *out;
	const char *skip_ns; /* NULL: nothing is left out */
};

static bool same_uri(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Whether a name in the element or below it has the prefix. attributes: look at those too. */
static bool uses_prefix(mxml_node_t *node, struct span prefix, bool attributes)
{
	for (mxml_node_t *n = node; n; n = mxmlWalkNext(n, node, MXML_DESCEND)) {
		if (mxmlGetType(n) != MXML_ELEMENT)
			continue;
		if (span_eq(xml_prefix(mxmlGetElement(n)), prefix))
			return true;
		int count = attributes ? mxmlElementGetAttrCount(n) : 0;
		for (int i = 0; i < count; i++) {
			const char *name;
			mxmlElementGetAttrByIndex(n, i, &name);
			if (span_eq(xml_prefix(name), prefix))
				return true;
		}
	}
	return false;
}

/* A declaration is left out with the attributes that it was there for, unless elements need it. */
static bool keeps_declaration(const struct writer *w, mxml_node_t *node, struct span prefix, const char *uri)
{
	if (prefix.n == 0 || !w->skip_ns || strcmp(uri, w->skip_ns) != 0)
		return true;
	return uses_prefix(node, prefix, false);
}

static void known_prefix(const struct writer *w, const mxml_node_t *node, const char *qname)
{
	/* A prefix that was declared outside of what was parsed: nobody could read it where this goes. */
	struct span prefix = xml_prefix(qname);
	if (prefix.n && !xml_lookup(node, prefix))
		w->out->failed = true;
}

static void write_attrs(const struct writer *w, mxml_node_t *node, bool top, const char *around)
{
	int count = mxmlElementGetAttrCount(node);

	for (int i = 0; i < count; i++) {
		const char *name, *value = mxmlElementGetAttrByIndex(node, i, &name);
		struct span prefix;
		if (xml_declares(name, &prefix)) {
			if (top && prefix.n == 0 && same_uri(value, around))
				continue;
			if (!keeps_declaration(w, node, prefix, value))
				continue;
		} else if ((prefix = xml_prefix(name)).n) {
			known_prefix(w, node, name);
			if (w->skip_ns && same_uri(xml_lookup(node, prefix), w->skip_ns))
				continue;
		}
		buf_attr(w->out, name, span_str(value));
	}
}

static bool declared_on(mxml_node_t *node, const char *name)
{
	return mxmlElementGetAttr(node, name) != NULL;
}

/* True: an element between node and from, from not included, declares the same. */
static bool overridden(mxml_node_t *node, mxml_node_t *from, const char *name)
{
	for (; node != from; node = mxmlGetParent(node))
		if (declared_on(node, name))
			return true;
	return false;
}

/* What the element inherits from those around it, that are not written. */
static void write_inherited(const struct writer *w, mxml_node_t *node, const char *around)
{
	const char *dflt = xml_lookup(node, span_str(""));

	if (!declared_on(node, "xmlns") && !same_uri(dflt, around))
		buf_attr(w->out, "xmlns", span_str(dflt));
	for (mxml_node_t *n = mxmlGetParent(node); n && mxmlGetParent(n); n = mxmlGetParent(n)) {
		int count = mxmlElementGetAttrCount(n);
		for (int i = 0; i < count; i++) {
			const char *name, *value = mxmlElementGetAttrByIndex(n, i, &name);
			struct span prefix;
			if (!xml_declares(name, &prefix) || prefix.n == 0 || overridden(node, n, name))
				continue;
			if (uses_prefix(node, prefix, true) && keeps_declaration(w, node, prefix, value))
				buf_attr(w->out, name, span_str(value));
		}
	}
}

static void write_element(const struct writer *w, mxml_node_t *node, bool top, const char *around)
{
	const char *name = mxmlGetElement(node);

	known_prefix(w, node, name);
	buf_put(w->out, SPAN("<"));
	buf_str(w->out, name);
	if (top)
		write_inherited(w, node, around);
	write_attrs(w, node, top, around);
	mxml_node_t *child = mxmlGetFirstChild(node);
	if (!child) {
		buf_put(w->out, SPAN("/>"));
		return;
	}
	buf_put(w->out, SPAN(">"));
	/* As deep as the gate lets elements nest. */
	for (; child; child = mxmlGetNextSibling(child)) {
		if (mxmlGetType(child) == MXML_ELEMENT)
			write_element(w, child, false, NULL);
		else
			buf_text(w->out, span_str(mxmlGetOpaque(child)));
	}
	buf_put(w->out, SPAN("</"));
	buf_str(w->out, name);
	buf_put(w->out, SPAN(">"));
}

void xml_write(struct buf *out, const struct xml *e, const char *around, const char *skip_ns)
{
	struct writer w = { out, skip_ns };

	write_element(&w, xml_node(e), true, around);
}
