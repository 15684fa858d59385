/* xml_test.c - trees say what was parsed, and what is written from them says it again.
 * Threads: one.
 * Owns: what each test allocates.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "gen.h"
#include "oracle.h"
#include "shardsm/xml.h"

static struct xml_doc *parse(const char *text)
{
	struct xml_doc *doc = xml_parse(span_str(text), NULL);
	cr_assert_not_null(doc, "%s", text);
	return doc;
}

static void text_is(const struct xml *e, const char *want)
{
	struct buf b;

	buf_init(&b);
	xml_text(e, &b);
	cr_expect(span_is(buf_span(&b), want), "'%.*s'", SPAN_ARG(buf_span(&b)));
	buf_free(&b);
}

Test(xml, names_and_namespaces)
{
	struct xml_doc *doc = parse("<iq xmlns='jabber:client' xmlns:v='vcard-temp' type='get'><v:vCard><FN/><v:FN/></v:vCard><x xmlns=''/><xml:y/></iq>");
	struct xml *iq = xml_root(doc), *vcard = xml_child(iq, NULL, NULL);

	cr_expect(xml_is(iq, "jabber:client", "iq"));
	cr_expect(span_is(xml_attr(iq, "type"), "get"));
	cr_expect_null(xml_attr(iq, "id").p);
	cr_expect(xml_is(vcard, "vcard-temp", "vCard"));
	cr_expect(xml_is(xml_child(vcard, NULL, "FN"), "jabber:client", "FN"));
	cr_expect(xml_is(xml_child(vcard, "vcard-temp", "FN"), "vcard-temp", NULL));
	cr_expect_eq(xml_child(iq, "", NULL), xml_next(vcard, NULL, NULL));
	cr_expect(xml_is(xml_child(iq, NULL, "y"), "http://www.w3.org/XML/1998/namespace", "y"));
	cr_expect_null(xml_child(iq, "vcard-temp", "FN"));
	cr_expect_null(xml_next(vcard, "vcard-temp", NULL));
	xml_free(&doc);
	cr_expect_null(doc);
}

Test(xml, an_inherited_namespace)
{
	struct xml_doc *doc = xml_parse(SPAN("<a><b xmlns='n'/></a>"), "around");

	cr_assert_not_null(doc);
	cr_expect(xml_is(xml_root(doc), "around", "a"));
	cr_expect(xml_is(xml_child(xml_root(doc), NULL, NULL), "n", "b"));
	xml_free(&doc);
}

Test(xml, prefixes_from_outside_are_tolerated)
{
	struct xml_doc *doc = parse("<stream:features><mechanisms xmlns='" NS_SASL "'/></stream:features>");

	cr_expect(xml_is(xml_root(doc), "", "features"));
	cr_expect_not_null(xml_child(xml_root(doc), NS_SASL, "mechanisms"));
	struct buf b;
	buf_init(&b);
	xml_write(&b, xml_root(doc), NULL, NULL);
	cr_expect(b.failed, "written, nobody could read it");
	buf_free(&b);
	xml_free(&doc);
}

Test(xml, text_as_it_was_meant)
{
	struct xml_doc *doc = parse("<a b=' x&#10;&amp;\xef\xbb\xbf\r\n\ty '> <![CDATA[<&>]]]]>&gt;\r\nx\ry\xef\xbb\xbf&#xfeff;"
		"&#000000000000000000000000000000000000000000000000000000000000000000000000065;<b>no</b> end&#13;</a>");

	cr_expect(span_is(xml_attr(xml_root(doc), "b"), " x\n&\xef\xbb\xbf  y "));
	text_is(xml_root(doc), " <&>]]>\nx\ny\xef\xbb\xbf\xef\xbb\xbf" "A end\r");
	struct buf b;
	buf_init(&b);
	cr_expect(xml_child_text(xml_root(doc), NULL, "b", &b));
	cr_expect(span_is(buf_span(&b), "no"));
	cr_expect_not(xml_child_text(xml_root(doc), NULL, "c", &b));
	buf_free(&b);
	xml_free(&doc);
}

/* mini-XML would make documents of all of these. */
Test(xml, what_the_gate_refuses_is_no_document)
{
	static const struct span bad[] = { SPAN("<iq type='set'><a/>\x80<b/></iq>"), SPAN("<message to='x'>hello"), SPAN("<a></a"), SPAN("<a/></b>"),
		SPAN("<a/>\0<b/>"), SPAN("<a>\0</a>"), SPAN("</\x01>"), SPAN("<a></b junk></a>"), SPAN("<a><></a>"), SPAN("<a b=c/>"), SPAN(""), SPAN("<!--x--><a/>"),
		SPAN("<?xml version='1.0'?><a/>"), SPAN("<route to='sm'") };
	uint64_t before = xml_mismatches();

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct xml_doc *doc = xml_parse(bad[i], NULL);
		cr_expect_null(doc, "%zu", i);
		xml_free(&doc);
	}
	cr_expect_eq(xml_mismatches() - before, sizeof(bad) / sizeof(*bad));
}

