/* route.h - the envelope of one frame: where to, where from, what is inside, for which session, for which JID.
 * Threads: any; a value that holds offsets, so it stays true when the frame's bytes are copied elsewhere.
 * Owns: nothing.
 * Source: jabberd2 component protocol 1.0 and session protocol 1.0, as seen on the wire.
 *
 * A frame is the bytes of one complete top-level element. route_next() cuts it, checks it as strictly as a
 * namespace-aware XML parser would (RFC 6120 section 11 on top), and reads its envelope in the same pass. What the scanner does not
 * fully understand is read again by mini-XML (route_mxml()); both fill the same struct route.
 */
#ifndef SHARDSM_ROUTE_H
#define SHARDSM_ROUTE_H

#include "shardsm/span.h"

#define NS_COMPONENT "http://jabberd.jabberstudio.org/ns/component/1.0"
#define NS_SESSION "http://jabberd.jabberstudio.org/ns/session/1.0"
#define NS_CLIENT "jabber:client"
#define NS_ACCEPT "jabber:component:accept"
#define NS_STREAMS "http://etherx.jabber.org/streams"
#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"

/* Bytes of a frame by offset. Offsets at or past route.len point into the extra bytes that follow the frame
 * (decoded or re-escaped values that the frame does not hold literally). len 0 with off 0: absent. */
struct slice {
	uint32_t off;
	uint32_t len;
};

enum element {          /* the top-level element */
	EL_OTHER,       /* well-formed, not ours to understand */
	EL_ROUTE,       /* {NS_COMPONENT}route */
	EL_ADVERT,      /* {NS_COMPONENT}presence */
	EL_BIND,        /* {NS_COMPONENT}bind */
	EL_UNBIND,      /* {NS_COMPONENT}unbind */
	EL_THROTTLE,    /* {NS_COMPONENT}throttle */
	EL_STANZA,      /* a bare stanza on a XEP-0114 link: {NS_ACCEPT} (or {NS_CLIENT}) message, presence or iq */
	EL_REFUSED,     /* breaks a limit, or holds what a peer could not bear (scanner.error says what): the stream goes on, these bytes
	                 * may go nowhere. to, from, payload and the stanza_ fields as far as they were read: enough for a bounce */
};

enum route_type { RT_UNICAST, RT_BROADCAST, RT_LOG, RT_OTHER };

enum payload {          /* the first child element of the route; of EL_STANZA the element itself */
	PL_NONE,        /* the route holds no element */
	PL_MESSAGE,     /* {NS_CLIENT} ... */
	PL_PRESENCE,
	PL_IQ,
	PL_CLIENT,      /* another {NS_CLIENT} element */
	PL_SESSION,     /* {NS_SESSION}session */
	PL_SESSIONS,    /* {NS_SESSION}sessions, the founding document's spelling */
	PL_OTHER,
};

/* One attribute of the payload's start tag that is passed on as it came (xmlns:PREFIX declarations included). Not
 * listed: to, from, the default xmlns, and everything in the session namespace with its declaration. Written in this order as
 * name, =, quote, value, quote; of more than ROUTE_ATTRS the last holds the rest, run together. */
struct route_attr {
	struct slice name;  /* qualified name */
	struct slice value; /* raw: still escaped, the quotes not included */
	char quote;         /* ' or " */
};

#define ROUTE_ATTRS 16

enum route_flags {
	ROUTE_ODD = 1,           /* the scanner did not fully understand it: call route_mxml() */
	ROUTE_ENDS_EMPTY = 2,    /* the payload was a self-closing tag: content is empty and there is no end tag */
	ROUTE_SESSION_PREFIX = 4, /* the content uses the session namespace's prefix: keep its declaration */
	ROUTE_FAILED = 8,        /* the payload carries {NS_SESSION}failed */
	ROUTE_HAS_C2S = 16,      /* {NS_SESSION}c2s was present, even if empty */
	ROUTE_HAS_SM = 32,
	ROUTE_DEFAULT = 64,      /* EL_BIND with a <default/> child */
	ROUTE_LOG = 128,         /* EL_BIND with a <log/> child */
	ROUTE_MULTI = 256,       /* EL_BIND multi='to' */
	ROUTE_DECLARES = 1024,   /* the content declares a namespace somewhere */
	ROUTE_TO = 512,          /* the stanza's to attribute was present, even if empty */
};

