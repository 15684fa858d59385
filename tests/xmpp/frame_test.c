/* frame_test.c - frames are cut where they end, whatever the reads, and nothing ill-formed is passed.
 * Threads: one.
 * Owns: what each test allocates.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/route.h"
#include "xmpp/scan.h"

#define HEADER "<?xml version='1.0'?><stream:stream xmlns:stream='" NS_STREAMS "' xmlns:ack='urn:ack' version='1.0' id='abc'>"
#define ROUTE "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'>"
#define MESSAGE ROUTE "<message xmlns='jabber:client' to='b@c'><body>it's > \xc3\xa9 ]] <![CDATA[ </route> ]]]]> &lt;</body></message></route>"
#define ADVERT "<presence xmlns='" NS_COMPONENT "' from=\"c2s/>\"  />"

/* What a link sees of a stream: one letter a result. */
struct seen {
	char results[64];
	uint32_t lens[64];
	unsigned n;
	const char *condition;
};

static void saw(struct seen *seen, enum route_result result, const struct route *route)
{
	static const char letters[] = { [ROUTE_OK] = 'f', [ROUTE_HEADER] = 'h', [ROUTE_CLOSE] = 'c', [ROUTE_BAD] = 'b' };

	cr_assert(seen->n < sizeof(seen->lens) / sizeof(*seen->lens));
	seen->results[seen->n] = result == ROUTE_OK && route->element == EL_REFUSED ? 'r' : letters[result];
	seen->lens[seen->n++] = result == ROUTE_OK ? route->len : 0;
}

/* Feeds a stream in reads of the given sizes (the last repeats), as a link does: unfinished bytes are kept and shown again. */
static struct seen feed(struct span stream, size_t first, size_t then, const struct route_limits *limits)
{
	struct route_scanner s;
	struct route route;
	struct seen seen = { .n = 0 };
	size_t at = 0, have = 0;

	route_scanner_init(&s, limits);
	while (have < stream.n) {
		have += have == 0 ? first : then;
		have = have < stream.n ? have : stream.n;
		for (;;) {
			/* A copy that ends where the bytes end: a sanitizer sees a read too far. */
			size_t n = have - at, used = 0;
			char *copy = malloc(n ? n : 1);
			cr_assert_not_null(copy);
			memcpy(copy, stream.p + at, n);
			enum route_result result = route_next(&s, copy, n, &route, &used);
			if (result == ROUTE_OK && route.element != EL_REFUSED)
				cr_assert(memcmp(copy + used - route.len, stream.p + at + used - route.len, route.len) == 0);
			free(copy);
			cr_assert(used <= n);
			at += used;
			if (result == ROUTE_MORE)
				break;
			saw(&seen, result, &route);
			seen.condition = s.condition;
			if (result == ROUTE_BAD)
				return seen;
		}
	}
	return seen;
}

static struct seen feed_whole(const char *stream)
{
	return feed(span_str(stream), strlen(stream), 1, NULL);
}

static void same(const struct seen *a, const struct seen *b, size_t first)
{
	cr_assert_str_eq(a->results, b->results, "first read of %zu", first);
	cr_assert(memcmp(a->lens, b->lens, sizeof(a->lens)) == 0, "first read of %zu", first);
}

static const char stream[] = HEADER "\n " MESSAGE MESSAGE " \r\n" ADVERT ROUTE "</route >" "<a b='1' c=\"'>\"/>" MESSAGE "\n</stream:stream >";

Test(frame, whole_stream)
{
	struct seen seen = feed_whole(stream);

	cr_expect_str_eq(seen.results, "hffffffc");
	cr_expect_eq(seen.lens[1], sizeof(MESSAGE) - 1);
	cr_expect_eq(seen.lens[3], sizeof(ADVERT) - 1);
}

Test(frame, every_split_gives_the_same_frames)
{
	struct seen whole = feed_whole(stream);

	for (size_t first = 1; first < sizeof(stream) - 1; first++) {
		struct seen two = feed(span_str(stream), first, sizeof(stream), NULL);
		same(&whole, &two, first);
	}
	for (size_t size = 1; size < 40; size++) {
		struct seen many = feed(span_str(stream), size, size, NULL);
		same(&whole, &many, size);
	}
}