static void writes(const char *text, const char *around, const char *skip, const char *want)
{
	struct xml_doc *doc = parse(text);
	struct buf b;

	buf_init(&b);
	xml_write(&b, xml_child(xml_root(doc), NULL, NULL), around, skip);
	cr_expect(span_is(buf_span(&b), want), "%.*s", SPAN_ARG(buf_span(&b)));
	buf_free(&b);
	xml_free(&doc);
}

Test(xml, written_alone)
{
	writes("<a xmlns='n'><b c='1'>x</b></a>", NULL, NULL, "<b xmlns='n' c='1'>x</b>");
	writes("<a xmlns='n'><b c='1'>x</b></a>", "n", NULL, "<b c='1'>x</b>");
	writes("<a><b/></a>", "n", NULL, "<b xmlns=''/>");
	writes("<a xmlns='n'><b xmlns='m'/></a>", "m", NULL, "<b/>");
	writes("<a xmlns:p='u' xmlns:q='v'><p:b/></a>", NULL, NULL, "<p:b xmlns:p='u'/>");
	writes("<a xmlns:p='u'><b><c p:d='1'/></b></a>", NULL, NULL, "<b xmlns:p='u'><c p:d='1'/></b>");
	writes("<a xmlns:p='u'><b xmlns:p='v'><p:c/></b></a>", NULL, NULL, "<b xmlns:p='v'><p:c/></b>");
	writes("<a><b c='&apos;&#10;&lt;'>&amp;&gt;</b></a>", NULL, NULL, "<b c='&apos;&#10;&lt;'>&amp;&gt;</b>");
}

Test(xml, written_without_a_namespace)
{
	writes("<r><m xmlns='n' xmlns:s='u' s:c='1' d='2'><x/></m></r>", "n", "u", "<m d='2'><x/></m>");
	writes("<r xmlns:s='u'><m s:c='1' d='2'/></r>", NULL, "u", "<m d='2'/>");
	writes("<r><m xmlns:s='u' s:c='1'><s:x s:y='1'/></m></r>", NULL, "u", "<m xmlns:s='u'><s:x/></m>");
}

/* Parsed, written and parsed again by somebody else, it means what it meant. */
Test(xml, a_tree_is_the_infoset)
{
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct gen g = { seed * 104729 };
		struct buf doc, out, want, got;
		buf_init(&doc), buf_init(&out), buf_init(&want), buf_init(&got);
		gen_frame(&g, gen_one_in(&g, 2), &doc);
		struct xml_doc *tree = xml_parse(buf_span(&doc), "around");
		cr_assert_not_null(tree, "%.*s", SPAN_ARG(buf_span(&doc)));
		xml_write(&out, xml_root(tree), NULL, NULL);
		cr_assert_not(out.failed);
		cr_assert(route_check(NULL, buf_span(&out), NULL), "%.*s", SPAN_ARG(buf_span(&out)));
		cr_assert(oracle_digest(buf_span(&doc), "around", 1, &want));
		cr_assert(oracle_digest(buf_span(&out), NULL, 1, &got));
		cr_assert(span_eq(buf_span(&want), buf_span(&got)), "seed %llu: %.*s\n%.*s", (unsigned long long)seed, SPAN_ARG(buf_span(&want)),
			SPAN_ARG(buf_span(&got)));
		xml_free(&tree);
		buf_free(&doc), buf_free(&out), buf_free(&want), buf_free(&got);
	}
}

