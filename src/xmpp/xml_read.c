/* xml_read.c - a checked document becomes a tree of mini-XML's nodes.
 * Threads: any, each with its own trees; the count of what was no document is shared.
 * Owns: struct xml_doc and the tree below it.
 *
 * The gate has checked every byte, so the tree is built node by node from the gate's own tokens, each allocation looked at. mini-XML's
 * loader would take what ends early for whole, make elements of CDATA sections and delete U+FEFF; and where an element's name cannot be
 * allocated it goes on without it and dies at the end tag.
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
	(void)message; /* of a lack of memory, which the caller sees */
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

struct reader {
	const char *p, *end;
	mxml_node_t *at;       /* the open element */
	struct buf name, text; /* NUL-terminated for mini-XML; text: since the last tag */
};

/* XML 1.0 section 2.11: \r\n and \r are \n. References stay what they stand for. */
static void read_text(struct buf *out, const char *p, const char *end, bool cdata)
{
	uint32_t cp;
	char utf8[4];

	while (p < end) {
		const char *run = p;

		while (run < end && *run != '\r' && (cdata || *run != '&'))
			run++;
		buf_put(out, span_of(p, (size_t)(run - p)));
		p = run;
		if (p < end && *p == '&') {
			p += scan_reference(p, end, &cp);
			buf_put(out, span_of(utf8, (size_t)scan_put_utf8(utf8, cp)));
		} else if (p < end) {
			buf_put(out, SPAN("\n"));
			p += p + 1 < end && p[1] == '\n' ? 2 : 1;
		}
	}
}

/* False: no memory. The name is in rd->name. */
static bool read_name(struct reader *rd)
{
	const char *from = rd->p;

	while (!scan_is(*rd->p, SC_SPACE) && *rd->p != '=' && *rd->p != '/' && *rd->p != '>')
		rd->p++;
	buf_clear(&rd->name);
	buf_put(&rd->name, span_of(from, (size_t)(rd->p - from)));
	buf_put(&rd->name, span_of("", 1));
	return !rd->name.failed;
}

static bool read_attribute(struct reader *rd, mxml_node_t *element)
{
	if (!read_name(rd))
		return false;
	while (*rd->p != '\'' && *rd->p != '"')
		rd->p++;
	const char *value = rd->p + 1, *close = memchr(value, *rd->p, (size_t)(rd->end - value));
	size_t n = (size_t)(close - value);

	buf_clear(&rd->text);
	if (!buf_grow(&rd->text, n + 1))
		return false;
	rd->text.p[scan_decode(rd->text.p, span_of(value, n))] = '\0';
	rd->p = close + 1;
	mxmlElementSetAttr(element, rd->name.p, rd->text.p);
	buf_clear(&rd->text);
	/* There with its value, or mini-XML had no memory for one of them. */
	return mxmlElementGetAttr(element, rd->name.p) != NULL;
}

/* What stood between two tags is one node. */
static bool text_ends(struct reader *rd)
{
	if (rd->text.failed)
		return false;
	if (!rd->text.n)
		return true;
	buf_put(&rd->text, span_of("", 1));
	mxml_node_t *node = rd->text.failed ? NULL : mxmlNewOpaque(rd->at, rd->text.p);

	buf_clear(&rd->text);
	return node && mxmlGetOpaque(node);
}

static bool read_start(struct reader *rd)
{
	rd->p++;
	if (!read_name(rd))
		return false;
	mxml_node_t *element = mxmlNewElement(rd->at, rd->name.p);

	if (!element || !mxmlGetElement(element))
		return false;
	for (;;) {
		rd->p = scan_space(rd->p, rd->end);
		if (*rd->p == '/') {
			rd->p += 2;
			return true;
		}
		if (*rd->p == '>') {
			rd->p++;
			rd->at = element;
			return true;
		}
		if (!read_attribute(rd, element))
			return false;
	}
}

static bool read_tag(struct reader *rd)
{
	if (!text_ends(rd))
		return false;
	if (rd->p[1] != '/')
		return read_start(rd);
	rd->p = (const char *)memchr(rd->p, '>', (size_t)(rd->end - rd->p)) + 1;
	rd->at = mxmlGetParent(rd->at);
	return true;
}

/* False: no memory; what there is hangs below top. */
static bool read_tree(mxml_node_t *top, struct span xml)
{
	struct reader rd = { .p = xml.p, .end = xml.p + xml.n, .at = top };
	bool ok = true;

	buf_init(&rd.name);
	buf_init(&rd.text);
	while (ok && rd.p < rd.end) {
		const char *from = rd.p;

		if (*from != '<') {
			rd.p = memchr(from, '<', (size_t)(rd.end - from));
			rd.p = rd.p ? rd.p : rd.end;
			read_text(&rd.text, from, rd.p, false);
		} else if (from[1] == '!') {
			rd.p = (const char *)memmem(from, (size_t)(rd.end - from), "]]>", 3) + 3;
			read_text(&rd.text, from + sizeof("<![CDATA[") - 1, rd.p - 3, true);
		} else {
			ok = read_tag(&rd);
		}
	}
	buf_free(&rd.name);
	buf_free(&rd.text);
	return ok;
}

static struct xml_doc *doc_new(mxml_node_t *top, const char *inherited_ns)
{
	struct xml_doc *doc = calloc(1, sizeof(*doc));

	if (!doc)
		return NULL;
	*doc = (struct xml_doc){ .top = top, .inherited = inherited_ns ? strdup(inherited_ns) : NULL };
	if ((inherited_ns && !doc->inherited) || mxmlSetUserData(top, doc) < 0) {
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
	struct xml_doc *doc;
	struct gate g;

	if (!ready)
		xml_thread_init();
	gate_init(&g, gated.p, gated.n, &most);
	g.tolerant = true;
	if (gate_element(&g) != GATE_OK || g.p != g.end) {
		atomic_fetch_add_explicit(&mismatches, 1, memory_order_relaxed);
		return NULL;
	}
	mxml_node_t *top = mxmlNewElement(NULL, "");

	if (!top)
		return NULL;
	doc = doc_new(top, inherited_ns);
	if (!doc) {
		mxmlDelete(top);
		return NULL;
	}
	if (!read_tree(top, gated)) {
		xml_free(&doc);
		return NULL;
	}
	doc->root = mxmlGetFirstChild(top);
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
