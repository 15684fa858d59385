/* buf_test.c - what is written is escaped, and nothing half-written is taken for whole.
 * Threads: one.
 * Owns: what each test allocates.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "shardsm/buf.h"
#include "shardsm/stanza_error.h"

static void holds(struct buf *b, const char *want)
{
	cr_expect_not(b->failed);
	cr_expect(span_is(buf_span(b), want), "%.*s", SPAN_ARG(buf_span(b)));
	buf_free(b);
	buf_init(b);
}

Test(buf, text_is_escaped)
{
	struct buf b;

	buf_init(&b);
	buf_text(&b, SPAN("a<b>&'\"\tc\nd\re]]> and some more, longer than one block & so on"));
	holds(&b, "a&lt;b&gt;&amp;&apos;&quot;\tc\nd&#13;e]]&gt; and some more, longer than one block &amp; so on");
	buf_attr(&b, "n", SPAN("\t\n\r'"));
	holds(&b, " n='&#9;&#10;&#13;&apos;'");
}

Test(buf, ill_formed_bytes_are_replaced)
{
	struct buf b;

	buf_init(&b);
	buf_text(&b, SPAN("\xc3\xa9\x01\xff\xed\xa0\x80z\xc3"));
	holds(&b, "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd");
}

Test(buf, numbers)
{
	struct buf b;

	buf_init(&b);
	buf_uint(&b, UINT64_MAX);
	holds(&b, "18446744073709551615");
	buf_int(&b, INT64_MIN);
	holds(&b, "-9223372036854775808");
	buf_fmt(&b, "%d-%s", 7, "x");
	holds(&b, "7-x");
}

Test(buf, times_are_the_calendar_s)
{
	static const int64_t more[] = { 0, -1, 951782400, 951868799, 951868800, 1795328223, 4107542399, 253402300799, -62135596800 };
	struct buf b;

	buf_init(&b);
	for (int64_t i = 0; i < 2000; i++) {
		time_t t = (time_t)(i < 9 ? more[i] : i * 86400 * 37 - 86400 * 365 + i * 1009);
		char want[64];
		struct tm tm;
		gmtime_r(&t, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		buf_utc(&b, t);
		holds(&b, want);
	}
}

Test(buf, what_does_not_fit_fails_and_stays_failed)
{
	struct buf b;

	buf_init(&b);
	buf_str(&b, "x");
	cr_expect_not(buf_grow(&b, SIZE_MAX));
	cr_expect_not(buf_grow(&b, UINT32_MAX));
	buf_str(&b, "y");
	cr_expect(b.failed);
	cr_expect_eq(b.n, 1);
	buf_clear(&b);
	buf_str(&b, "z");
	holds(&b, "z");
}

Test(stanza_error, written)
{
	struct buf b;

	buf_init(&b);
	stanza_error_write(&b, SE_FORBIDDEN, NULL);
	holds(&b, "<error code='403' type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
	stanza_error_write(&b, SE_RESOURCE_CONSTRAINT, "a < b");
	holds(&b, "<error code='500' type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
		"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a &lt; b</text></error>");
}

/* The table of jabberd2's sm. */
Test(stanza_error, types_and_codes)
{
	static const struct {
		enum stanza_condition c;
		struct stanza_error e;
	} table[] = {
		{ SE_BAD_REQUEST, { "bad-request", "modify", 400 } }, { SE_CONFLICT, { "conflict", "cancel", 409 } },
		{ SE_FEATURE_NOT_IMPLEMENTED, { "feature-not-implemented", "cancel", 501 } }, { SE_FORBIDDEN, { "forbidden", "auth", 403 } },
		{ SE_GONE, { "gone", "modify", 302 } }, { SE_INTERNAL_SERVER_ERROR, { "internal-server-error", "wait", 500 } },
		{ SE_ITEM_NOT_FOUND, { "item-not-found", "cancel", 404 } }, { SE_JID_MALFORMED, { "jid-malformed", "modify", 400 } },
		{ SE_NOT_ACCEPTABLE, { "not-acceptable", "cancel", 406 } }, { SE_NOT_ALLOWED, { "not-allowed", "cancel", 405 } },
		{ SE_RECIPIENT_UNAVAILABLE, { "recipient-unavailable", "wait", 404 } }, { SE_REGISTRATION_REQUIRED, { "registration-required", "auth", 407 } },
		{ SE_REMOTE_SERVER_NOT_FOUND, { "remote-server-not-found", "cancel", 404 } },
		{ SE_REMOTE_SERVER_TIMEOUT, { "remote-server-timeout", "wait", 502 } }, { SE_RESOURCE_CONSTRAINT, { "resource-constraint", "wait", 500 } },
		{ SE_SERVICE_UNAVAILABLE, { "service-unavailable", "cancel", 503 } },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct stanza_error *e = stanza_error(table[i].c);
		cr_expect_str_eq(e->condition, table[i].e.condition);
		cr_expect_str_eq(e->type, table[i].e.type);
		cr_expect_eq(e->code, table[i].e.code, "%s", e->condition);
	}
	for (int c = 0; c < SE_CONDITIONS; c++)
		cr_expect(stanza_error((enum stanza_condition)c)->condition && stanza_error((enum stanza_condition)c)->code, "%d", c);
	cr_expect_str_eq(stanza_error(SE_CONDITIONS)->condition, "undefined-condition");
}

Test(stanza_error, of_routes)
{
	static const struct {
		unsigned code;
		enum stanza_condition c;
	} table[] = { { 400, SE_BAD_REQUEST }, { 401, SE_FORBIDDEN }, { 403, SE_FORBIDDEN }, { 404, SE_ITEM_NOT_FOUND }, { 405, SE_NOT_ALLOWED },
		{ 406, SE_NOT_ACCEPTABLE }, { 409, SE_CONFLICT }, { 500, SE_INTERNAL_SERVER_ERROR }, { 501, SE_FEATURE_NOT_IMPLEMENTED },
		{ 502, SE_REMOTE_SERVER_TIMEOUT }, { 503, SE_SERVICE_UNAVAILABLE }, { 0, SE_REMOTE_SERVER_NOT_FOUND }, { 999, SE_REMOTE_SERVER_NOT_FOUND } };

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		cr_expect_eq(stanza_error_of_route(table[i].code), table[i].c, "%u", table[i].code);
}
