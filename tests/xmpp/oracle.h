/* oracle.h - what expat, with namespaces, says of a document: the measure for the gate and for both readers of envelopes.
 * Threads: any.
 * Owns: nothing that outlives a call, but what struct buf holds.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include "shardsm/buf.h"
#include "shardsm/route.h"

struct oracle {
	bool well_formed;  /* expat accepts it as a whole document */
	bool restricted;   /* it holds a comment, a processing instruction, a document type or an XML declaration */
	bool over;         /* it breaks the limits, or names and namespaces are such as jabberd2 can't carry */
	uint32_t elements, attributes; /* xmlns declarations counted */
};
struct oracle oracle_check(struct span document, const struct route_limits *limits);

/* The infoset of the first element at a depth (1: the document element) as text: names with namespaces, attributes sorted, text.
 * Left out of that element itself: to, from, and what is in the session namespace. around: the default namespace outside, NULL: none.
 * False: not well-formed. */
bool oracle_digest(struct span document, const char *around, unsigned depth, struct buf *out);

/* The envelope as expat reads it. Values are decoded; absent ones have p NULL. */
struct oracle_value {
	bool present;
	char text[1200];
};
struct oracle_envelope {
	char top[800], payload[800], child[800]; /* "namespace|local", empty: none */
	struct oracle_value to, from, name, type, error, multi;
	struct oracle_value stanza_to, stanza_from, stanza_type, id, action, target, c2s, sm, failed;
	bool has_default, has_log;
	bool cut; /* there was more than these hold */
};
/* False: not well-formed. around: the default namespace outside, NULL: none. depth of the payload: 1 or 2. */
bool oracle_envelope(struct span document, const char *around, unsigned payload_depth, struct oracle_envelope *out);

/* What stands in an attribute's raw value. */
void oracle_decode(struct span raw, char quote, struct buf *out);

#endif
