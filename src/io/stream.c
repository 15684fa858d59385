/* stream.c - streams before they carry routes: headers, features, SASL, both sides; and stream errors.
 * Threads: the link's acceptor.
 * Owns: nothing beyond a call but the link's struct digest.
 * Source: RFC 6120 sections 4 and 6, with the exchange of jabberd2's components; XEP-0114.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "io/link.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"

#define NS_STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"
#define OUR_HEADER "<?xml version='1.0'?><stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'"

static void send_buf(struct link *link, struct buf *b)
{
	if (b->failed)
		link_lost(link, "out of memory");
	else
		link_send(link, buf_span(b));
	buf_free(b);
}

static void new_id(struct link *link)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char random[16] = { 0 };

	/* A XEP-0114 handshake rests on the id: without random bytes there is none, and no digest matches an empty one. */
	link->stream_id[0] = 0;
	if (!hash_random(random, sizeof random))
		return;
	for (size_t i = 0; i < sizeof random; i++) {
		link->stream_id[2 * i] = hex[random[i] >> 4];
		link->stream_id[2 * i + 1] = hex[random[i] & 15];
	}
	link->stream_id[32] = 0;
}

static void answer_header(struct link *link, bool accept)
{
	struct buf b;

	buf_init(&b);
	new_id(link);
	buf_str(&b, OUR_HEADER);
	if (accept)
		buf_str(&b, " xmlns='" NS_ACCEPT "'");
	if (accept && link->peer)
		buf_attr(&b, "from", span_str(link->peer));
	buf_attr(&b, "id", span_str(link->stream_id));
	buf_str(&b, ">");
	link->header_sent = true;
	send_buf(link, &b);
}

void stream_open(struct link *link)
{
	link->header_sent = true;
	link_send(link, SPAN(OUR_HEADER ">"));
}

void stream_error(struct link *link, const char *condition, const char *text)
{
	struct buf b;

	if (!link->header_sent)
		answer_header(link, false);
	if (!condition)
		return;
	buf_init(&b);
	buf_fmt(&b, "<stream:error xmlns:stream='" NS_STREAMS "'><%s xmlns='" NS_STREAM_ERRORS "'/>", condition);
	if (text) {
		buf_str(&b, "<text xmlns='" NS_STREAM_ERRORS "'>");
		buf_text(&b, span_str(text));
		buf_str(&b, "</text>");
	}
	buf_str(&b, "</stream:error>");
	send_buf(link, &b);
}

/* A new stream on the same connection: after SASL both sides begin again, with room for real frames. */
static void scanner_restart(struct link *link)
{
	route_scanner_init(&link->scanner, &link->home->io->cfg.tuning.limits);
	link->scanner.mxml = link->home->io->cfg.route_mxml;
	link->header_sent = false;
}

/* A XEP-0114 component's header: who it wants to be is in `to`. */
static void accept_header(struct link *link, const struct stream_header *h)
{
	char prepared[JID_MAX + 1];
	struct jid jid;

	link->scanner.accept = true;
	link->ob.accept = true;
	if (!jid_prep(&jid, h->to, prepared) || jid.node_len || jid_has_resource(&jid)) {
		link_end(link, "host-unknown", "its stream header has no domain in 'to'");
		return;
	}
	link->peer = strndup(jid.s, jid.len);
	if (!link->peer) {
		link_lost(link, "out of memory");
		return;
	}
	answer_header(link, true);
	if (starttls_missing(link))
		link_end(link, "policy-violation", "XEP-0114 has no STARTTLS, and <listen> requires TLS: give such components a <listen> on a loopback address");
	else if (!link->listen->secret)
		link_end(link, "not-authorized", "XEP-0114 components need a <secret> in <listen>");
	else
		link->stage = IN_HANDSHAKE;
}

/* How it may log in: not in clear where TLS is required. */
static void login_features(struct link *link)
{
	struct buf b;

	buf_init(&b);
	buf_str(&b, "<stream:features xmlns:stream='" NS_STREAMS "'>");
	starttls_offer(link, &b);
	if (!starttls_missing(link))
		buf_str(&b, "<mechanisms xmlns='" NS_SASL "'><mechanism>DIGEST-MD5</mechanism></mechanisms>");
	buf_str(&b, "</stream:features>");
	send_buf(link, &b);
}

static void in_header(struct link *link, const struct stream_header *h)
{
	if (link->stage == IN_HEADER && span_is(h->xmlns, NS_ACCEPT)) {
		accept_header(link, h);
		return;
	}
	answer_header(link, false);
	if (link->stage == IN_HEADER) {
		login_features(link);
		link->stage = IN_AUTH;
	} else {
		link_send(link, SPAN("<stream:features xmlns:stream='" NS_STREAMS "'></stream:features>"));
		link_online(link);
	}
}

/* Frames travel on to other streams, where only the prefix "stream" is known: one that uses another must declare it itself. (c2s
 * declares "ack" on its header and never uses it.) */
