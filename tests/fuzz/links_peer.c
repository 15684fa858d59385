/* links_peer.c - the other end of a link.
 * Threads: one.
 * Owns: see links_peer.h.
 */
#include "links_peer.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "../world/alone.h"
#include "links_wire.h"

void peer_come(struct peer *peer, bool accept, struct gsasl_digests *digests)
{
	*peer = (struct peer){ .fd = wire_open(), .accept = accept, .digests = digests };
	buf_init(&peer->in);
	buf_init(&peer->sasl);
}

void peer_go(struct peer *peer)
{
	if (peer->fd >= 0)
		wire_close(peer->fd);
	peer->fd = -1;
	digest_free(&peer->server);
	buf_free(&peer->in);
	buf_free(&peer->sasl);
}

/* --- what it was told -------------------------------------------------------------------------------------------------- */

static void record(struct buf *out, struct span text)
{
	if (getenv("LINKS_PRINT"))
		fprintf(stderr, "told: " SPAN_FMT "\n", SPAN_ARG(text));
	if (!out)
		return;
	buf_put(out, text);
	buf_str(out, "\n");
}

static bool is_tag(struct span frame, const char *name)
{
	size_t n = strlen(name);

	return frame.n > n + 1 && memcmp(frame.p + 1, name, n) == 0;
}

/* The text of a SASL element: random, and what the other side's answer is made of. */
static void keep_sasl(struct peer *peer, struct span frame)
{
	const char *gt = memchr(frame.p, '>', frame.n), *end = gt ? memrchr(frame.p, '<', frame.n) : NULL;

	buf_clear(&peer->sasl);
	if (end > gt)
		buf_put(&peer->sasl, span_of(gt + 1, (size_t)(end - gt - 1)));
}

static void told_frame(struct peer *peer, struct span frame, struct buf *out)
{
	if (is_tag(frame, "challenge") || is_tag(frame, "response") || is_tag(frame, "success")) {
		keep_sasl(peer, frame);
		frame.n = sizeof("<success") - 1;
	}
	/* What was wrong first depends on how much had come when it was looked at. */
	if (is_tag(frame, "stream:error"))
		frame.n = sizeof("<stream:error") - 1;
	record(out, frame);
}

static void told_header(struct peer *peer, struct span header, struct buf *out)
{
	struct stream_header h;

	if (!route_header(&peer->scanner, header.p, header.n, &h))
		broken("a stream header that cannot be read: " SPAN_FMT, SPAN_ARG(header));
	snprintf(peer->stream_id, sizeof(peer->stream_id), SPAN_FMT, SPAN_ARG(h.id));
	record(out, header);
}

/* A stream begins anew on the same connection after SASL. */
static void begin_anew(struct peer *peer)
{
	route_scanner_init(&peer->scanner, NULL);
	peer->scanner.limits.frame_bytes = peer->scanner.limits.elements = 1u << 30;
	peer->scanner.accept = peer->accept;
}

/* One piece of a stream. ROUTE_MORE: it is not there to its end. */
static enum route_result told(struct peer *peer, struct span bytes, size_t *used, struct buf *out)
{
	static const struct span declaration = { "<?xml", 5 };
	struct route route;

	if (memcmp(bytes.p, declaration.p, bytes.n < declaration.n ? bytes.n : declaration.n) == 0) {
		*used = 0;
		if (bytes.n < declaration.n)
			return ROUTE_MORE;
		begin_anew(peer);
	}
	enum route_result r = route_next(&peer->scanner, bytes.p, bytes.n, &route, used);

	if (r == ROUTE_BAD || (r == ROUTE_OK && route.element == EL_REFUSED))
		broken("a peer was told what the gate refuses (%s): " SPAN_FMT, peer->scanner.error, SPAN_ARG(bytes));
	if (r == ROUTE_OK)
		told_frame(peer, span_of(bytes.p + *used - route.len, route.len), out);
	else if (r == ROUTE_HEADER)
		told_header(peer, span_of(bytes.p, *used), out);
	else if (r == ROUTE_CLOSE)
		record(out, SPAN("the end"));
	return r;
}

bool peer_hear(struct peer *peer, struct buf *out)
{
	enum route_result r = ROUTE_OK;
	size_t at = 0, used;

	if (peer->fd < 0 || peer->deaf || !wire_hear(peer->fd, &peer->in))
		return false;
	for (; at < peer->in.n && r != ROUTE_MORE; at += used)
		r = told(peer, span_of(peer->in.p + at, peer->in.n - at), &used, out);
	memmove(peer->in.p, peer->in.p + at, peer->in.n - at);
	peer->in.n -= (uint32_t)at;
	return true;
}

/* --- what it says ------------------------------------------------------------------------------------------------------ */

static void put_handshake(struct buf *out, const struct peer *peer)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char text[sizeof(peer->stream_id) + sizeof(PEER_SECRET)];

	snprintf(text, sizeof(text), "%s" PEER_SECRET, peer->stream_id);
	SHA1((const unsigned char *)text, strlen(text), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		buf_fmt(out, "%02x", digest[i]);
}

/* A step of SASL, as one side or the other, on what the link said last. */
static void put_step(struct buf *out, struct digest *digest, struct span in)
{
	const char *why;

	if (!digest || digest_step(digest, in, out, &why) == DIGEST_REFUSED)
		buf_str(out, "none");
}

/* Nowhere but where they are wanted: they are never the same, and a name, say, is told to others. */
static bool wants_sasl(const struct peer *peer)
{
	enum link_stage stage = peer->link ? peer->link->stage : LINK_CLOSED;

	return stage == IN_RESPONSE || stage == OUT_FEATURES || stage == OUT_CHALLENGE;
}

static void put_right(struct buf *out, struct peer *peer, char what)
{
	struct digest *client;

	if (what != 'h' && !wants_sasl(peer))
		return;
	switch (what) {
	case 'h':
		put_handshake(out, peer);
		break;
	case 'r':
		client = digest_new(peer->digests, false, PEER_USER, PEER_PASS);
		put_step(out, client, buf_span(&peer->sasl));
		digest_free(&client);
		break;
	case 'c':
		digest_free(&peer->server);
		peer->server = digest_new(peer->digests, true, PEER_USER, PEER_PASS);
		put_step(out, peer->server, (struct span){ 0 });
		break;
	case 's':
		put_step(out, peer->server, buf_span(&peer->sasl));
		digest_free(&peer->server); /* libgsasl loses what it keeps where the same step is taken twice */
		break;
	default:
		break;
	}
}

void peer_put(struct buf *out, struct peer *peer, struct span line)
{
	static const char *const words[128] = { ['n'] = "\n", ['C'] = NS_COMPONENT, ['S'] = NS_SESSION, ['J'] = NS_CLIENT, ['A'] = NS_ACCEPT,
		['T'] = NS_STREAMS, ['L'] = NS_SASL };

	for (uint32_t i = 0; i < line.n; i++) {
		unsigned char what = i + 1 < line.n && line.p[i] == '$' ? (unsigned char)line.p[++i] : 0;

		if (!what)
			buf_put(out, span_of(line.p + i, 1));
		else if (what < 128 && words[what])
			buf_str(out, words[what]);
		else
			put_right(out, peer, (char)what);
	}
}
