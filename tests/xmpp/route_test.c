/* route_test.c - each field of the envelope.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>

#include "shardsm/route.h"

#define HEADER "<stream:stream xmlns:stream='" NS_STREAMS "'>"
#define IN_ROUTE(payload) "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'>" payload "</route>"
#define SC " xmlns:sc='" NS_SESSION "'"

struct read {
	struct route r;
	char frame[8192]; /* and the extra bytes behind it */
};

/* The frame as a caller gets to see it: read by mini-XML where the scanner asks for it. */
static struct read *read_on(struct read *rd, const char *frame, bool accept, bool mxml)
{
	struct route_scanner s;
	size_t used, n = strlen(frame);

	route_scanner_init(&s, NULL);
	cr_assert_eq(route_next(&s, HEADER, sizeof(HEADER) - 1, &rd->r, &used), ROUTE_HEADER);
	s.accept = accept;
	s.mxml = mxml;
	memcpy(rd->frame, frame, n);
	cr_assert_eq(route_next(&s, rd->frame, n, &rd->r, &used), ROUTE_OK, "%s", s.error);
	cr_assert_eq(used, n);
	cr_assert_eq(!!(rd->r.flags & ROUTE_ODD), mxml || (rd->r.flags & ROUTE_ODD));
	if (rd->r.flags & ROUTE_ODD)
		cr_assert(route_mxml(&rd->r, rd->frame, rd->frame + n, sizeof(rd->frame) - n));
	return rd;
}

static struct read room;

static struct read *scan(const char *frame)
{
	read_on(&room, frame, false, false);
	cr_assert_eq(room.r.extra, 0, "the scanner did not understand it");
	return &room;
}

static struct read *odd(const char *frame)
{
	read_on(&room, frame, false, false);
	cr_assert_neq(room.r.extra, 0, "the scanner was sure of it");
	return &room;
}

#define IS(rd, field, text) cr_expect(span_is(slice_of((rd)->frame, (rd)->r.field), text), #field " is '%.*s'", \
	(int)(rd)->r.field.len, (rd)->frame + (rd)->r.field.off)
#define ABSENT(rd, field) cr_expect((rd)->r.field.off == 0 && (rd)->r.field.len == 0, #field)

static void attrs_are(const struct read *rd, const char *want)
{
	char got[2000] = "";

	for (unsigned i = 0; i < rd->r.nattrs; i++) {
		const struct route_attr *a = &rd->r.attrs[i];
		char q[] = { a->quote, 0 };
		strcat(got, " ");
		strncat(got, rd->frame + a->name.off, a->name.len);
		strcat(strcat(got, "="), q);
		strncat(got, rd->frame + a->value.off, a->value.len);
		strcat(got, q);
	}
	cr_expect_str_eq(got, want);
}

Test(route, a_message)
{
	struct read *rd = scan(IN_ROUTE("<message xmlns='jabber:client'" SC " type='chat' to='bob@localhost/b' from='eve@x' id='4f4a' xml:lang=\"en\""
		" sc:c2s='11' sc:sm='1bd2'><body>hi bob</body></message>"));

	cr_expect_eq(rd->r.element, EL_ROUTE);
	cr_expect_eq(rd->r.type, RT_UNICAST);
	cr_expect_eq(rd->r.error, 0);
	cr_expect_eq(rd->r.payload, PL_MESSAGE);
	cr_expect_eq(rd->r.flags, ROUTE_TO | ROUTE_HAS_C2S | ROUTE_HAS_SM);
	IS(rd, to, "sm");
	IS(rd, from, "c2s");
	IS(rd, tag, "message");
	IS(rd, content, "<body>hi bob</body>");
	IS(rd, child, "body");
	ABSENT(rd, child_ns);
	IS(rd, session_prefix, "sc");
	IS(rd, stanza_to, "bob@localhost/b");
	IS(rd, stanza_from, "eve@x");
	IS(rd, stanza_type, "chat");
	IS(rd, id, "4f4a");
	IS(rd, c2s, "11");
	IS(rd, sm, "1bd2");
	ABSENT(rd, action);
	ABSENT(rd, target);
	ABSENT(rd, name);
	cr_expect_eq(rd->frame[rd->r.start.off], '<');
	cr_expect_eq(rd->r.start.off + rd->r.start.len, rd->r.content.off);
	attrs_are(rd, " type='chat' id='4f4a' xml:lang=\"en\"");
}