/* All of the fields are offsets or small values: copy the struct with the frame and it stays true. */
struct route {
	uint32_t len;        /* of the frame, bytes */
	uint32_t extra;      /* bytes that follow the frame and that slices may point into */
	uint16_t flags;      /* enum route_flags */
	uint16_t error;      /* the error='NNN' attribute, 0: none */
	uint8_t element;     /* enum element */
	uint8_t type;        /* enum route_type, the route's own type attribute */
	uint8_t payload;     /* enum payload */
	uint8_t nattrs;
	struct slice to, from, name;      /* of the top-level element, decoded; name: of bind and unbind */
	struct slice tag;                 /* the payload's qualified name; "c:message" where it came under a prefix (then it is in attrs) */
	struct slice start;               /* the payload's start tag, < to > */
	struct slice content;             /* between start and end tag, raw bytes */
	struct slice child, child_ns;     /* local name and namespace of the payload's first child element (iq: the request);
	                                   * child_ns is decoded, and absent where the child inherits the payload's */
	struct slice session_prefix;      /* the prefix that names NS_SESSION on the payload, "sc" of "sc:c2s" */
	struct slice stanza_to, stanza_from, stanza_type, id; /* to, from, type decoded; id raw, with neither quote in it.
	                                   * EL_ADVERT: stanza_type is its type ("unavailable", absent: available) */
	struct slice c2s, sm;             /* {NS_SESSION}c2s and sm, decoded; never of EL_STANZA */
	struct slice action, target;      /* of a session element (unqualified), decoded */
	struct route_attr attrs[ROUTE_ATTRS];
};

struct route_limits {
	uint32_t frame_bytes; /* whole frame */
	uint16_t depth;       /* nested elements, the route itself counted */
	uint16_t attributes;  /* of one element */
	uint32_t elements;    /* of one frame */
};
extern const struct route_limits route_limits_default; /* what mini-XML bears: see README, Limits */

/* What a link's scanner remembers between reads. init for every new stream. */
struct route_scanner {
	struct route_limits limits;
	bool accept;             /* a XEP-0114 link: the default namespace is NS_ACCEPT */
	bool mxml;               /* mark every frame ROUTE_ODD (<route-parser>mxml</route-parser>) */
	const char *error;       /* after ROUTE_BAD: what was wrong, a static text */
	const char *condition;   /* after ROUTE_BAD: the stream error condition of RFC 6120 section 4.9.3 */
	/* the resumable cutter's own */
	uint32_t state, depth, seen;
	char quote;
	/* prefixes declared on the stream header, "stream\0ack\0\0" */
	char prefixes[128];
	/* what the frames of this stream began with, NULL: each is read anew. The user's, given behind the header; init forgets it */
	struct route_shapes *shapes;
};

/* Start tags that were read already are not parsed again: the same answers for a fraction of the work. NULL: no memory. */
struct route_shapes *route_shapes_new(void) MUST_USE;
void route_shapes_free(struct route_shapes **shapes);

#define ROUTE_TOO_LONG "a frame is too long" /* scanner.error of what is over frame_bytes */

enum route_result {
	ROUTE_MORE,     /* no complete frame yet: read on, keep the bytes from *used */
	ROUTE_OK,       /* one frame at buf + *used - route->len; *used is past it */
	ROUTE_HEADER,   /* a stream header, <?xml ...?> included; *used is past its '>' (route_header() reads it) */
	ROUTE_CLOSE,    /* </stream:stream> */
	ROUTE_BAD,      /* the stream cannot go on: error and condition say why */
};

void route_scanner_init(struct route_scanner *s, const struct route_limits *limits);
/* The same, and as if a stream header had come, of a XEP-0114 link (accept) or another: frames may begin. */
void route_scanner_begin(struct route_scanner *s, const struct route_limits *limits, bool accept);

/* Cuts and reads the next frame of buf[0..len), skipping white space between frames. *used: bytes that are done with
 * (whitespace skipped, and the frame when there is one). Linear in the bytes however they are split over calls; must be called again with
 * the same unfinished bytes plus more. Before the header was seen only a header is accepted. */
enum route_result route_next(struct route_scanner *s, const char *buf, size_t len, struct route *route, size_t *used);

/* Reads a frame that is marked ROUTE_ODD with mini-XML. frame: route->len bytes that route_next() has passed. Decoded
 * values go to extra[0..cap), which the caller keeps right behind the frame's copy. False: no memory, or more than cap. */
bool route_mxml(struct route *route, const char *frame, char *extra, size_t cap) MUST_USE;

/* What a stream header says. Slices of buf; the header was cut by route_next(). */
struct stream_header {
	struct span to, from, id, version, xmlns;
};
bool route_header(struct route_scanner *s, const char *buf, size_t len, struct stream_header *out) MUST_USE;

/* Checks a complete document that did not come from a link (a stored row): the same gate, one element, nothing behind it. */
bool route_check(const struct route_limits *limits, struct span document, const char **error) MUST_USE;

static inline struct span slice_of(const char *frame, struct slice s)
{
	return (struct span){ frame + s.off, s.len };
}

#endif
