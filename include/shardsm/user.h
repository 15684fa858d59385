/* user.h - users, their sessions and rosters, as modules see them.
 * Threads: the owning shard alone reads and changes them; what other threads may know is who is online, see online_any().
 * Owns: a user owns its sessions, roster and pending requests; all die with it, when the shard's turn ends.
 */
#ifndef SHARDSM_USER_H
#define SHARDSM_USER_H

#include "shardsm/hash.h"
#include "shardsm/jid.h"
#include "shardsm/roles.h"
#include "shardsm/route.h"

struct packet;
struct parked;
struct peer;
struct shard;
struct privacy;
struct vacation;

/* The parts of a user that the database holds, loaded when a packet first needs them. */
enum user_part {
	PART_ACCOUNT = 1, /* does it exist (table active) */
	PART_ROSTER = 2,  /* roster, groups, pending requests */
	PART_QUEUE = 4,   /* how many stanzas wait offline */
	PART_PRIVACY = 8, /* privacy lists: of everybody who sends or is sent anything */
	PART_ALL = 15,
};

/* One contact. Immutable: a change makes a new one. */
struct roster_item {
	uint8_t to, from, ask; /* jabberd2's columns: we see them, they see us, 0 none / 1 subscribe / 2 unsubscribe */
	bool named : 1;
	bool odd : 1; /* its JID is not that of an account or a server */
	uint16_t jid_len, name_len, ngroups, node_len;
	uint32_t groups_len;
	uint64_t hash; /* hash_bytes() of the JID; odd: 0 */
	char text[]; /* JID, name, then each group as two bytes of length (native order) and its bytes */
};

static inline struct span item_jid(const struct roster_item *i) { return span_of(i->text, i->jid_len); }
/* False: what the database held is no JID. */
static inline bool item_address(const struct roster_item *i, struct jid *out)
{
	if (unlikely(i->odd))
		return jid_split(out, item_jid(i));
	*out = (struct jid){ i->text, i->node_len, i->jid_len, i->jid_len };
	return true;
}
static inline struct span item_name(const struct roster_item *i) { return span_of(i->text + i->jid_len, i->name_len); }

/* A request for a subscription that the user has not answered. */
struct pending {
	struct pending *next;
	uint16_t jid_len;
	uint32_t attrs_len, xml_len;
	char text[]; /* the asker's bare JID, the request's id and language (" id='x'", raw), its content (raw XML) */
};

/* What clients that asked for it know their roster by; see module/roster_version.c. */
struct roster_version {
	uint64_t epoch;  /* unguessable, a new one when what clients remember is void */
	uint64_t digest; /* of the roster */
	uint32_t number; /* changes since the epoch began */
	bool used;       /* it is in the database: a client has asked for it */
};

struct roster {
	uint32_t n, cap;
	struct roster_version version;
	struct roster_item **items; /* sorted by JID bytes */
	struct pending *pending;    /* oldest first */
};

/* Bytes of the last available presence: pass-through attributes, then content, both raw XML. */
struct presence {
	int64_t stamp;
	uint32_t attrs_len, content_len;
	char text[];
};

/* A small set of JIDs. */
struct jid_set {
	uint32_t n, cap;
	struct jid_text { uint16_t len, bare_len, node_len; char *s; } *jids;
};

/* What few sessions have. */
struct session_extra {
	struct jid_set directed, bounced; /* whom directed presence went to, whose server bounced it */
	uint8_t nprivate;                 /* of the namespaces in private */
	uint64_t *private;                /* what it fetched from private storage, hashes of namespaces; malloc'd */
};

/* A million of them are idle: what not every one has is not in here. */
struct session {
	struct sm_id id;
	struct user *user;
	struct session *next SHARDS;                  /* of the same user, oldest first */
	struct peer *peer SHARDS;                     /* the c2s that holds it */
	struct session *peer_next, **peer_at;  /* of the same peer; ended: peer_next is the next that ended in this turn */
	struct presence *presence SHARDS;             /* NULL: not available */
	struct session_extra *extra SHARDS;           /* NULL: nothing of it */
	int8_t priority SHARDS;
	bool interested : 1 SHARDS; /* fetched the roster */
	bool versioned : 1 SHARDS;  /* and asked for its version: pushes carry it */
	bool fake : 1;       /* PBX: never top, no presence */
	bool greeted : 1 SHARDS;    /* sent an initial presence since it was last unavailable */
	bool replaced : 1 SHARDS;   /* ending, for another of its name */
	bool ended : 1 SHARDS;      /* ending; the memory lives until the turn is over */
	bool embedded : 1;          /* part of its user's memory */
	bool plain : 1 SHARDS;      /* nothing in its text has to be escaped */
	uint8_t asked SHARDS;   /* the module privacy's: what it fetched, and is told changes of */
	uint8_t c2s_len;
	uint16_t jid_len;
	char text[]; /* full JID, then c2s's id */
};

#define C2S_ID_MAX 43

struct user_counts;

/* As for sessions: a user that is online and idle is this, its session and their texts, in one piece: at a million users every other piece is
 * another miss of the caches and the TLB. What a message reads of it stands last, beside the session. */