Test(route, a_session_element)
{
	struct read *rd = scan(IN_ROUTE("<sm:session xmlns:sm='" NS_SESSION "' sm:c2s='5' sm:sm='2' sm:failed='1' action='start' target='rob@c.cx/e' id='1'/>"));

	cr_expect_eq(rd->r.payload, PL_SESSION);
	cr_expect_eq(rd->r.flags, ROUTE_ENDS_EMPTY | ROUTE_FAILED | ROUTE_HAS_C2S | ROUTE_HAS_SM);
	IS(rd, tag, "sm:session");
	IS(rd, action, "start");
	IS(rd, target, "rob@c.cx/e");
	IS(rd, session_prefix, "sm");
	IS(rd, content, "");
	attrs_are(rd, " action='start' target='rob@c.cx/e' id='1'");
	rd = scan(IN_ROUTE("<x:sessions xmlns:x='" NS_SESSION "' action='delete'></x:sessions>"));
	cr_expect_eq(rd->r.payload, PL_SESSIONS);
	cr_expect_eq(rd->r.flags, 0);
	rd = scan(IN_ROUTE("<session xmlns='" NS_SESSION "' action='delete'></session>"));
	cr_expect_eq(rd->r.payload, PL_SESSION);
	ABSENT(rd, session_prefix);
}

Test(route, empty_is_not_absent)
{
	struct read *rd = scan(IN_ROUTE("<message xmlns='jabber:client'" SC " to='' sc:c2s=''><x xmlns=''/></message>"));

	cr_expect_eq(rd->r.flags, ROUTE_TO | ROUTE_HAS_C2S | ROUTE_DECLARES);
	cr_expect_neq(rd->r.stanza_to.off, 0);
	cr_expect_neq(rd->r.c2s.off, 0);
	cr_expect_neq(rd->r.child_ns.off, 0, "the child is in no namespace, not in the payload's");
	ABSENT(rd, sm);
	ABSENT(rd, id);
}

