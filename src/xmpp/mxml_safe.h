/* mxml_safe.h - mini-XML's tree as xml.c, xml_write.c and route_mxml.c see it.
 * Threads: a tree belongs to the thread that parsed it.
 * Owns: see struct xml_doc.
 */
#ifndef XMPP_MXML_SAFE_H
#define XMPP_MXML_SAFE_H

#include <mxml.h>

#include "shardsm/xml.h"

#define XML_URI "http://www.w3.org/XML/1998/namespace"

/* The document element hangs below a node of ours, so that whatever a parse leaves behind hangs there too, and is freed with it. */
struct xml_doc {
	mxml_node_t *top;  /* owned, the tree with it; its user data is the doc */
	mxml_node_t *root;
	char *inherited;   /* owned: the default namespace around the root, NULL: none */
};

static inline mxml_node_t *xml_node(const struct xml *e)
{
	return (mxml_node_t *)(uintptr_t)e;
}

static inline const struct xml *xml_of(const mxml_node_t *node)
{
	return (const struct xml *)node;
}

/* "a:b": "a"; "b": empty. */
static inline struct span xml_prefix(const char *qname)
{
	const char *colon = strchr(qname, ':');
	return span_of(qname, colon ? (size_t)(colon - qname) : 0);
}

/* The prefix that an attribute of this name declares. False: it declares none. "xmlns": the empty prefix. */
bool xml_declares(const char *name, struct span *prefix);
/* What a prefix means at node (empty: the default namespace). NULL: not declared. Borrowed from the tree. */
const char *xml_lookup(const mxml_node_t *node, struct span prefix);
/* The document that node is in. */
const struct xml_doc *xml_doc_of(const mxml_node_t *node);

#endif