struct user {
	struct roster *roster SHARDS;         /* malloc'd; NULL: nothing is in it, see user_roster() */
	struct user_counts *counts SHARDS;    /* malloc'd, see shard/limit.c; NULL: nothing was counted */
	struct vacation *vacation SHARDS;     /* malloc'd, one block; with PART_ACCOUNT. NULL: none is set */
	union {
		int64_t flushed SHARDS;         /* sequence up to which the queue was sent to a link, and is about to be deleted */
		struct user *gone_next SHARDS;  /* unloaded: the next that was in this turn */
	};
	uint32_t queued SHARDS;               /* stanzas in its offline queue, as of PART_QUEUE and our own puts */
	uint32_t writes SHARDS;               /* of its pins, writes to its offline queue */
	uint32_t nwaiting SHARDS;
	uint32_t available SHARDS;            /* of its sessions; not 0: the shard's index online tells every thread */
	struct shard *owner;
	uint64_t hash;                 /* of the bare JID */
	struct session *sessions SHARDS;      /* oldest first */
	struct parked *parked SHARDS;         /* a packet of this user waits for the store: later ones wait behind it */
	struct waiting *last SHARDS;          /* the last of those; they are a ring. NULL: none */
	struct privacy *privacy SHARDS;       /* the module privacy's; NULL: no lists */
	uint32_t pins SHARDS;                 /* store answers under way that name this user */
	uint16_t turns SHARDS;                /* counts sessions that became available or ceased to be */
	uint8_t parts SHARDS;                 /* enum user_part that are loaded */
	uint8_t needs SHARDS;                 /* enum user_part without which its privacy lists cannot be read */
	uint16_t node_len, bare_len;
	uint16_t embedded_room;        /* behind this there is place for a session with so many bytes of text; 0: none, see shard/embedded.h */
	uint8_t text_at;               /* where the bare JID is, from the beginning of this: with such a place at the beginning of its text */
	bool embedded_used : 1 SHARDS;        /* a session is in that place */
	bool exists : 1 SHARDS;               /* true once PART_ACCOUNT found a row */
	bool draining : 1 SHARDS;
	bool verified : 1 SHARDS;             /* the module verify's: its e-mail address is; with PART_ACCOUNT */
};

SHARD_THREAD_BEGIN
extern const struct roster roster_none;
static inline const struct roster *user_roster(const struct user *u) { return u->roster ? u->roster : &roster_none; }
static inline bool user_has_waiting(const struct user *u) { return u->last != NULL; }

static inline struct span user_bare(const struct user *u) { return span_of((const char *)u + u->text_at, u->bare_len); }
static inline struct jid user_jid(const struct user *u)
{
	return (struct jid){ user_bare(u).p, u->node_len, u->bare_len, u->bare_len };
}
static inline struct jid session_jid(const struct session *s)
{
	return (struct jid){ s->text, s->user->node_len, s->user->bare_len, s->jid_len };
}
static inline struct span session_c2s(const struct session *s) { return span_of(s->text + s->jid_len, s->c2s_len); }
static inline bool session_available(const struct session *s) { return s->presence != NULL; }

struct session *user_session(const struct user *u, struct span resource); /* NULL: none */
/* The available, non-PBX session with the highest priority that is not negative, the oldest of equals. NULL: none. */
struct session *user_top(const struct user *u);

/* Its extra, made where it has none. NULL: no memory. */
struct session_extra *session_extra(struct session *s);
bool session_bounced(const struct session *s, const struct jid *j); /* did j's server bounce its presence? */
void session_forget_bounced(struct session *s, const struct jid *j);
void session_forget_directed(struct session *s, const struct jid *j);
void session_extra_free(struct session *s);

/* Rosters. */
const struct roster_item *roster_find(const struct user *u, struct span jid);
/* The item that stands for a JID: the bare one, else the full one. NULL: none. */
const struct roster_item *roster_for(const struct user *u, const struct jid *j);
bool roster_lets_see(const struct user *u, const struct jid *j); /* may j see our presence: from, or our own account */
struct pending *roster_pending(const struct user *u, struct span bare);
/* Puts an item in place of the one with its JID. Takes it. False: no memory, the item is freed, the roster unchanged. */
bool roster_put(struct user *u, struct roster_item **item) MUST_USE;
void roster_remove(struct user *u, struct span jid);
bool roster_version_put(struct user *u, const struct roster_version *v) MUST_USE; /* false: no memory */
void roster_free(struct user *u);
bool roster_pending_put(struct user *u, struct span bare, struct span attrs, struct span xml) MUST_USE;
void roster_pending_remove(struct user *u, struct span bare);

struct item_fields {
	struct span jid, name;
	bool named;
	uint8_t to, from, ask;
	const struct span *groups;
	uint32_t ngroups;
};
struct roster_item *roster_item_new(const struct item_fields *f) MUST_USE;
struct roster_item *roster_item_copy(const struct roster_item *item) MUST_USE; /* NULL: no memory */
/* Group number i; *at starts as NULL and is the walker's own. */
struct span item_group(const struct roster_item *item, const char **at);

bool jid_set_has(const struct jid_set *set, const struct jid *j);
bool jid_set_add(struct jid_set *set, const struct jid *j, uint32_t limit) MUST_USE; /* false: full or no memory */
void jid_set_remove(struct jid_set *set, const struct jid *j);
void jid_set_fini(struct jid_set *set);

SHARD_THREAD_END

#endif
