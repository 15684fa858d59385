/* privacy.h - a user's privacy lists: XEP-0016, and XEP-0191 as a way to edit the default one.
 * Threads: the owning shard's.
 * Owns: a user owns its struct privacy, that counts references on its lists; a list never changes once it is made. An edit makes
 * a new struct privacy, which takes the place of the old one when it is committed.
 */
#ifndef SHARDSM_MODULE_PRIVACY_H
#define SHARDSM_MODULE_PRIVACY_H

#include "shardsm/module.h"

#define NS_PRIVACY "jabber:iq:privacy"
#define NS_BLOCKING "urn:xmpp:blocking"
#define BLOCKING_LIST NS_BLOCKING /* COMPAT jabberd2: what it calls the list that blocking makes */

#define LIST_NAME_MAX 255 /* bytes; jabberd2 cuts names there */
#define GROUP_NAME_MAX 1023 /* as in rosters */

enum rule_type { RULE_ANY, RULE_JID, RULE_GROUP, RULE_SUBSCRIPTION };

/* What a rule is for, as stored; 0: everything, subscription stanzas too. */
enum rule_mask { MASK_MESSAGE = 1, MASK_PRESENCE_IN = 2, MASK_PRESENCE_OUT = 4, MASK_IQ = 8, MASK_ALL = 15 };

struct rule {
	int32_t order;
	uint32_t at;                    /* of its value in the list's text */
	uint16_t len, bare_len, node_len; /* of the value; the latter two of RULE_JID */
	uint8_t type, mask;
	bool deny;
};

/* Immutable, one block. */
struct privacy_list {
	uint32_t refs;
	uint32_t n;
	uint16_t name_len;
	bool uses_roster;
	struct rule rules[]; /* in the order in which they are tried; behind them the name and the values */
};

struct rule_fields {
	int32_t order;
	uint8_t type, mask; /* enum rule_type; enum rule_mask, MASK_ALL becomes 0 */
	bool deny;
	struct span value;  /* RULE_JID: prepared */
};

struct active {
	struct sm_id session; /* may have ended meanwhile: then it is nobody's */
	struct privacy_list *list;
};

struct privacy {
	uint32_t n, nactive;
	struct privacy_list *def; /* NULL: none */
	struct privacy_list **lists;
	struct active *actives;
};

/* --- privacy_list.c ---------------------------------------------------------------------------------------------------- */

/* Sorts by order, equals as they came. One reference is the caller's. NULL: no memory. */
struct privacy_list *privacy_list_new(struct span name, const struct rule_fields *rules, uint32_t n) MUST_USE;
void privacy_list_unref(struct privacy_list **list);
struct span privacy_list_name(const struct privacy_list *list);
struct rule_fields privacy_rule(const struct privacy_list *list, uint32_t i);
/* Is it how XEP-0191 says that a JID is blocked? */
bool privacy_blocks(const struct rule *r);
/* The rule that blocks a JID; list->n: none. list may be NULL. */
uint32_t privacy_blocked(const struct privacy_list *list, struct span jid);

/* Is rule i about one resource of an account? Its JID, borrowed. */
bool privacy_names_resource(const struct privacy_list *list, uint32_t i, struct jid *out);
/* The first rule about that very JID; list->n: none. */
uint32_t privacy_first(const struct privacy_list *list, struct span jid);

/* Does the list (NULL: none) deny what is exchanged with peer? kind: one enum rule_mask, or 0 for subscription stanzas and probes,
 * which only rules for everything are about. u: whose list, for its roster. */
bool privacy_denies(const struct privacy_list *list, const struct user *u, const struct jid *peer, uint8_t kind);
/* The same if that were the peer's item in the roster; NULL: it had none. */
bool privacy_denies_as(const struct privacy_list *list, const struct user *u, const struct jid *peer, uint8_t kind,
	const struct roster_item *item);

/* --- privacy_set.c: all lists of a user ------------------------------------------------------------------------------------ */

/* A copy to be edited; of nothing: an empty one. Actives of sessions that ended are left behind. NULL: no memory. */
struct privacy *privacy_copy(const struct user *u) MUST_USE;
void privacy_free(struct privacy **p);
struct privacy_list *privacy_find(const struct privacy *p, struct span name); /* p may be NULL */
/* The list that is in force: the session's active one, else the default. s NULL: for the account. NULL: none. */
struct privacy_list *privacy_in_force(const struct privacy *p, const struct session *s);
struct privacy_list *privacy_active(const struct privacy *p, const struct session *s);
/* In the place of the one of its name. Takes it in any case. */
bool privacy_put(struct privacy *p, struct privacy_list **list) MUST_USE;
void privacy_remove(struct privacy *p, struct privacy_list *list); /* is nobody's active list and not the default any more */
bool privacy_activate(struct privacy *p, const struct session *s, struct privacy_list *list) MUST_USE;
int privacy_load_ask(struct store_req *req);
bool privacy_load_done(struct user *u, const struct store_req *req, int first);
void privacy_unload(struct user *u);

/* --- privacy_change.c ---------------------------------------------------------------------------------------------------------- */

enum asked { ASKED_BLOCKLIST = 1, ASKED_LISTS = 2 };

/* What is told about a change. */
struct privacy_news {
	struct span list;     /* the name of the list that changed; empty: none */
	struct span blocking; /* the push of a block or unblock, XML; empty: what the default list's change comes to */
};

/* A request for the user's rows. NULL: no memory. */
struct store_req *privacy_request(const struct event *ev);
/* Rows of a list: away with the old ones, then the new ones. list NULL: away only. */
void privacy_store_list(struct store_req *req, struct span name, const struct privacy_list *list);
void privacy_store_rule(struct store_req *req, struct span name, const struct rule_fields *rule);
/* Writes (req NULL: there is nothing to write), and when that is committed: puts next into force, answers, tells. Takes next and req. */
enum verdict privacy_commit(struct event *ev, struct privacy **next, struct store_req **req, const struct privacy_news *news);

/* --- privacy_presence.c: what a change means for presence, by the lists before and after it ------------------------------------ */

void privacy_hide(struct event *ev, const struct privacy *old, const struct privacy *next); /* while old is in force */
void privacy_show(struct event *ev, const struct privacy *old, const struct privacy *next); /* when next is */
/* The same for a contact that turns into another for rules by group or subscription. */
void privacy_contact_turns(struct event *ev, const struct roster_item *old, const struct roster_item *next, bool after);

/* --- privacy_read.c, privacy_lists.c, privacy_blocking.c ----------------------------------------------------------------------- */

struct privacy_limits { uint32_t lists, items; }; /* of one user; in one list */
extern struct privacy_limits privacy_limits;
enum verdict privacy_too_many(struct event *ev, const char *what);

/* A <list/> of a request, with at least one item. V_PASS, or V_ERROR and why. */
enum verdict privacy_read_list(struct event *ev, struct xml *list, struct privacy_list **out);
enum verdict privacy_on_lists(struct event *ev);
enum verdict privacy_on_blocking(struct event *ev);

#endif
