/* xml.c - mini-XML made safe and namespace-aware.
 * Threads: any, each with its own trees; the count of mismatches is shared.
 * Owns: struct xml_doc and the tree below it.
 *
 * mini-XML takes what ends early for whole, drops what it has no memory for without a word, deletes U+FEFF and makes elements of CDATA
 * sections. So: the gate counts first; a copy goes in that holds none of the spellings which mini-XML reads in its own way; and the
 * tree is counted afterwards.
 */
#include "config.h"

#include "shardsm/xml.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "xmpp/gate.h"
#include "xmpp/mxml_safe.h"
#include "xmpp/scan.h"

static _Atomic uint64_t mismatches;
static _Thread_local bool ready;

static void on_error(const char *message)
{
	(void)message; /* a peer's text; the caller sees that there is no tree */
}

void xml_thread_init(void)
{
	mxmlSetErrorCallback(on_error);
	mxmlSetWrapMargin(0);
	ready = true;
}

uint64_t xml_mismatches(void)
{
	return atomic_load_explicit(&mismatches, memory_order_relaxed);
}

/* One character of text or of a value, as plainly as it can be said. literal: it stood there as itself, not as a reference. */
static void put_char(struct buf *out, uint32_t cp, bool literal)
{
	char utf8[4];

	switch (cp) {
	case '<':
		buf_put(out, SPAN("&lt;"));
		return;
	case '>':
		buf_put(out, SPAN("&gt;"));
		return;
	case '&':
		buf_put(out, SPAN("&amp;"));
		return;
	case '\'':
		buf_put(out, SPAN("&#39;"));
		return;
	case '"':
		buf_put(out, SPAN("&quot;"));
		return;
	case 0xfeff: /* deleted where it stands as itself */
		buf_put(out, SPAN("&#65279;"));
		return;
	}
	if (cp < 0x20 && !literal)
		buf_fmt(out, "&#%u;", (unsigned)cp);
	else
		buf_put(out, span_of(utf8, (size_t)scan_put_utf8(utf8, cp)));
}

/* One character that scan_plain() or scan_text() stopped at. Returns its length. */
static size_t put_special(struct buf *out, const char *p, const char *end, bool value, bool cdata)
{
	uint32_t cp;

	if (*p == '&' && !cdata) {
		int n = scan_reference(p, end, &cp);
		put_char(out, cp, false);
		return (size_t)n;
	}
	if ((unsigned char)*p >= 0x80) {
		int n = scan_utf8(p, end, &cp);
		put_char(out, cp, true);
		return (size_t)n;
	}
	if (scan_is(*p, SC_SPACE)) {
		/* XML 1.0 sections 2.11 and 3.3.3 */
		char blank = value ? ' ' : *p == '\r' ? '\n' : *p;
		buf_put(out, span_of(&blank, 1));
		return *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
	}
	put_char(out, (unsigned char)*p, true);
	return 1;
}

static void put_text(struct buf *out, const char *p, const char *end, bool value, bool cdata)
{
	while (p < end) {
		const char *run = value || cdata ? scan_plain(p, end) : scan_text(p, end);
		buf_put(out, span_of(p, (size_t)(run - p)));
		p = run < end ? run + put_special(out, run, end, value, cdata) : run;
	}
}

static const char *put_tag(struct buf *out, const char *p, const char *end)
{
	while (*p != '>') {
		const char *s = p;
		while (*p != '>' && *p != '\'' && *p != '"')
			p++;
		buf_put(out, span_of(s, (size_t)(p - s)));
		if (*p == '>')
			break;
		const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));
		buf_put(out, SPAN("\""));
		put_text(out, p + 1, close, true, false);
		buf_put(out, SPAN("\""));
		p = close + 1;
	}
	buf_put(out, SPAN(">"));
	return p + 1;
}

