/* jid.h - JIDs: split, prepared with stringprep, compared as bytes.
 * Threads: any; values.
 * Owns: nothing. A struct jid borrows the text that it was made from or the buffer given to jid_prep().
 * Source: RFC 6120/6122 with nodeprep, nameprep and resourceprep (libidn), as jabberd2 does.
 */
#ifndef SHARDSM_JID_H
#define SHARDSM_JID_H

#include "shardsm/span.h"

#define JID_PART_MAX 1023
#define JID_MAX (3 * JID_PART_MAX + 2)

/* A prepared JID, one contiguous text: [node@]domain[/resource]. Not NUL-terminated. */
struct jid {
	const char *s;
	uint16_t node_len; /* 0: none */
	uint16_t bare_len; /* of [node@]domain */
	uint16_t len;      /* of the whole; == bare_len: no resource */
};

static inline struct span jid_full(const struct jid *j) { return span_of(j->s, j->len); }
static inline struct span jid_bare(const struct jid *j) { return span_of(j->s, j->bare_len); }
static inline struct span jid_node(const struct jid *j) { return span_of(j->s, j->node_len); }
static inline bool jid_has_resource(const struct jid *j) { return j->len > j->bare_len; }
static inline struct span jid_domain(const struct jid *j)
{
	size_t skip = j->node_len ? j->node_len + 1u : 0;
	return span_of(j->s + skip, j->bare_len - skip);
}
static inline struct span jid_resource(const struct jid *j)
{
	return jid_has_resource(j) ? span_of(j->s + j->bare_len + 1, j->len - j->bare_len - 1u) : (struct span){ 0 };
}

static inline bool jid_same(const struct jid *a, const struct jid *b) { return span_eq(jid_full(a), jid_full(b)); }
static inline bool jid_same_bare(const struct jid *a, const struct jid *b)
{
	return span_eq(jid_bare(a), jid_bare(b));
}

/* The same JID without its resource. Borrows what j borrows. */
static inline struct jid jid_to_bare(const struct jid *j)
{
	return (struct jid){ j->s, j->node_len, j->bare_len, j->bare_len };
}

/* Splits and prepares text. out borrows text itself where that is prepared already (plain lower-case ASCII),
 * else buf. False: not a JID (empty part, part over JID_PART_MAX, ill-formed UTF-8, refused by stringprep).
 * Never reads past text.n; text needs no NUL. */
bool jid_prep(struct jid *out, struct span text, char buf[static JID_MAX + 1]) MUST_USE;

/* Splits text that is known to be prepared (our own, or a stored and checked row); no stringprep. */
bool jid_split(struct jid *out, struct span text) MUST_USE;

#endif