Test(frame, ill_formed_is_never_passed_whatever_the_split)
{
	static const char *const frames[] = { ROUTE "<message></massage></route>", ROUTE "<a b='</route>", ROUTE "<!-- x --></route>", "<a>\xff</a>",
		"<a b='1'c='2'/>", "<a/ >", "<a>]]></a>" };

	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		char text[2000] = HEADER;
		strcat(strcat(text, frames[i]), "<a b='x'></a><c/>");
		size_t n = strlen(text);
		for (size_t size = 1; size <= n; size++) {
			struct seen seen = feed(span_of(text, n), size, size, NULL);
			cr_assert(seen.results[0] == 'h' && (seen.results[1] == 'b' || seen.results[1] == '\0'), "%s in reads of %zu: %s", frames[i],
				size, seen.results);
		}
	}
}

/* Work is counted in bytes looked at: time would say something about the machine. */
static uint64_t work_of(size_t body, size_t read)
{
	char *text = malloc(body + 1000);
	cr_assert_not_null(text);
	char *p = stpcpy(text, HEADER ROUTE "<message xmlns='jabber:client'><body>");
	memset(p, 'x', body);
	strcpy(p + body, "</body></message></route>");
	uint64_t before = scan_work;
	struct route_scanner s;
	struct route route;
	size_t at = 0, n = strlen(text), have = 0;
	unsigned frames = 0;
	route_scanner_init(&s, NULL);
	while (have < n) {
		have = have + read < n ? have + read : n;
		size_t used;
		enum route_result result;
		while ((result = route_next(&s, text + at, have - at, &route, &used)) == ROUTE_HEADER || result == ROUTE_OK) {
			frames += result == ROUTE_OK;
			at += used;
		}
		cr_assert_eq(result, ROUTE_MORE);
		at += used;
	}
	cr_assert_eq(frames, 1);
	free(text);
	return scan_work - before;
}

Test(frame, small_reads_cost_no_more_than_linear_work)
{
	for (size_t body = 1000; body <= 512000; body *= 8) {
		uint64_t limit = 3 * (body + 1000);
		cr_expect_leq(work_of(body, 1), limit);
		cr_expect_leq(work_of(body, 100), limit);
		cr_expect_leq(work_of(body, body + 1000), body + 1000, "one read, one pass");
	}
}

struct bad_stream {
	char text[600], condition[32];
};

ParameterizedTestParameters(frame, bad_streams)
{
	static struct bad_stream params[] = {
		{ "<route/>", "bad-format" },
		{ "hello", "bad-format" },
		{ "<stream:stream xmlns:stream='urn:other'>", "invalid-namespace" },
		{ "<stream:stream>", "not-well-formed" },
		{ "<stream:stream xmlns:stream='" NS_STREAMS "'/>", "bad-format" },
		{ "<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream xmlns:stream='" NS_STREAMS "'>", "unsupported-encoding" },
		{ "<?xml encoding='UTF-8'?><stream:stream xmlns:stream='" NS_STREAMS "'>", "not-well-formed" },
		{ "<?php x?><stream:stream xmlns:stream='" NS_STREAMS "'>", "restricted-xml" },
		{ "<!DOCTYPE a><stream:stream xmlns:stream='" NS_STREAMS "'>", "restricted-xml" },
		{ "\xfe\xff", "bad-format" },
		{ HEADER "text", "bad-format" },
		{ HEADER "</stream:other>", "not-well-formed" },
		{ HEADER "</other:stream>", "not-well-formed" },
		{ HEADER "<?xml version='1.0'?>", "restricted-xml" },
		{ HEADER "<!-- -->", "restricted-xml" },
		{ HEADER "<a><![INCLUDE[ ]]></a>", "restricted-xml" },
		{ HEADER "<a><b></a></b>", "not-well-formed" },
		{ HEADER "<a>&undefined;</a>", "not-well-formed" },
		{ HEADER "<unknown:a/>", "not-well-formed" },
	};
	return cr_make_param_array(struct bad_stream, params, sizeof(params) / sizeof(*params));
}

