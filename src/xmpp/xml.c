/* xml.c - trees, read with their namespaces.
 * Threads: any, each with its own trees.
 * Owns: nothing; xml_read.c makes and frees trees.
 */
#include "xmpp/mxml_safe.h"

struct xml *xml_root(struct xml_doc *doc)
{
	return (struct xml *)doc->root;
}

bool xml_declares(const char *name, struct span *prefix)
{
	if (strncmp(name, "xmlns", 5) != 0 || (name[5] != '\0' && name[5] != ':'))
		return false;
	*prefix = span_str(name[5] ? name + 6 : "");
	return true;
}

const struct xml_doc *xml_doc_of(const mxml_node_t *node)
{
	mxml_node_t *n = (mxml_node_t *)(uintptr_t)node, *parent;

	while ((parent = mxmlGetParent(n)))
		n = parent;
	return mxmlGetUserData(n);
}

const char *xml_lookup(const mxml_node_t *node, struct span prefix)
{
	mxml_node_t *n = (mxml_node_t *)(uintptr_t)node, *parent;

	/* The topmost node is ours and declares nothing. */
	for (; (parent = mxmlGetParent(n)); n = parent) {
		int count = mxmlElementGetAttrCount(n);
		for (int i = 0; i < count; i++) {
			const char *name, *value = mxmlElementGetAttrByIndex(n, i, &name);
			struct span declared;
			if (xml_declares(name, &declared) && span_eq(declared, prefix))
				return value;
		}
	}
	if (span_is(prefix, "xml"))
		return XML_URI;
	return prefix.n == 0 ? ((const struct xml_doc *)mxmlGetUserData(n))->inherited : NULL;
}

struct span xml_local(const struct xml *e)
{
	const char *name = mxmlGetElement(xml_node(e));
	const char *colon = strchr(name, ':');
	return span_str(colon ? colon + 1 : name);
}

struct span xml_ns(const struct xml *e)
{
	return span_str(xml_lookup(xml_node(e), xml_prefix(mxmlGetElement(xml_node(e)))));
}

bool xml_is(const struct xml *e, const char *ns, const char *local)
{
	return (!local || span_is(xml_local(e), local)) && (!ns || span_is(xml_ns(e), ns));
}

static struct xml *first_of(mxml_node_t *n, const char *ns, const char *local)
{
	for (; n; n = mxmlGetNextSibling(n))
		if (mxmlGetType(n) == MXML_ELEMENT && xml_is(xml_of(n), ns, local))
			return (struct xml *)n;
	return NULL;
}

struct xml *xml_child(const struct xml *e, const char *ns, const char *local)
{
	return first_of(mxmlGetFirstChild(xml_node(e)), ns, local);
}

struct xml *xml_next(const struct xml *e, const char *ns, const char *local)
{
	return first_of(mxmlGetNextSibling(xml_node(e)), ns, local);
}

struct span xml_attr(const struct xml *e, const char *name)
{
	return span_str(mxmlElementGetAttr(xml_node(e), name));
}

void xml_text(const struct xml *e, struct buf *out)
{
	for (mxml_node_t *n = mxmlGetFirstChild(xml_node(e)); n; n = mxmlGetNextSibling(n))
		if (mxmlGetType(n) == MXML_OPAQUE)
			buf_str(out, mxmlGetOpaque(n));
}

bool xml_child_text(const struct xml *e, const char *ns, const char *local, struct buf *out)
{
	const struct xml *child = xml_child(e, ns, local);

	if (child)
		xml_text(child, out);
	return child != NULL;
}