/* The copy that mini-XML reads. Returns the number of texts in it: runs of characters between two tags. */
static uint32_t plain_copy(struct buf *out, struct span xml)
{
	const char *p = xml.p, *end = xml.p + xml.n;
	uint32_t texts = 0, at_tag = 0;

	while (p < end) {
		uint32_t before = out->n;
		if (*p != '<') {
			const char *lt = memchr(p, '<', (size_t)(end - p));
			lt = lt ? lt : end;
			put_text(out, p, lt, false, false);
			p = lt;
		} else if (p[1] == '!') {
			const char *close = memmem(p, (size_t)(end - p), "]]>", 3);
			put_text(out, p + 9, close, false, true);
			p = close + 3;
		} else {
			p = put_tag(out, p, end);
			at_tag = out->n;
			continue;
		}
		if (before == at_tag && out->n > before)
			texts++;
	}
	buf_put(out, span_of("", 1));
	return texts;
}

/* True: the tree holds what the gate saw. */
static bool whole(mxml_node_t *root, const struct gate *g, uint32_t texts)
{
	uint32_t elements = 0, attributes = 0, found = 0;

	if (!root || mxmlGetNextSibling(root))
		return false;
	for (mxml_node_t *n = root; n; n = mxmlWalkNext(n, root, MXML_DESCEND)) {
		if (mxmlGetType(n) == MXML_OPAQUE) {
			const char *text = mxmlGetOpaque(n);
			found += text && *text;
			continue;
		}
		if (mxmlGetType(n) != MXML_ELEMENT || !mxmlGetElement(n))
			return false;
		elements++;
		int count = mxmlElementGetAttrCount(n);
		for (int i = 0; i < count; i++) {
			const char *name;
			attributes += mxmlElementGetAttrByIndex(n, i, &name) && name;
		}
	}
	return elements == g->elements && attributes == g->attributes && found == texts;
}

static struct xml_doc *doc_new(mxml_node_t *top, mxml_node_t *root, const char *inherited_ns)
{
	struct xml_doc *doc = malloc(sizeof(*doc));

	if (!doc)
		return NULL;
	*doc = (struct xml_doc){ .top = top, .root = root };
	if (inherited_ns && !(doc->inherited = strdup(inherited_ns))) {
		free(doc);
		return NULL;
	}
	if (mxmlSetUserData(top, doc) < 0) {
		free(doc->inherited);
		free(doc);
		return NULL;
	}
	return doc;
}

struct xml_doc *xml_parse(struct span gated, const char *inherited_ns)
{
	/* The caller's own limits were kept when the bytes came in: these are the most that any may be. */
	static const struct route_limits most = { .frame_bytes = 1u << 30, .depth = GATE_DEPTH, .attributes = GATE_ATTRS, .elements = UINT32_MAX };
	struct xml_doc *doc = NULL;
	struct gate g;
	struct buf copy;

	if (!ready)
		xml_thread_init();
	gate_init(&g, gated.p, gated.n, &most);
	g.tolerant = true;
	if (gate_element(&g) != GATE_OK || g.p != g.end) {
		atomic_fetch_add_explicit(&mismatches, 1, memory_order_relaxed);
		return NULL;
	}
	buf_init(&copy);
	uint32_t texts = plain_copy(&copy, gated);
	/* A name that no input can close, so that an input which ends early is an error and not a document. */
	mxml_node_t *top = copy.failed ? NULL : mxmlNewElement(NULL, "\x01");
	if (top && mxmlGetElement(top)) {
		mxml_node_t *root = mxmlLoadString(top, copy.p, MXML_OPAQUE_CALLBACK) ? mxmlGetFirstChild(top) : NULL;
		if (whole(root, &g, texts))
			doc = doc_new(top, root, inherited_ns);
		else
			atomic_fetch_add_explicit(&mismatches, 1, memory_order_relaxed);
	}
	if (!doc)
		mxmlDelete(top);
	buf_free(&copy);
	return doc;
}

void xml_free(struct xml_doc **docp)
{
	struct xml_doc *doc = *docp;

	*docp = NULL;
	if (!doc)
		return;
	mxmlDelete(doc->top);
	free(doc->inherited);
	free(doc);
}

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
