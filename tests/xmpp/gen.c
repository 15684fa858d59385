/* gen.c - routes made up from a seed.
 * Threads: any.
 * Owns: nothing.
 */
#include "gen.h"

#include "shardsm/route.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static uint64_t next(struct gen *g)
{
	uint64_t z = g->x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t gen_below(struct gen *g, uint32_t n)
{
	return (uint32_t)(next(g) % n);
}

#define PICK(g, array) (array)[gen_below(g, COUNT(array))]

static void space(struct gen *g, struct buf *out)
{
	static const char *const odd[] = { "  ", "\n", "\t", "\r\n ", " \t " };

	buf_str(out, gen_one_in(g, 12) ? PICK(g, odd) : " ");
}

static void value(struct gen *g, struct buf *out, const char *text)
{
	static const char *const odd[] = { "a&amp;b", "&#x6a;id", "&lt;&gt;", "\xc3\xa9t\xc3\xa9", "", " x ", "a\tb", "a\nb", "a\r\nb", "\xf0\x9f\x98\x80",
		">", "]]>", "&#10;", "x&quot;y", "x&apos;y", "&#000000000000000000000000000000000000000000000000000000000000000000000065;",
		"\xef\xbb\xbf", "jabber:client" };
	bool dbl = gen_one_in(g, 4);

	if (gen_one_in(g, 30))
		buf_str(out, " ");
	buf_str(out, "=");
	if (gen_one_in(g, 30))
		buf_str(out, "\n");
	buf_str(out, dbl ? "\"" : "'");
	if (gen_one_in(g, 8)) {
		buf_str(out, PICK(g, odd));
		if (gen_one_in(g, 2))
			buf_str(out, dbl ? "it's" : "a \"b\"");
	} else {
		buf_str(out, text);
	}
	buf_str(out, dbl ? "\"" : "'");
}

static void attr(struct gen *g, struct buf *out, const char *name, const char *text)
{
	space(g, out);
	buf_str(out, name);
	value(g, out, text);
}

/* A namespace is spelled plainly most of the time. */
static void declare(struct gen *g, struct buf *out, const char *prefix, const char *uri)
{
	space(g, out);
	buf_str(out, "xmlns");
	if (*prefix) {
		buf_str(out, ":");
		buf_str(out, prefix);
	}
	buf_str(out, "='");
	if (*uri && gen_one_in(g, 25)) {
		buf_fmt(out, "&#%d;", uri[0]);
		uri++;
	}
	buf_str(out, uri);
	buf_str(out, "'");
}

static void text(struct gen *g, struct buf *out)
{
	static const char *const parts[] = { "hello", " ", "it's \"quoted\" > here", "&amp;", "&#233;", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
		"<![CDATA[a <b> & c]]>", "<![CDATA[]]>", "<![CDATA[]]]]>", "]]", "]", "\n", "\r\n", "\r", "\xef\xbb\xbf", "x\xef\xbb\xbfy",
		"\xf0\x9f\x98\x80", "a longer stretch of plain text that takes more than one block of sixteen", "&lt;script&gt;", "&#xfeff;" };

	for (uint32_t n = gen_below(g, 4); n > 0; n--)
		buf_str(out, PICK(g, parts));
}

static void tree(struct gen *g, struct buf *out, unsigned depth, const char *const *prefixes, uint32_t nprefixes)
{
	static const char *const names[] = { "body", "query", "x", "item", "show", "vCard", "\xc3\xa9l", "a.b-c_d1", "default", "log" };
	static const char *const spaces[] = { "jabber:iq:roster", "jabber:client", "vcard-temp", "", NS_SESSION, "urn:a" };
	const char *prefix = nprefixes && gen_one_in(g, 4) ? prefixes[gen_below(g, nprefixes)] : "";
	const char *name = PICK(g, names);
	uint32_t at = out->n + 1;

	buf_str(out, "<");
	if (*prefix) {
		buf_str(out, prefix);
		buf_str(out, ":");
	}
	buf_str(out, name);
	uint32_t name_len = out->n - at;
	bool own = gen_one_in(g, 6);
	if (gen_one_in(g, 2))
		declare(g, out, "", PICK(g, spaces));
	if (own)
		declare(g, out, "n", "urn:a");
	if (gen_one_in(g, 3))
		attr(g, out, "id", "1");
	if (own)
		attr(g, out, "n:id", "1");
	if (gen_one_in(g, 8))
		attr(g, out, "xml:lang", "de");
	if (nprefixes && gen_one_in(g, 6)) {
		char qname[40];
		buf_str(out, " ");
		size_t n = strlen(prefixes[0]);
		memcpy(qname, prefixes[0], n);
		memcpy(qname + n, ":k", 3);
		buf_str(out, qname);
		value(g, out, "v");
	}
	if (gen_one_in(g, 4)) {
		buf_str(out, gen_one_in(g, 3) ? " />" : "/>");
		return;
	}
	buf_str(out, ">");
	for (uint32_t n = depth ? gen_below(g, 3) : 0; n > 0; n--) {
		text(g, out);
		tree(g, out, depth - 1, prefixes, nprefixes);
	}
	text(g, out);
	buf_str(out, "</");
	char copy[64];
	memcpy(copy, out->p + at, name_len);
	buf_put(out, span_of(copy, name_len));
	buf_str(out, gen_one_in(g, 20) ? " >" : ">");
}

struct scope {
	const char *prefixes[8];
	uint32_t n;
};

static void own_attrs(struct gen *g, struct buf *out, bool with_id)
{
	static const char *const types[] = { "chat", "get", "set", "result", "error", "unavailable", "subscribe", "" };

	if (gen_one_in(g, 2))
		attr(g, out, "type", PICK(g, types));
	if (!gen_one_in(g, 3))
		attr(g, out, "to", "bob@localhost/b");
	if (gen_one_in(g, 4))
		attr(g, out, "from", "eve@localhost/x");
	if (with_id && !gen_one_in(g, 3))
		attr(g, out, "id", "4f4a");
	if (gen_one_in(g, 3))
		attr(g, out, "xml:lang", "en");
	for (uint32_t n = gen_one_in(g, 15) ? gen_below(g, 24) : 0; n > 0; n--) {
		char name[8] = { 'a', (char)('a' + n), 0 };
		attr(g, out, name, "v");
	}
}

/* Attributes of the session namespace, and its declaration where it is not in scope yet. */
static void session_attrs(struct gen *g, struct buf *out, struct scope *scope, const char *prefix, bool declared)
{
	static const char *const names[] = { "c2s", "sm", "failed", "other" };

	if (!declared) {
		declare(g, out, prefix, NS_SESSION);
		scope->prefixes[scope->n++] = prefix;
	}
	for (size_t i = 0; i < COUNT(names); i++) {
		if (gen_one_in(g, i < 2 ? 5 : 1) && i < 2)
			continue;
		if (i >= 2 && !gen_one_in(g, 8))
			continue;
		char qname[40];
		size_t n = strlen(prefix);
		memcpy(qname, prefix, n);
		qname[n] = ':';
		memcpy(qname + n + 1, names[i], strlen(names[i]) + 1);
		attr(g, out, qname, i == 0 ? "12" : "c2112e50c2112e50");
	}
}

static void payload(struct gen *g, struct buf *out, struct scope scope, bool accept)
{
	static const char *const stanzas[] = { "message", "presence", "iq", "message", "odd" };
	static const char *const others[] = { "session", "sessions", "session", "thing" };
	static const char *const session_prefixes[] = { "sc", "sm", "x" };
	bool session = !accept && gen_one_in(g, 4), declared = scope.n > 0 && strcmp(scope.prefixes[0], "rs") == 0 && gen_one_in(g, 2);
	const char *prefix = declared ? "rs" : PICK(g, session_prefixes);
	bool prefixed = session || gen_one_in(g, 15), unqualified = gen_one_in(g, 30);
	const char *name = session ? PICK(g, others) : PICK(g, stanzas), *own = session ? prefix : "c";
	char qname[60] = "";

	if (prefixed) {
		strcat(qname, own);
		strcat(qname, ":");
	}
	strcat(qname, name);
	buf_str(out, "<");
	buf_str(out, qname);
	bool id_first = gen_one_in(g, 2);
	if (id_first)
		own_attrs(g, out, true);
	if (prefixed && !session)
		declare(g, out, "c", accept ? NS_ACCEPT : NS_CLIENT);
	if (!prefixed && !unqualified && (!accept || gen_one_in(g, 4)))
		declare(g, out, "", accept ? NS_ACCEPT : NS_CLIENT);
	if (session || (!accept && !gen_one_in(g, 4)))
		session_attrs(g, out, &scope, prefix, declared);
	if (gen_one_in(g, 20))
		declare(g, out, "s2", NS_SESSION);
	if (gen_one_in(g, 6)) {
		declare(g, out, "p", "urn:p");
		scope.prefixes[scope.n++] = "p";
	}
	if (session) {
		attr(g, out, "action", "start");
		attr(g, out, "target", "bob@localhost/b");
	}
	if (!id_first)
		own_attrs(g, out, true);
	if (gen_one_in(g, 4)) {
		buf_str(out, "/>");
		return;
	}
	buf_str(out, ">");
	text(g, out);
	for (uint32_t n = gen_below(g, 4); n > 0; n--)
		tree(g, out, 3, scope.prefixes, scope.n);
	buf_str(out, "</");
	buf_str(out, qname);
	buf_str(out, ">");
}

void gen_frame(struct gen *g, bool accept, struct buf *out)
{
	static const char *const tops[] = { "route", "route", "route", "route", "route", "route", "route", "presence", "bind", "unbind", "throttle", "huh" };
	static const char *const errors[] = { "404", "400", "0", "", "abc", "70000", "4 4" };
	static const char *const types[] = { "broadcast", "log", "unavailable", "unicast", "" };
	struct scope scope = { .n = 0 };

	if (accept) {
		payload(g, out, scope, true);
		return;
	}
	const char *top = PICK(g, tops), *prefix = gen_one_in(g, 15) ? "comp:" : "";
	buf_str(out, "<");
	buf_str(out, prefix);
	buf_str(out, top);
	declare(g, out, *prefix ? "comp" : "", NS_COMPONENT);
	if (gen_one_in(g, 20)) {
		declare(g, out, "rs", NS_SESSION);
		scope.prefixes[scope.n++] = "rs";
	}
	if (gen_one_in(g, 20)) {
		declare(g, out, "rp", "urn:rp");
		scope.prefixes[scope.n++] = "rp";
	}
	if (!gen_one_in(g, 10))
		attr(g, out, "to", "sm");
	if (!gen_one_in(g, 10))
		attr(g, out, "from", "c2s");
	if (gen_one_in(g, 8))
		attr(g, out, "error", PICK(g, errors));
	if (gen_one_in(g, 8))
		attr(g, out, "type", PICK(g, types));
	if (gen_one_in(g, 8))
		attr(g, out, "name", "localhost");
	if (gen_one_in(g, 8))
		attr(g, out, "multi", gen_one_in(g, 3) ? "from" : "to");
	if (gen_one_in(g, 20)) {
		buf_str(out, "/>");
		return;
	}
	buf_str(out, ">");
	text(g, out);
	if (strcmp(top, "route") == 0 && !gen_one_in(g, 20))
		payload(g, out, scope, false);
	else
		tree(g, out, 2, scope.prefixes, scope.n);
	if (gen_one_in(g, 10))
		tree(g, out, 1, NULL, 0);
	text(g, out);
	buf_str(out, "</");
	buf_str(out, prefix);
	buf_str(out, top);
	buf_str(out, ">");
}

static const struct span tokens[] = { SPAN("<"), SPAN(">"), SPAN("/"), SPAN("'"), SPAN("\""), SPAN("&"), SPAN(";"), SPAN("="), SPAN(" "), SPAN("]]>"),
	SPAN("<!--x-->"), SPAN("<?p i?>"), SPAN("<![CDATA["), SPAN("</"), SPAN("/>"), SPAN(" xmlns='u'"), SPAN(" xmlns:p='u'"), SPAN(" xmlns:p=''"),
	SPAN(" xmlns:xml='u'"), SPAN(" xmlns:xmlns='u'"), SPAN(" xmlns:x='http://www.w3.org/XML/1998/namespace'"),
	SPAN(" xmlns:xml='http://www.w3.org/XML/1998/namespace'"), SPAN(" xmlns='http://www.w3.org/2000/xmlns/'"), SPAN(" xmlns:p='a|b'"),
	SPAN(" xmlns='&apos;'"), SPAN("p:"), SPAN(":"), SPAN("xml:"), SPAN("&#0;"), SPAN("&#xD800;"), SPAN("&#x10FFFF;"), SPAN("&#x110000;"), SPAN("&nbsp;"),
	SPAN("&#x;"), SPAN("\0"), SPAN("\x01"), SPAN("\x80"), SPAN("\xc0\x80"), SPAN("\xed\xa0\x80"), SPAN("\xef\xbf\xbe"), SPAN("\xef\xbf\xbf"),
	SPAN("\xf4\x90\x80\x80"), SPAN("\xf0\x80\x80\x80"), SPAN("\xfe\xff"), SPAN("\xff"), SPAN("\xe2\x82"), SPAN("\x7f"), SPAN("\xc2\x85"), SPAN("\xc3\x97"),
	SPAN("\xcc\x80"), SPAN("<!DOCTYPE a>"), SPAN("<?xml version='1.0'?>"), SPAN("-"), SPAN("1"), SPAN("<a b='1' b='2'/>"),
	SPAN("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>"), SPAN("<a><b></a></b>"), SPAN("<a xmlns=''/>"), SPAN("\xef\xbb\xbf") };

static void replace(struct buf *doc, uint32_t at, uint32_t n, struct span with)
{
	struct buf out;

	buf_init(&out);
	buf_put(&out, span_of(doc->p, at));
	buf_put(&out, with);
	buf_put(&out, span_of(doc->p + at + n, doc->n - at - n));
	buf_free(doc);
	*doc = out;
}

void gen_mutate(struct gen *g, struct buf *doc)
{
	for (uint32_t n = 1 + gen_below(g, 2); n > 0 && doc->n > 2; n--) {
		uint32_t at = gen_below(g, doc->n), run = gen_below(g, 6);
		run = run < doc->n - at ? run : doc->n - at - 1;
		switch (gen_below(g, 5)) {
		case 0:
			doc->p[at] = (char)gen_below(g, 256);
			break;
		case 1:
			replace(doc, at, run, (struct span){ 0 });
			break;
		case 2: {
			char copy[8];
			memcpy(copy, doc->p + at, run);
			replace(doc, gen_below(g, doc->n), 0, span_of(copy, run));
			break;
		}
		default:
			replace(doc, at, gen_below(g, 2), PICK(g, tokens));
		}
	}
}
