/* names.h - which link serves a component name or a domain.
 * Threads: acceptors bind and unbind (under a mutex), every registered RCU thread looks up inside a read section.
 * Owns: a table of immutable snapshots; each binding holds a reference on its outbox.
 */
#ifndef SHARDSM_NAMES_H
#define SHARDSM_NAMES_H

#include "shardsm/jid.h"
#include "shardsm/outbox.h"

enum name_flags {
	NAME_MULTI = 1,   /* multi='to': several links may bind it */
	NAME_DEFAULT = 2, /* <default/>: takes what nobody else serves */
	NAME_LOG = 4,     /* <log/>: wants a copy of every route */
};

enum names_result { NAMES_OK, NAMES_TAKEN, NAMES_NO_MEMORY };

struct names;
struct names *names_new(void) MUST_USE;
void names_free(struct names **names);

enum names_result names_bind(struct names *names, struct span name, unsigned flags, struct outbox *ob) MUST_USE;
/* Unbinds one name of a link. False: it had not bound it. */
bool names_unbind(struct names *names, struct span name, struct outbox *ob);
bool names_bound_by_rcu(const struct names *names, struct span name, const struct outbox *ob);

/* The one link that keeps a name from being bound so. NULL: none does, or several. Borrowed inside the read section. */
struct outbox *names_holder_rcu(const struct names *names, struct span name, unsigned flags);

/* The link for a name. Several binders: picked by a hash of the bare JID to (its node), at random where to is NULL or has no node: jabberd2's
 * rule (SHA-1 of the bare JID, its words 1, 2 and 3 XORed, >> 2, mod n). NULL: nobody; then the default route. Borrowed inside the read section. */
struct outbox *names_find_rcu(const struct names *names, struct span name, const struct jid *to);
struct outbox *names_default_rcu(const struct names *names);
/* The router that we dialled, where everything goes that no link of ours serves. NULL: none or not online. */
void names_set_router(struct names *names, struct outbox *ob);
struct outbox *names_router_rcu(const struct names *names);
/* Calls fn for every bound name. Log sinks: for every outbox bound with NAME_LOG. */
void names_each_rcu(const struct names *names, void (*fn)(struct span name, unsigned flags, struct outbox *ob, void *arg), void *arg);
void names_logs_rcu(const struct names *names, void (*fn)(struct outbox *ob, void *arg), void *arg);
bool names_have_logs_rcu(const struct names *names);

/* Tells the shards that a component is gone or here. name empty: the whole link, with everything that came over it. */
struct peer_gone {
	struct letter letter;   /* LETTER_PEER_GONE or LETTER_PEER_HERE */
	struct outbox *link;    /* a counted reference, unref when handled */
	uint32_t name_len;
	char name[];
};

#endif