ParameterizedTest(struct bad_stream *p, frame, bad_streams)
{
	struct seen seen = feed_whole(p->text);

	cr_expect_eq(seen.results[seen.n - 1], 'b', "%s: %s", p->text, seen.results);
	cr_expect_str_eq(seen.condition, p->condition, "%s", p->text);
	seen = feed(span_str(p->text), 1, 1, NULL);
	cr_expect(seen.n && seen.results[seen.n - 1] == 'b', "byte by byte: %s: %s", p->text, seen.results);
}

Test(frame, prefixes_of_the_header_are_in_scope_at_the_top)
{
	cr_expect_str_eq(feed_whole(HEADER "<stream:features/><ack:r/><stream:error><ack:x ack:y='1'/></stream:error>").results, "hfff");
}

/* Its declaration would stay behind when the stanza is passed on, and the peer's parser would end the link. */
Test(frame, prefixes_of_the_header_inside_a_route_are_refused)
{
	cr_expect_str_eq(feed_whole(HEADER ROUTE "<message xmlns='jabber:client'><ack:r/></message></route>" MESSAGE).results, "hrf");
	cr_expect_str_eq(feed_whole(HEADER ROUTE "<message xmlns='jabber:client' ack:x='1'/></route>" MESSAGE).results, "hrf");
	cr_expect_str_eq(feed_whole(HEADER ROUTE "<message xmlns='jabber:client'><ack:r xmlns:ack='urn:a'/></message></route>").results, "hf");
}

Test(frame, a_frame_over_a_limit_is_refused_and_the_stream_goes_on)
{
	struct route_limits small = { .frame_bytes = 400, .depth = 4, .attributes = 3, .elements = 6 };
	char text[4000] = HEADER;

	strcat(text, MESSAGE "<a><b><c><d><e/></d></c></b></a>" MESSAGE "<a a='1' b='2' c='3' d='4'/>" MESSAGE "<a><b/><b/><b/><b/><b/><b/></a>" MESSAGE);
	for (size_t size = 1; size < strlen(text); size++)
		cr_assert_str_eq(feed(span_str(text), size, size, &small).results, "hfrfrfrf", "reads of %zu", size);
}

Test(frame, a_frame_too_long_is_refused_at_the_limit_and_skipped)
{
	struct route_limits small = { .frame_bytes = 400, .depth = 8, .attributes = 8, .elements = 100 };
	char text[4000] = HEADER MESSAGE ROUTE "<message xmlns='jabber:client'><body>";

	for (int i = 0; i < 100; i++)
		strcat(text, "<b x='>'>y</b>");
	strcat(text, "<![CDATA[</route>]]></body></message></route>" MESSAGE "</stream:stream>");
	for (size_t size = 1; size < strlen(text); size++) {
		struct seen seen = feed(span_str(text), size, size, &small);
		cr_assert_str_eq(seen.results, "hfrfc", "reads of %zu", size);
		cr_assert_eq(seen.lens[2], 400);
	}
}

Test(frame, a_refused_frame_tells_whom_to_bounce)
{
	static const char text[] = ROUTE "<message xmlns='jabber:client' xmlns:sc='" NS_SESSION "' sc:c2s='7' id='i1' to='b@c'><x><y/></x></message></route>";
	struct route_limits small = { .frame_bytes = 4000, .depth = 3, .attributes = 8, .elements = 100 };
	struct route_scanner s;
	struct route r;
	size_t used;

	route_scanner_init(&s, &small);
	cr_assert_eq(route_next(&s, HEADER, sizeof(HEADER) - 1, &r, &used), ROUTE_HEADER);
	cr_assert_eq(route_next(&s, text, sizeof(text) - 1, &r, &used), ROUTE_OK);
	cr_expect_eq(r.element, EL_REFUSED);
	cr_expect_str_eq(s.condition, "policy-violation");
	cr_expect_eq(r.payload, PL_MESSAGE);
	cr_expect(span_is(slice_of(text, r.from), "c2s"));
	cr_expect(span_is(slice_of(text, r.c2s), "7"));
	cr_expect(span_is(slice_of(text, r.id), "i1"));
}