static void keep_stream_prefix(struct route_scanner *s)
{
	bool found = false;

	for (const char *p = s->prefixes; *p && !found; p += strlen(p) + 1)
		found = strcmp(p, "stream") == 0;
	memset(s->prefixes, 0, sizeof s->prefixes);
	if (found)
		memcpy(s->prefixes, "stream", 6);
}

void stream_header(struct link *link, const char *bytes, size_t n)
{
	struct stream_header h;

	if (!route_header(&link->scanner, bytes, n, &h)) {
		link_end(link, "bad-format", "no stream header");
		return;
	}
	keep_stream_prefix(&link->scanner);
	switch (link->stage) {
	case IN_HEADER:
	case IN_RESTART:
		in_header(link, &h);
		break;
	case OUT_HEADER:
		link->stage = OUT_FEATURES;
		break;
	case OUT_RESTART:
		link->stage = OUT_RESTART_FEATURES;
		break;
	default:
		link_end(link, "bad-format", "a stream header in the middle of a stream");
		break;
	}
}

static void sasl_failure(struct link *link, const char *condition, const char *why)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "<failure xmlns='" NS_SASL "'><%s/></failure>", condition);
	send_buf(link, &b);
	link_end(link, NULL, why);
}

/* A login that was wrong: the answer comes later with each from its address. What else it sent is not looked at. */
static void penalize(struct link *link, const char *why)
{
	struct acceptor *a = link->home;
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;

	log_limited(LOG_LEVEL_NOTICE, "%s: login failed (%s)", link->ob.name, why);
	getpeername(link->watch.fd, (struct sockaddr *)&peer, &len);
	link->stage = IN_PENALTY;
	link->in_off = link->in_len = 0;
	link->deadline = a->now + penalty_add(&a->io->penalties, (struct sockaddr *)&peer, a->now);
	link_stop_reading(link);
}

void stream_refused(struct link *link)
{
	if (link->ob.accept)
		link_end(link, "not-authorized", "wrong secret: its configuration and <listen><secret> must agree");
	else
		sasl_failure(link, "not-authorized", "wrong user or password");
}

static void send_sasl(struct link *link, const char *element, struct buf *text)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "<%s xmlns='" NS_SASL "'>", element);
	buf_put(&b, buf_span(text));
	buf_fmt(&b, "</%s>", element);
	b.failed |= text->failed;
	send_buf(link, &b);
}

static void in_auth(struct link *link, struct xml *e)
{
	struct io *io = link->home->io;
	const char *why = "";
	struct buf out;

	if (xml_is(e, NS_TLS, "starttls")) {
		starttls_asked(link);
		return;
	}
	if (!xml_is(e, NS_SASL, "auth")) {
		link_end(link, "not-authorized", "it did not log in first");
		return;
	}
	if (starttls_missing(link)) {
		sasl_failure(link, "encryption-required", "it wanted to log in in clear: give it a <pemfile> in its <router>");
		return;
	}
	if (!span_is(xml_attr(e, "mechanism"), "DIGEST-MD5")) {
		sasl_failure(link, "invalid-mechanism", "it asked for a SASL mechanism other than DIGEST-MD5");
		return;
	}
	link->digest = digest_new(io->digests, true, link->listen->user, link->listen->pass);
	buf_init(&out);
	if (!link->digest || digest_step(link->digest, (struct span){ 0 }, &out, &why) != DIGEST_MORE) {
		sasl_failure(link, "temporary-auth-failure", "SASL could not start");
	} else {
		link->stage = IN_RESPONSE;
		send_sasl(link, "challenge", &out);
	}
	buf_free(&out);
}

static void in_response(struct link *link, struct xml *e)
{
	const char *why = "it broke off";
	enum digest_result result = DIGEST_REFUSED;
	struct buf text, out;

	buf_init(&text);
	buf_init(&out);
	if (xml_is(e, NS_SASL, "response")) {
		xml_text(e, &text);
		result = digest_step(link->digest, buf_span(&text), &out, &why);
	}
	/* The library offers rspauth as one more challenge, to be answered by an empty response; jabberd2's way is to let it ride on
	 * success. What it says has been checked by then. */
	if (xml_is(e, NS_SASL, "abort")) {
		sasl_failure(link, "aborted", why);
	} else if (result == DIGEST_REFUSED || out.n == 0) {
		penalize(link, why);
	} else {
		log_notice("%s authenticated as %s", link->ob.name, link->listen->user);
		send_sasl(link, "success", &out);
		link->stage = IN_RESTART;
		digest_free(&link->digest);
		scanner_restart(link);
	}
	buf_free(&text);
	buf_free(&out);
}

static void in_handshake(struct link *link, struct xml *e)
{
	struct buf text;

	if (!xml_is(e, NS_ACCEPT, "handshake")) {
		link_end(link, "not-authorized", "it did not log in first");
		return;
	}
	buf_init(&text);
	xml_text(e, &text);
	if (!text.failed && component_handshake_good(link, buf_span(&text)))
		component_online(link);
	else
		penalize(link, "wrong secret");
	buf_free(&text);
}

