/* gate.h - the gate: bytes that passed it are one well-formed, namespace-well-formed element within the limits.
 * Threads: any; a struct gate lives on the stack of one call.
 * Owns: nothing, allocates nothing.
 * Source: XML 1.0 fourth edition, Namespaces in XML 1.0, RFC 6120 section 11; no looser than the parsers of our peers.
 */
#ifndef XMPP_GATE_H
#define XMPP_GATE_H

#include "shardsm/route.h"

/* The most that struct route_limits may ask for. */
#define GATE_DEPTH 256
#define GATE_ATTRS 256
/* Declarations in scope at once; every prefixed name may have to look at all of them. */
#define GATE_BINDINGS 96
/* COMPAT jabberd2 joins namespace, name and prefix in 1,023 bytes and cuts the rest off. */
#define GATE_NAME_MAX 256
#define GATE_URI_MAX 500
#define GATE_POOL 2048

enum gate_verdict {
	GATE_OK,
	GATE_MORE,  /* the bytes end before the element does */
	GATE_LIMIT, /* well-formed so far, but more than the limits (or our peers) bear */
	GATE_BAD,
};

enum gate_ns { GN_NONE, GN_OTHER, GN_COMPONENT, GN_SESSION, GN_CLIENT, GN_ACCEPT, GN_STREAMS };

/* What a prefix may be bound to besides a declaration of the frame. */
enum { BOUND_NOT = -1, BOUND_XML = -2, BOUND_STREAM = -3 };

struct gate_name {
	uint32_t off;
	uint16_t len;
	uint16_t prefix_len; /* 0: no prefix */
};

struct gate_attr {
	struct gate_name name;
	struct slice value;
	char quote;
	bool odd;      /* the value holds a reference, or white space that a parser would turn into a blank */
	bool declares; /* xmlns or xmlns:prefix */
	int16_t ns;    /* index of the prefix's binding, BOUND_*; BOUND_NOT: no prefix */
};

struct gate_binding {
	const char *uri;      /* decoded */
	struct slice prefix;  /* len 0: the default namespace */
	uint32_t value;       /* where the URI stands in the frame */
	uint16_t uri_len, depth;
	uint8_t known;        /* enum gate_ns */
	bool odd;             /* uri is not the frame's own bytes */
};

struct gate_element {
	struct slice name;
	uint16_t bindings;    /* in scope outside of it */
	int16_t dflt;         /* the default namespace's binding outside of it */
	uint16_t pool;        /* in use outside of it */
};

struct gate {
	const char *buf, *p, *end;
	const struct route_limits *limits;
	struct route *route;        /* the envelope to fill, NULL: only check */
	const char *prefixes;       /* declared on the stream header, NULL: none */
	struct route_shapes *shapes; /* of frames that came before, NULL: none */
	bool accept, tolerant;      /* tolerant: undeclared prefixes are somebody else's */
	bool stream_prefix;         /* a prefix was used that only the stream header declares */
	const char *error, *condition;
	uint32_t depth, elements, attributes;
	uint32_t watch;             /* elements down to this depth are shown to the envelope */
	uint32_t payload;           /* depth of the payload while it is open, 0: not or no more */
	uint32_t pool_used;
	int32_t dflt;               /* binding of the default namespace, BOUND_NOT */
	uint32_t nbindings;
	/* the start tag that was read last */
	struct {
		uint32_t lt, nattrs;
		struct gate_name name;
		int32_t ns;         /* binding of the element's namespace */
		bool empty;         /* <a/> */
		bool prefixed;      /* an attribute has a prefix */
	} tag;
	struct gate_attr attrs[GATE_ATTRS];
	struct gate_binding bindings[GATE_BINDINGS];
	struct gate_element stack[GATE_DEPTH];
	char pool[GATE_POOL];
};

void gate_init(struct gate *g, const char *buf, size_t len, const struct route_limits *limits);
/* Reads one element from g->p; afterwards g->p is past it. Fills g->route. */
enum gate_verdict gate_element(struct gate *g) MUST_USE;
/* Reads one start tag from g->p, which is at its '<', and opens the element. */
enum gate_verdict gate_start_tag(struct gate *g) MUST_USE;
/* Says what is wrong; both return their verdict. */
enum gate_verdict gate_bad(struct gate *g, const char *condition, const char *error) COLD;
enum gate_verdict gate_limit(struct gate *g, const char *error) COLD;

/* gate_ns.c: the namespaces of the tag that was just read. */
enum gate_verdict gate_declare(struct gate *g, const struct gate_attr *a) MUST_USE;
enum gate_verdict gate_resolve(struct gate *g) MUST_USE;
static inline enum gate_ns gate_known(const struct gate *g, int32_t binding)
{
	return binding >= 0 ? (enum gate_ns)g->bindings[binding].known : GN_OTHER;
}
enum gate_ns gate_ns_of(struct span uri);

static inline struct span gate_local(const struct gate *g, const struct gate_name *n)
{
	uint32_t skip = n->prefix_len ? n->prefix_len + 1u : 0;
	return span_of(g->buf + n->off + skip, n->len - skip);
}

/* envelope.c: what the gate shows to the envelope. */
enum gate_verdict envelope_element(struct gate *g) MUST_USE;
void envelope_payload_end(struct gate *g, uint32_t lt);
/* What names and values mean, for both readers of envelopes. */
enum element envelope_kind(enum gate_ns ns, struct span local, bool accept);
enum payload envelope_payload(enum gate_ns ns, struct span local);
enum route_type envelope_type(struct span value);
unsigned envelope_error(struct span value); /* never 0 */

#endif