Test(frame, header_is_read)
{
	static const char text[] = " \n<?xml version=\"1.0\" encoding='utf-8' standalone='yes'?>\n"
		"<x:stream xmlns='jabber:component:accept' xmlns:x='" NS_STREAMS "' to='echo.localhost' from='me' id='1' version='1.0'>";
	struct route_scanner s;
	struct stream_header h;
	struct route r;
	size_t used;

	route_scanner_init(&s, NULL);
	cr_assert_eq(route_next(&s, text, sizeof(text) - 1, &r, &used), ROUTE_HEADER);
	cr_assert_eq(used, sizeof(text) - 1);
	cr_assert(route_header(&s, text, used, &h));
	cr_expect(span_is(h.to, "echo.localhost"));
	cr_expect(span_is(h.from, "me"));
	cr_expect(span_is(h.id, "1"));
	cr_expect(span_is(h.version, "1.0"));
	cr_expect(span_is(h.xmlns, NS_ACCEPT));
	cr_expect(memcmp(s.prefixes, "x\0\0", 3) == 0);
	cr_assert_eq(route_next(&s, "</x:stream>", 11, &r, &used), ROUTE_CLOSE);
}

Test(frame, header_absent_fields_are_absent)
{
	static const char text[] = "<stream:stream xmlns:stream='" NS_STREAMS "'>";
	struct route_scanner s;
	struct stream_header h;

	route_scanner_init(&s, NULL);
	cr_assert(route_header(&s, text, sizeof(text) - 1, &h));
	cr_expect_null(h.to.p);
	cr_expect_null(h.xmlns.p);
}

Test(frame, a_header_without_end_is_not_waited_for)
{
	char text[9000] = "<stream:stream a='";
	memset(text + strlen(text), 'x', 8000);
	struct seen seen = feed(span_str(text), 10, 10, NULL);

	cr_expect_str_eq(seen.results, "b");
	cr_expect_str_eq(seen.condition, "policy-violation");
}

Test(frame, limits_are_kept_within_what_the_gate_can_hold)
{
	struct route_limits huge = { UINT32_MAX, UINT16_MAX, UINT16_MAX, UINT32_MAX };
	char *text = malloc(100000);
	cr_assert_not_null(text);
	char *p = stpcpy(text, HEADER);
	for (int i = 0; i < 2000; i++)
		p = stpcpy(p, "<a>");
	for (int i = 0; i < 2000; i++)
		p = stpcpy(p, "</a>");
	p = stpcpy(p, "<a");
	for (int i = 0; i < 2000; i++)
		p += sprintf(p, " a%d=''", i);
	stpcpy(p, "/>");
	cr_expect_str_eq(feed(span_str(text), 1000, 1000, &huge).results, "hrr");
	free(text);
}

Test(frame, documents_are_checked_alone)
{
	const char *error = "unset";

	cr_expect(route_check(NULL, SPAN("<vCard xmlns='vcard-temp'><FN>x</FN></vCard>"), &error));
	cr_expect_null(error);
	static const struct span bad[] = { SPAN(""), SPAN("x"), SPAN("<a>"), SPAN("<a/><b/>"), SPAN("<a/> "), SPAN(" <a/>"), SPAN("<p:a/>"), SPAN("<a>\xc3</a>"),
		SPAN("<a>cut \xc3"), SPAN("<?xml version='1.0'?><a/>"), SPAN("<a>\0</a>") };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error = NULL;
		cr_expect_not(route_check(NULL, bad[i], &error), "%zu", i);
		cr_expect_not_null(error);
	}
}

Test(frame, wide_scans_stop_where_narrow_ones_do)
{
	char text[200];

	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < 70; at++) {
			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			cr_assert_eq(scan_plain(text, text + 70), scan_run(text, text + 70, SC_PLAIN), "byte %u at %zu", c, at);
			cr_assert_eq(scan_text(text, text + 70), scan_run(text, text + 70, SC_TEXT), "byte %u at %zu", c, at);
		}
	}
}