Test(route, payload_kinds)
{
	static const struct {
		const char *frame;
		enum payload payload;
	} cases[] = {
		{ IN_ROUTE("<presence xmlns='jabber:client'/>"), PL_PRESENCE },
		{ IN_ROUTE("<iq xmlns='jabber:client'/>"), PL_IQ },
		{ IN_ROUTE("<other xmlns='jabber:client'/>"), PL_CLIENT },
		{ IN_ROUTE("<message/>"), PL_OTHER },
		{ IN_ROUTE("<message xmlns='jabber:server'/>"), PL_OTHER },
		{ IN_ROUTE("<s:other xmlns:s='" NS_SESSION "'/>"), PL_OTHER },
		{ IN_ROUTE("text &amp; <![CDATA[<x>]]>"), PL_NONE },
		{ "<route xmlns='" NS_COMPONENT "'/>", PL_NONE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_eq(read_on(&room, cases[i].frame, false, false)->r.payload, cases[i].payload, "%s", cases[i].frame);
}

Test(route, only_the_first_payload_counts)
{
	struct read *rd = scan(IN_ROUTE("<message xmlns='jabber:client' to='a'/><iq xmlns='jabber:client' to='b'><q xmlns='n'/></iq>"));

	cr_expect_eq(rd->r.payload, PL_MESSAGE);
	IS(rd, stanza_to, "a");
	ABSENT(rd, child);
	rd = scan(IN_ROUTE("<message xmlns='jabber:client' to='a'>x</message><iq xmlns='jabber:client' to='b'><q xmlns='n'/></iq>"));
	IS(rd, content, "x");
	ABSENT(rd, child);
}

Test(route, first_child_tells_the_request)
{
	struct read *rd = scan(IN_ROUTE("<iq xmlns='jabber:client' type='get'> &lt; <query xmlns='jabber:iq:roster' ver=''/><b xmlns='c'/></iq>"));
	IS(rd, child, "query");
	IS(rd, child_ns, "jabber:iq:roster");
	rd = scan(IN_ROUTE("<iq xmlns='jabber:client' xmlns:v='vcard-temp'><v:vCard><v:FN/></v:vCard></iq>"));
	IS(rd, child, "vCard");
	IS(rd, child_ns, "vcard-temp");
	rd = odd(IN_ROUTE("<iq xmlns='jabber:client'><query xmlns='jabber:iq&#58;roster'/></iq>"));
	IS(rd, child_ns, "jabber:iq:roster");
}

Test(route, errors)
{
	static const struct {
		const char *value;
		unsigned error;
	} cases[] = { { "404", 404 }, { "400", 400 }, { "", 500 }, { "0", 500 }, { "x", 500 }, { "404x", 500 }, { "99999999999", 500 }, { "65536", 500 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char frame[300] = "<route xmlns='" NS_COMPONENT "' error='";
		strcat(strcat(frame, cases[i].value), "'><iq xmlns='jabber:client'/></route>");
		cr_expect_eq(scan(frame)->r.error, cases[i].error, "%s", cases[i].value);
	}
}

Test(route, types)
{
	cr_expect_eq(scan("<route xmlns='" NS_COMPONENT "' type='broadcast'/>")->r.type, RT_BROADCAST);
	cr_expect_eq(scan("<route xmlns='" NS_COMPONENT "' type='log'/>")->r.type, RT_LOG);
	cr_expect_eq(scan("<route xmlns='" NS_COMPONENT "' type='x'/>")->r.type, RT_OTHER);
	cr_expect_eq(odd("<route xmlns='" NS_COMPONENT "' to='sm' type='l&#111;g'/>")->r.type, RT_LOG);
}

Test(route, component_elements)
{
	struct read *rd = scan("<bind xmlns='" NS_COMPONENT "' multi='to' name='localhost'><log/><default/></bind>");
	cr_expect_eq(rd->r.element, EL_BIND);
	cr_expect_eq(rd->r.flags, ROUTE_MULTI | ROUTE_LOG | ROUTE_DEFAULT);
	IS(rd, name, "localhost");
	rd = scan("<bind xmlns='" NS_COMPONENT "' multi='from' name='x'><default xmlns='other'/><a><log/></a></bind>");
	cr_expect_eq(rd->r.flags, 0);
	rd = scan("<bind xmlns='" NS_COMPONENT "' error='409'/>");
	cr_expect_eq(rd->r.error, 409);
	rd = odd("<c:bind xmlns:c='" NS_COMPONENT "' name='x'><default/><c:log/></c:bind>");
	cr_expect_eq(rd->r.flags, ROUTE_LOG);
	cr_expect_eq(scan("<unbind xmlns='" NS_COMPONENT "' name='x'/>")->r.element, EL_UNBIND);
	cr_expect_eq(scan("<throttle xmlns='" NS_COMPONENT "'/>")->r.element, EL_THROTTLE);
	rd = scan("<presence xmlns='" NS_COMPONENT "' from='c2s'/>");
	cr_expect_eq(rd->r.element, EL_ADVERT);
	ABSENT(rd, stanza_type);
	rd = scan("<presence xmlns='" NS_COMPONENT "' from='c2s' type='unavailable'/>");
	IS(rd, stanza_type, "unavailable");
	IS(rd, from, "c2s");
	cr_expect_eq(scan("<route to='sm'/>")->r.element, EL_OTHER);
	cr_expect_eq(scan("<huh xmlns='" NS_COMPONENT "'/>")->r.element, EL_OTHER);
}

Test(route, declarations_in_the_content_are_told)
{
	cr_expect_not(scan(IN_ROUTE("<message xmlns='jabber:client' xmlns:a='b'><x><a:y/></x></message><x xmlns='b'/>"))->r.flags & ROUTE_DECLARES);
	cr_expect(scan(IN_ROUTE("<message xmlns='jabber:client'><x><y xmlns:a='b'/></x></message>"))->r.flags & ROUTE_DECLARES);
	cr_expect(scan(IN_ROUTE("<message xmlns='jabber:client'><x/><y xmlns='b'/></message>"))->r.flags & ROUTE_DECLARES);
}

Test(route, the_session_prefix_in_the_content_is_told)
{
	cr_expect(scan(IN_ROUTE("<message xmlns='jabber:client'" SC " sc:sm='1'><sc:x/></message>"))->r.flags & ROUTE_SESSION_PREFIX);
	cr_expect(scan(IN_ROUTE("<message xmlns='jabber:client'" SC " sc:sm='1'><x><y sc:a='1'/></x></message>"))->r.flags & ROUTE_SESSION_PREFIX);
	cr_expect_not(scan(IN_ROUTE("<message xmlns='jabber:client'" SC " sc:sm='1'><x" SC "><sc:y/></x></message>"))->r.flags & ROUTE_SESSION_PREFIX);
	cr_expect_not(scan(IN_ROUTE("<message xmlns='jabber:client'" SC " sc:sm='1'><sc:x xmlns:sc='y'/></message>"))->r.flags & ROUTE_SESSION_PREFIX);
}

Test(route, values_are_decoded)
{
	struct read *rd = odd(IN_ROUTE("<message xmlns='jabber:client'" SC " to='o&apos;neill@x' from='&#97;' type='&#x63;hat' sc:c2s='&lt;' id=\"it's\"/>"));

	IS(rd, stanza_to, "o'neill@x");
	IS(rd, stanza_from, "a");
	IS(rd, stanza_type, "chat");
	IS(rd, c2s, "<");
	IS(rd, id, "it&apos;s");
	attrs_are(rd, " type='chat' id='it&apos;s'");
}

Test(route, declarations_of_the_route_follow_the_content_that_needs_them)
{
	struct read *rd = odd("<route xmlns='" NS_COMPONENT "' xmlns:p='urn:p' xmlns:q='urn:q' xmlns:r='urn:r'" SC ">"
		"<message xmlns='jabber:client' xmlns:r='urn:mine' sc:c2s='1'><p:x/><r:y/></message></route>");

	attrs_are(rd, " xmlns:r='urn:mine' xmlns:p='urn:p'");
	IS(rd, session_prefix, "sc");
	IS(rd, c2s, "1");
	cr_expect_not(rd->r.flags & ROUTE_SESSION_PREFIX);
}

Test(route, more_attributes_than_fit_run_together)
{
	char frame[2000] = "<route xmlns='" NS_COMPONENT "'><message xmlns='jabber:client'", want[1000] = "";
	for (char c = 'a'; c < 'a' + ROUTE_ATTRS + 4; c++) {
		char one[] = { ' ', 'x', c, '=', '\'', c, '\'', 0 };
		strcat(frame, one);
		strcat(want, one);
	}
	strcat(frame, " id='7'/></route>");
	strcat(want, " id='7'");
	struct read *rd = odd(frame);

	cr_expect_eq(rd->r.nattrs, ROUTE_ATTRS);
	attrs_are(rd, want);
	IS(rd, id, "7");
}

Test(route, a_payload_under_a_prefix)
{
	struct read *rd = odd(IN_ROUTE("<c:message xmlns:c='jabber:client' to='b@c'><c:body>x</c:body></c:message>"));

	cr_expect_eq(rd->r.payload, PL_MESSAGE);
	IS(rd, tag, "c:message");
	IS(rd, child, "body");
	IS(rd, child_ns, "jabber:client");
	IS(rd, content, "<c:body>x</c:body>");
	attrs_are(rd, " xmlns:c='jabber:client'");
	read_on(&room, IN_ROUTE("<c:message xmlns:c='jabber:client' xmlns='urn:x' to='b@c'><body/></c:message>"), false, false);
	cr_expect_eq(room.r.element, EL_REFUSED, "its content would come to stand in another namespace");
}

Test(route, two_session_prefixes)
{
	struct read *rd = odd(IN_ROUTE("<message xmlns='jabber:client' xmlns:a='" NS_SESSION "' xmlns:b='" NS_SESSION "' a:c2s='1' b:sm='2'><b:x/></message>"));

	IS(rd, session_prefix, "a");
	IS(rd, c2s, "1");
	IS(rd, sm, "2");
	attrs_are(rd, " xmlns:b='" NS_SESSION "'");
}

Test(route, bare_stanzas_of_components)
{
	struct read *rd = read_on(&room, "<message to='bob@localhost' from='echo.localhost' id='1'" SC " sc:c2s='1'><body>x</body></message>", true, false);

	cr_expect_eq(rd->r.element, EL_STANZA);
	cr_expect_eq(rd->r.payload, PL_MESSAGE);
	cr_expect_eq(rd->r.flags, ROUTE_TO, "a component speaks for no session");
	IS(rd, to, "bob@localhost");
	IS(rd, stanza_from, "echo.localhost");
	IS(rd, child, "body");
	attrs_are(rd, " id='1'");
	cr_expect_eq(read_on(&room, "<iq xmlns='jabber:client' type='get'/>", true, false)->r.element, EL_STANZA);
	cr_expect_eq(read_on(&room, "<handshake>x</handshake>", true, false)->r.element, EL_OTHER);
	cr_expect_eq(read_on(&room, IN_ROUTE("<iq xmlns='jabber:client'/>"), true, false)->r.element, EL_OTHER, "no routes from components");
	cr_expect_eq(read_on(&room, "<message to='a'/>", false, false)->r.element, EL_OTHER);
}

Test(route, a_prefix_of_the_header_on_a_bare_stanza_is_refused)
{
	cr_expect_eq(read_on(&room, "<message stream:x='1' to='bob@localhost'/>", true, false)->r.element, EL_REFUSED);
	cr_expect_eq(read_on(&room, "<message to='bob@localhost'><stream:x/></message>", true, false)->r.element, EL_REFUSED);
}

Test(route, everything_can_be_read_by_mini_xml)
{
	struct read *rd = read_on(&room, IN_ROUTE("<message xmlns='jabber:client'" SC " to='b@c' id='1' sc:c2s='11'><body/></message>"), false, true);

	cr_expect_neq(rd->r.extra, 0);
	cr_expect_eq(rd->r.flags, ROUTE_TO | ROUTE_HAS_C2S);
	IS(rd, stanza_to, "b@c");
	IS(rd, c2s, "11");
	IS(rd, content, "<body/>");
}

Test(route, too_little_room_is_an_error_and_nothing_is_written)
{
	static const char frame[] = IN_ROUTE("<message xmlns='jabber:client' to='o&apos;neill@x'/>");
	char extra[4] = { 'a', 'b', 'c', 'd' };
	struct route_scanner s;
	struct route r;
	size_t used;

	route_scanner_init(&s, NULL);
	cr_assert_eq(route_next(&s, HEADER, sizeof(HEADER) - 1, &r, &used), ROUTE_HEADER);
	cr_assert_eq(route_next(&s, frame, sizeof(frame) - 1, &r, &used), ROUTE_OK);
	cr_assert(r.flags & ROUTE_ODD);
	cr_expect_not(route_mxml(&r, frame, extra, sizeof(extra)));
	cr_expect(memcmp(extra, "abcd", 4) == 0);
}
