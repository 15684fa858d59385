/* vcard_test.c - the mapping between vCard elements and jabberd2's columns; dates as the modules read them.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "module/vcard.h"
#include "shardsm/datetime.h"

static struct buf text, out;
static struct value columns[VCARD_COLUMNS];

static void init(void)
{
	xml_thread_init();
	buf_init(&text);
	buf_init(&out);
}

static void fini(void)
{
	buf_free(&text);
	buf_free(&out);
}

TestSuite(vcard, .init = init, .fini = fini);

static struct xml_doc *parse(const char *content)
{
	struct buf b;
	struct xml_doc *doc;

	buf_init(&b);
	buf_fmt(&b, "<vCard xmlns='vcard-temp'>%s</vCard>", content);
	doc = xml_parse(buf_span(&b), NULL);
	cr_assert(doc);
	buf_free(&b);
	return doc;
}

static void read_columns(const char *content)
{
	struct xml_doc *doc = parse(content);

	buf_clear(&text);
	cr_assert(vcard_columns(xml_root(doc), &text, columns));
	xml_free(&doc);
}

static void expect_column(int column, const char *want)
{
	if (!want)
		cr_assert_eq(columns[column].kind, VALUE_NULL);
	else
		cr_assert(columns[column].kind == VALUE_TEXT && span_is(columns[column].s, want), "column %d is '" SPAN_FMT "'",
			column, SPAN_ARG(columns[column].s));
}

static void expect_written(const char *want)
{
	buf_clear(&out);
	vcard_write(&out, columns);
	cr_assert(span_is(buf_span(&out), want), SPAN_FMT, SPAN_ARG(buf_span(&out)));
}

/* Every column there and back, in the order in which jabberd2 gives them out. */
Test(vcard, every_column)
{
	static const char all[] =
		"<FN>1</FN><N><FAMILY>2</FAMILY><GIVEN>3</GIVEN><MIDDLE>4</MIDDLE><PREFIX>5</PREFIX><SUFFIX>6</SUFFIX></N>"
		"<NICKNAME>7</NICKNAME><PHOTO><TYPE>8</TYPE><BINVAL>9</BINVAL><EXTVAL>10</EXTVAL></PHOTO><BDAY>11</BDAY>"
		"<ADR><POBOX>12</POBOX><EXTADD>13</EXTADD><STREET>14</STREET><LOCALITY>15</LOCALITY><REGION>16</REGION>"
		"<PCODE>17</PCODE><CTRY>18</CTRY></ADR><TEL><NUMBER>19</NUMBER></TEL><EMAIL><USERID>20</USERID></EMAIL>"
		"<JABBERID>21</JABBERID><MAILER>22</MAILER><TZ>23</TZ><GEO><LAT>24</LAT><LON>25</LON></GEO><TITLE>26</TITLE>"
		"<ROLE>27</ROLE><LOGO><TYPE>28</TYPE><BINVAL>29</BINVAL><EXTVAL>30</EXTVAL></LOGO><AGENT><EXTVAL>31</EXTVAL></AGENT>"
		"<ORG><ORGNAME>32</ORGNAME><ORGUNIT>33</ORGUNIT></ORG><NOTE>34</NOTE><REV>35</REV><SORT-STRING>36</SORT-STRING>"
		"<SOUND><PHONETIC>37</PHONETIC><BINVAL>38</BINVAL><EXTVAL>39</EXTVAL></SOUND><UID>40</UID><URL>41</URL>"
		"<DESC>42</DESC><KEY><TYPE>43</TYPE><CRED>44</CRED></KEY>";
	char want[sizeof(all) + 64];

	read_columns(all);
	for (int i = 0; i < VCARD_COLUMNS; i++)
		cr_assert_eq(columns[i].kind, VALUE_TEXT, "column %d", i);
	expect_column(VCARD_FN, "1");
	expect_column(VCARD_ADR_COUNTRY, "18");
	expect_column(VCARD_ORG_ORGUNIT, "33");
	expect_column(VCARD_KEY_CRED, "44");
	snprintf(want, sizeof(want), "<vCard xmlns='vcard-temp'>%s</vCard>", all);
	expect_written(want);
}