static bool offers_digest(struct xml *features)
{
	struct xml *mechanisms = xml_child(features, NS_SASL, "mechanisms");
	bool found = false;
	struct buf b;

	if (!mechanisms)
		return false;
	for (struct xml *m = xml_child(mechanisms, NS_SASL, "mechanism"); m && !found; m = xml_next(m, NS_SASL, "mechanism")) {
		buf_init(&b);
		xml_text(m, &b);
		found = !b.failed && span_is(buf_span(&b), "DIGEST-MD5");
		buf_free(&b);
	}
	return found;
}

static void out_features(struct link *link, struct xml *e)
{
	const struct io_router *router = &link->home->io->cfg.router;

	if (!xml_is(e, NS_STREAMS, "features"))
		return;
	if (link->stage == OUT_RESTART_FEATURES) {
		link_online(link);
		dial_logged_in(link);
		return;
	}
	if (starttls_ask(link, e) || !link_alive(link))
		return;
	link->digest = digest_new(link->home->io->digests, false, router->user, router->pass);
	if (!offers_digest(e) || !link->digest) {
		link_lost(link, link->digest ? "it does not offer DIGEST-MD5" : "out of memory");
		return;
	}
	link_send(link, SPAN("<auth xmlns='" NS_SASL "' mechanism='DIGEST-MD5'></auth>"));
	link->stage = OUT_CHALLENGE;
}

static void out_success(struct link *link, struct buf *text)
{
	const char *why = "";
	struct buf out;

	/* rspauth: the router has to know the password too. It rode on success, or came as a challenge of its own before. */
	buf_init(&out);
	if (text->n && digest_step(link->digest, buf_span(text), &out, &why) == DIGEST_REFUSED) {
		log_error("router at %s did not prove that it knows the password (%s)", link->ob.name, why);
		link_lost(link, "authentication failed");
	} else {
		digest_free(&link->digest);
		scanner_restart(link);
		link->stage = OUT_RESTART;
		stream_open(link);
	}
	buf_free(&out);
}

static void out_challenge(struct link *link, struct xml *e)
{
	const char *why = "";
	struct buf text, out;

	buf_init(&text);
	buf_init(&out);
	xml_text(e, &text);
	if (xml_is(e, NS_SASL, "challenge")) {
		if (digest_step(link->digest, buf_span(&text), &out, &why) == DIGEST_REFUSED) {
			log_error("router at %s: its challenge cannot be answered (%s)", link->ob.name, why);
			link_lost(link, "authentication failed");
		} else {
			send_sasl(link, "response", &out);
		}
	} else if (xml_is(e, NS_SASL, "success")) {
		out_success(link, &text);
	} else if (xml_is(e, NS_SASL, "failure")) {
		log_error("router refused the login: <router><user> and <pass> must be in its router-users.xml");
		link_lost(link, "authentication failed");
	}
	buf_free(&text);
	buf_free(&out);
}

/* Parses a frame in the scope of its stream, whose prefixes it may use. */
static struct xml_doc *stream_parse(const struct link *link, struct span frame)
{
	struct xml_doc *doc = NULL;
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "<s xmlns:stream='%s'%s>", NS_STREAMS, link->ob.accept ? " xmlns='" NS_ACCEPT "'" : "");
	buf_put(&b, frame);
	buf_str(&b, "</s>");
	if (!b.failed)
		doc = xml_parse(buf_span(&b), NULL);
	buf_free(&b);
	return doc;
}

void stream_frame(struct link *link, const char *frame, const struct route *route)
{
	struct xml_doc *doc;
	struct xml *e;

	if (route->element == EL_REFUSED) {
		link_end(link, "policy-violation", "too much for a login");
		return;
	}
	doc = stream_parse(link, span_of(frame, route->len));
	e = doc ? xml_child(xml_root(doc), NULL, NULL) : NULL;
	if (!e)
		link_lost(link, "out of memory");
	else if (xml_is(e, NS_STREAMS, "error"))
		link_lost(link, "a stream error");
	else if (link->stage == IN_AUTH)
		in_auth(link, e);
	else if (link->stage == IN_RESPONSE)
		in_response(link, e);
	else if (link->stage == IN_HANDSHAKE)
		in_handshake(link, e);
	else if (link->stage == OUT_FEATURES || link->stage == OUT_RESTART_FEATURES)
		out_features(link, e);
	else if (link->stage == OUT_PROCEED)
		starttls_answered(link, e);
	else if (link->stage == OUT_CHALLENGE)
		out_challenge(link, e);
	if (doc)
		xml_free(&doc);
}

void stream_other(struct link *link, const char *frame, const struct route *route)
{
	struct xml_doc *doc = stream_parse(link, span_of(frame, route->len));
	struct xml *e = doc ? xml_child(xml_root(doc), NULL, NULL) : NULL;

	if (e && xml_is(e, NS_STREAMS, "error")) {
		struct xml *condition = xml_child(e, NULL, NULL);
		struct span name = condition ? xml_local(condition) : SPAN("no condition");

		log_notice("error from %s: stream error (" SPAN_FMT ")", link->router ? "router" : link->ob.name, SPAN_ARG(name));
		link->at_once = true;
		link_lost(link, "a stream error");
	}
	if (doc)
		xml_free(&doc);
}
