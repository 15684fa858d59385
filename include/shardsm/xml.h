/* xml.h - mini-XML made safe and namespace-aware: trees of checked frames.
 * Threads: a tree belongs to the thread that parsed it.
 * Owns: struct xml_doc owns the whole tree; elements are borrowed from it.
 * Only bytes that passed the gate (route.h) may be parsed: xml_parse() asks it again.
 */
#ifndef SHARDSM_XML_H
#define SHARDSM_XML_H

#include "shardsm/buf.h"
#include "shardsm/span.h"

struct xml_doc;
struct xml; /* one element */

/* Every thread that parses calls this once: mini-XML's callbacks are per thread. */
void xml_thread_init(void);

/* Parses one element, gated bytes. inherited_ns: the default namespace in scope around it (NULL: none). NULL: no memory, or
 * the bytes are such as the gate refuses (counted, xml_mismatches()). */
struct xml_doc *xml_parse(struct span gated, const char *inherited_ns) MUST_USE;
void xml_free(struct xml_doc **doc);
uint64_t xml_mismatches(void);

/* Well-formed UTF-8 of characters that XML can carry: asked of text that did not come through the gate (a stored row). */
bool xml_text_ok(struct span text);

struct xml *xml_root(struct xml_doc *doc);
struct span xml_local(const struct xml *e);         /* local name */
struct span xml_ns(const struct xml *e);            /* namespace URI, empty: none */
bool xml_is(const struct xml *e, const char *ns, const char *local);
/* First child element; ns or local NULL matches any. xml_next: the next sibling with the same condition. */
struct xml *xml_child(const struct xml *e, const char *ns, const char *local);
struct xml *xml_next(const struct xml *e, const char *ns, const char *local);
/* An unqualified attribute's value, decoded; p NULL: absent. Borrowed from the tree. */
struct span xml_attr(const struct xml *e, const char *name);
/* The text before the first child element and between children, concatenated and decoded, CDATA included. Appended to out. */
void xml_text(const struct xml *e, struct buf *out);
/* xml_text() of the first such child; false: no such child. */
bool xml_child_text(const struct xml *e, const char *ns, const char *local, struct buf *out);
/* Without a tree: the text of the first child element of that name, in the namespace of the element around it, whose content this is (gated
 * bytes, no prefix on that element). Whatever is not quite plain it leaves to the above. */
enum glance { GLANCE_FOUND, GLANCE_ABSENT, GLANCE_UNSURE };
enum glance xml_glance(struct span content, const char *local, struct span *text) MUST_USE;
/* Serialises the element and all below it, namespaces declared so that it stands alone below an element with default
 * namespace around (NULL: none). skip_ns: attributes in this namespace and its declaration are left out (NULL: none). */
void xml_write(struct buf *out, const struct xml *e, const char *around, const char *skip_ns);

#endif