Test(vcard, the_first_of_each)
{
	read_columns("<TEL><HOME/><NUMBER>1</NUMBER></TEL><TEL><NUMBER>2</NUMBER></TEL><ORG><ORGUNIT>a</ORGUNIT><ORGUNIT>b</ORGUNIT></ORG>"
		     "<FN xmlns='urn:other'>not this</FN><X/>");
	expect_column(VCARD_TEL, "1");
	expect_column(VCARD_ORG_ORGUNIT, "a");
	expect_column(VCARD_FN, NULL);
	/* P22: nobody said that it was a voice telephone. */
	expect_written("<vCard xmlns='vcard-temp'><TEL><NUMBER>1</NUMBER></TEL><ORG><ORGUNIT>a</ORGUNIT></ORG></vCard>");
}

Test(vcard, empty_is_absent)
{
	read_columns("<FN/><N><FAMILY></FAMILY></N><NICKNAME> </NICKNAME>");
	expect_column(VCARD_FN, NULL);
	expect_column(VCARD_N_FAMILY, NULL);
	expect_column(VCARD_NICKNAME, " ");
	read_columns("");
	expect_written("<vCard xmlns='vcard-temp'></vCard>");
}

Test(vcard, text_is_escaped_and_checked)
{
	read_columns("<FN>a &lt;b&gt; &amp; &quot;c&quot;</FN><NOTE><![CDATA[<x>]]></NOTE>");
	expect_column(VCARD_FN, "a <b> & \"c\"");
	expect_written("<vCard xmlns='vcard-temp'><FN>a &lt;b&gt; &amp; &quot;c&quot;</FN><NOTE>&lt;x&gt;</NOTE></vCard>");
	/* A row may hold what no document can. */
	columns[VCARD_FN] = value_text(SPAN("a\x01"));
	columns[VCARD_NOTE] = value_text(SPAN("\xff"));
	expect_written("<vCard xmlns='vcard-temp'></vCard>");
}

static const char *over(const char *content, uint32_t *limit)
{
	static const struct vcard_limits limits = { .field = 4, .avatar = 8 };
	static char name[64];
	struct xml_doc *doc = parse(content);
	const struct xml *e = vcard_over(xml_root(doc), &limits, &text, limit);

	snprintf(name, sizeof(name), SPAN_FMT, SPAN_ARG(e ? xml_local(e) : SPAN("none")));
	xml_free(&doc);
	return name;
}

Test(vcard, limits)
{
	uint32_t limit;

	cr_assert_str_eq(over("<FN>1234</FN><PHOTO><BINVAL>12345678</BINVAL></PHOTO>", &limit), "none");
	cr_assert_str_eq(over("<FN>12345</FN>", &limit), "FN");
	cr_assert_eq(limit, 4);
	cr_assert_str_eq(over("<PHOTO><BINVAL>123456789</BINVAL></PHOTO>", &limit), "BINVAL");
	cr_assert_eq(limit, 8);
	cr_assert_str_eq(over("<PHOTO><TYPE>12345</TYPE></PHOTO>", &limit), "TYPE");
	cr_assert_str_eq(over("<X><BINVAL>12345</BINVAL></X>", &limit), "BINVAL");
	cr_assert_str_eq(over("<TEL/><TEL><Y xmlns='urn:y'><Z>12345</Z></Y></TEL>", &limit), "Z");
}

static void expect_time(const char *s, int64_t want)
{
	int64_t t;

	cr_assert(datetime_read(span_str(s), &t), "%s", s);
	cr_assert_eq(t, want, "%s: %lld", s, (long long)t);
}

Test(datetime, good)
{
	expect_time("1970-01-01T00:00:00Z", 0);
	expect_time("2026-11-22T06:17:03Z", 1795328223);
	expect_time("2026-11-22T06:17:03.999999Z", 1795328223);
	expect_time("2026-11-22T07:47:03+01:30", 1795328223);
	expect_time("2026-11-21T22:17:03-08:00", 1795328223);
	expect_time("20261122T06:17:03", 1795328223);
	expect_time("2024-02-29T23:59:60Z", 1709251200);
}

Test(datetime, bad)
{
	static const char *const bad[] = { "", "2026", "2026-11-22", "2026-11-22T06:17:03", "2026-11-22T06:17Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+0100",
		"2026-01-01T00:00:00+24:00", "2026-01-01 00:00:00Z", " 2026-01-01T00:00:00Z", "20260101T00:00:00Z", "2026-0101T00:00:00Z",
		"-026-01-01T00:00:00Z" };
	int64_t t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(datetime_read(span_str(bad[i]), &t), "%s", bad[i]);
}