/* What a glance says is what the tree says; where it does not know, it says so. */
static void glance_is(const char *content, enum glance want)
{
	struct buf whole, text;
	struct span seen = { 0 };
	struct xml_doc *doc;

	buf_init(&whole);
	buf_init(&text);
	buf_fmt(&whole, "<presence xmlns='jabber:client' xmlns:c='jabber:client' xmlns:o='other'>%s</presence>", content);
	doc = xml_parse(buf_span(&whole), NULL);
	cr_assert_not_null(doc, "%s", content);
	bool found = xml_child_text(xml_root(doc), "jabber:client", "show", &text);
	enum glance got = xml_glance(span_str(content), "show", &seen);

	cr_expect_eq(got, want, "%s: %d", content, (int)got);
	if (got != GLANCE_UNSURE)
		cr_expect_eq(got == GLANCE_FOUND, found, "%s", content);
	if (got == GLANCE_FOUND)
		cr_expect(span_eq(seen, buf_span(&text)), "%s: '%.*s'", content, SPAN_ARG(seen));
	xml_free(&doc);
	buf_free(&whole);
	buf_free(&text);
}

Test(xml, glance)
{
	static const struct { const char *content; enum glance says; } cases[] = {
		{ "", GLANCE_ABSENT }, { "text", GLANCE_ABSENT }, { "<status>gone</status>", GLANCE_ABSENT },
		{ "<show>away</show>", GLANCE_FOUND }, { "<show/>", GLANCE_FOUND }, { "<show></show>", GLANCE_FOUND },
		{ " <status>show</status>\n<show>xa</show><show>dnd</show>", GLANCE_FOUND },
		{ "<status>&lt;show></status>", GLANCE_ABSENT }, { "<a show='x'/>", GLANCE_ABSENT }, { "<shows>xa</shows>", GLANCE_ABSENT },
		{ "<a b='/>'><show>xa</show></a>", GLANCE_ABSENT }, { "<a b='>'/><show>xa</show>", GLANCE_FOUND },
		{ "<a b=\"'\"/><show>xa</show><c d='\"'/>", GLANCE_FOUND }, { "<a><b/></a><show>xa</show>", GLANCE_FOUND },
		{ "<a xmlns='other'><show>xa</show></a>", GLANCE_ABSENT }, { "<a><show>xa</show></a><show>dnd</show>", GLANCE_FOUND },
		{ "<a></a ><show>xa</show>", GLANCE_FOUND }, { "<a\n/><show>xa</show >", GLANCE_FOUND },
		{ "<show xmlns='other'>xa</show>", GLANCE_UNSURE }, { "<show xmlns='jabber:client'>xa</show>", GLANCE_UNSURE },
		{ "<show >xa</show>", GLANCE_UNSURE }, { "<c:show>xa</c:show>", GLANCE_UNSURE }, { "<o:show>xa</o:show>", GLANCE_UNSURE },
		{ "<show>x<b/>a</show>", GLANCE_UNSURE }, { "<show>x&amp;a</show>", GLANCE_UNSURE }, { "<show>\xc3\xa9</show>", GLANCE_UNSURE },
		{ "<show>\nxa</show>", GLANCE_UNSURE }, { "<show><![CDATA[xa]]></show>", GLANCE_UNSURE },
		{ "<![CDATA[<show>]]><show>xa</show>", GLANCE_UNSURE }, { "<a><![CDATA[</a>]]></a><show>xa</show>", GLANCE_UNSURE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		glance_is(cases[i].content, cases[i].says);
}
