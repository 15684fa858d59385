/* shard.h - a shard from inside: its tables, its trays, the packets that wait.
 * Threads: struct shard is its own thread's; struct server is fixed before the threads start.
 * Owns: everything below a shard dies with it.
 */
#ifndef SHARDSM_SHARD_H
#define SHARDSM_SHARD_H

#include <assert.h>
#include <pthread.h>

#include "shard/index.h"
#include "shardsm/module.h"
#include "shardsm/names.h"
#include "shardsm/outbox.h"
#include "shardsm/rcu.h"
#include "shardsm/server.h"

#define MODULES_MAX 48 /* of one chain */
#define BURST_MAX 16u /* packets whose look-ups are fetched together: what they touch fits the nearest cache */
#define SCRATCHES 4

typedef enum verdict hook_fn(struct event *ev);

struct chain_list {
	uint8_t n;
	uint8_t next[SUBJECTS][MODULES_MAX + 1]; /* from here on, the first with a hook in this chain for such a packet; n: none */
	hook_fn *hooks[MODULES_MAX];   /* the modules' in this chain; NULL: none */
	const struct module *modules[MODULES_MAX];
};

struct server {
	struct server_settings set;
	struct chain_list chains[CHAIN_COUNT];
	struct shard **shards;
	struct mailbox **boxes;
	uint64_t started_ms; /* monotonic */
	struct mailer *mailer; /* NULL: no module in use sends mail */
	_Atomic bool draining;
	const struct deadline *stop; /* set before the letter that says it */
	_Atomic uint32_t sessions_left; /* by then */
	bool everybody; /* the module active is in no chain: whoever c2s lets in has an account (anonymous logins) */
	char os[64];
};

/* A component that holds sessions on this shard: a c2s, by name and link. */
struct peer {
	struct peer *next;
	struct outbox *link;        /* counted */
	struct session *sessions;
	bool gone;                  /* its sessions count as ended, and end in the coming turns: see sessions_end_gone() */
	uint32_t name_len;
	uint32_t head_len;
	char text[];                /* name, then the rendered beginning of every route to it, up to from=' */
};

/* A packet whose handler waits for the store. */
struct parked {
	struct packet *packet;      /* kept; NULL for loads and for writes that nobody waits for */
	struct user *user;          /* pinned; NULL: none */
	struct sm_id session;       /* of ev->session */
	resume_fn *fn;
	void *state;
	uint64_t token;
	uint8_t chain, at, type;
	bool has_session, to_self, blocks, lost; /* lost: its c2s went away meanwhile */
	struct parked *blocked_next, **blocked_at; /* blocks: of the shard's that do */
	bool is_load, offline_write;
	const struct module *second;  /* of a load: whose second read this is */
	uint8_t parts;              /* of a load */
	int first[];                /* of a load alone, MODULES_MAX of them: each module's first statement */
};

struct waiting {
	struct waiting *next;
	struct packet *packet;      /* kept */
};

/* Who went over the limit of queries, by hash of the bare JID. */
#define THROTTLED_MAX 64
struct throttled { uint64_t hash, until_ms; };

/* emit.c: what the sessions get alike that a packet goes to, written once. */
struct shared {
	const struct packet *packet;  /* NULL: none goes to many */
	struct buf opening, closing;  /* of the stanza, up to the value of `to` and from the end of its last attribute on */
	struct piece { char text[32]; uint32_t n; } c2s, sm; /* what stands before the values of c2s and sm; copied whole, in constant size */
	struct buf head;              /* a route's start tag and opening */
	const struct peer *peer;      /* head is for sessions of that peer; NULL: of one session alone */
	struct slice domain;          /* in head: and of that domain */
};

struct shard {
	/* fixed for life */
	uint32_t index;
	struct server *server;
	pthread_t thread;
	struct mailbox box;
	char name[24];
	/* mutates */
	struct index own_users, own_sessions;
	struct index online;          /* users with available sessions; every thread looks into it */
	struct session *gone_sessions SHARDS; /* of this turn: freed at its end, as whoever is at work may still hold them */
	struct user *gone_users SHARDS;
	struct dispatch_tray tray;
	struct out_tray *out SHARDS;
	struct route_scanner scanner SHARDS; /* for stanzas of our own that go to another user */
	struct peer *peers SHARDS;
	uint32_t gone_peers SHARDS;          /* of them */
	struct parked **parks SHARDS;
	uint32_t nparks, free_parks;  /* table size; first free slot + 1 (chained through park_next) */
	uint32_t *park_next, *park_gen;
	struct store_req *rows SHARDS;       /* of event_rows(), not submitted yet; NULL: none */
	uint32_t nrows SHARDS;
	uint64_t waiting_bytes SHARDS;       /* of what packet_hold() made */
	_Atomic uint32_t open_parks;  /* answers that are still to come; main looks at it when stopping */
	_Atomic uint64_t turns;       /* bursts worked off; as above */
	struct parked *blocked SHARDS;       /* those that users' packets wait behind */
	const struct event *now SHARDS;      /* whose chain runs: what is sent may be that user's. NULL: nobody's */
	struct buf *lists;            /* fanout.c: addressees, one list for each shard */
	struct deferral *deferrals SHARDS;
	const struct outbox *keeps_up SHARDS; /* in this turn, as long as nothing much was sent; NULL: nobody was asked about */
	uint32_t kept_up;             /* out_relieve() then */
	uint64_t fanned_out SHARDS;          /* bytes that clients will get of what went to many in this turn, about */
	struct shared shared;
	struct buf scratch[SCRATCHES], wire, render, reply, fresh_id;
	struct buf except SHARDS;            /* emit.c: of the packet that is passed on */
	uint64_t fresh SHARDS;
	struct throttled throttled[THROTTLED_MAX] SHARDS;
	bool leaving SHARDS;
};

#ifdef SHARDSM_DEVELOPER
#define assert_owner(shard) assert(pthread_equal(pthread_self(), (shard)->thread))
#else
#define assert_owner(shard) ((void)(shard))
#endif

/* shard.c */
void shard_post_out(struct shard *shard) ON_SHARD; /* end of a burst: trays out */
/* Works off what the mailbox holds, as one burst. False: it was empty. The shard's thread calls nothing else; a test may be that thread. */
bool shard_turn(struct shard *shard) ON_SHARD;

/* when_written() for any link. u: pinned meanwhile, may be NULL. */
bool link_when_written(struct shard *shard, struct outbox *link, struct user *u, written_fn *fn, uint64_t arg) ON_SHARD MUST_USE;

/* defer.c */
bool defer(struct shard *shard, struct packet *p) ON_SHARD; /* does a packet that has come wait? Then it is kept, or was answered */
void defer_end(struct shard *shard, const struct outbox *link) ON_SHARD; /* what waits of that link is worked off */
void on_round(struct shard *shard, struct letter *letter) ON_SHARD;
void deferrals_free(struct shard *shard) ON_SHARD;

/* ahead.c: what dispatch() is about to look up. Begun with the letters of a turn; then a step before each packet of theirs, in their order. */
struct ahead {
	struct shard *shard;
	struct letter *last;   /* of the turn */
	struct batch *batch;   /* of packet */
	struct packet *packet; /* the next that was not looked at; NULL: there is none */
	uint32_t left;         /* that were, and are still to come up */
};
void ahead_begin(struct ahead *a, struct shard *shard, struct letter *first, struct letter *last) ON_SHARD; /* first NULL: no letters */
void ahead_step(struct ahead *a) ON_SHARD;
/* The first user of each hash, NULL: none; whoever reads them next finds them fetched. n: BURST_MAX at most. */
void prefetch_users(struct shard *shard, const uint64_t *hashes, struct user **users, uint32_t n) ON_SHARD;

/* dispatch.c: one packet, start to finish */
void dispatch(struct shard *shard, struct packet *p) ON_SHARD;
void dispatch_to_user(struct event *ev, struct user *u) ON_SHARD; /* fresh from event_init(), presence from one of our shards; u: whose it is */
void dispatch_resume(struct shard *shard, uint64_t token, struct store_req *answer) ON_SHARD; /* NULL: of a park that waited for something else */
void event_init(struct event *ev, struct shard *shard, struct packet *p) ON_SHARD;
void event_fini(struct event *ev) ON_SHARD;
void event_finish(struct event *ev, enum verdict v) ON_SHARD; /* what comes of a chain's verdict */
void reply_condition(struct shard *shard, struct packet *p, enum stanza_condition c) ON_SHARD;
bool packet_refusable(const struct packet *p); /* does reply_condition() tell somebody, and may the packet be lost to its addressee? */

/* chain.c */
void chains_read(struct server *server);
bool chains_mail(const struct server *server); /* does a module in use send mail? */
enum verdict chain_run(struct event *ev, enum chain chain, uint8_t from) ON_SHARD;
void chain_component(struct shard *shard, struct span name, const struct outbox *link, bool here) ON_SHARD;
enum stanza_type stanza_type_of(enum payload payload, struct span type);

/* control.c */
void control(struct shard *shard, struct packet *p) ON_SHARD;
void control_count(const struct packet *p);
void control_failed(struct shard *shard, struct packet *p) ON_SHARD;
void control_leave(struct event *ev, enum verdict v) ON_SHARD; /* an account's modules have seen it go: its rows are deleted */
void control_unknown_session(struct shard *shard, struct packet *p) ON_SHARD;
void control_ended(struct shard *shard, struct session *s, const char *action) ON_SHARD;

/* user.c */
struct user *user_find(struct shard *shard, struct span bare, uint64_t hash) ON_SHARD;
/* Is the user with that hash online? Any thread that is registered with RCU; now and then it says yes of one who is not. */
bool online_any(struct server *server, uint64_t hash);
/* What that will read. */
static inline void online_prefetch(const struct server *server, uint64_t hash)
{
	index_prefetch(&server->shards[shard_of_tag(hash_tag(hash), server->set.nshards)]->online, hash);
}
bool user_one_available(struct user *u) ON_SHARD MUST_USE; /* one more of its sessions; false: no memory */
void user_one_unavailable(struct user *u) ON_SHARD;
void users_free_gone(struct shard *shard) ON_SHARD; /* the turn is over */
/* The user with those parts loaded and nobody in front; else NULL and the packet waits (or was answered with an error). */
struct user *user_for(struct shard *shard, const struct jid *jid, unsigned parts, struct packet *p) ON_SHARD;
static inline bool user_has(const struct user *u, unsigned parts) /* ... at once */
{
	return !u->parked && (u->draining || !u->last) && (u->parts & parts) == parts;
}
void user_wait(struct user *u, struct packet *p) ON_SHARD;
void user_settle(struct user *u) ON_SHARD; /* runs who waits, unloads who is not needed; u may be gone after */
void user_loaded(struct shard *shard, struct parked *park, const struct store_req *answer) ON_SHARD;
void user_peer_lost(struct shard *shard, struct span name, const struct outbox *link) ON_SHARD;
void users_free(struct shard *shard); /* at the end: whatever is left */
void user_forget(struct user *u) ON_SHARD; /* parts unloaded: a deleted account */

/* fanout.c */
bool fanout_init(struct shard *shard) MUST_USE;
void fanout_fini(struct shard *shard);
void fanout_add(struct shard *shard, struct packet *p) ON_SHARD;  /* to p->to: at once, or with the lists; not at all to a user of ours who is offline */
void fanout_count(struct shard *shard, const struct packet *p) ON_SHARD; /* another that goes to one of many */
bool fanout_send(struct shard *shard, struct packet *p) ON_SHARD MUST_USE; /* the lists; false: some of it was lost (no memory) */
void fanout_deliver(struct shard *shard, struct packet *p) ON_SHARD; /* to each of its list */

/* session.c */
struct session *session_find(struct shard *shard, const struct sm_id *id) ON_SHARD;
struct session *session_start(struct shard *shard, struct user *u, const struct packet *p) ON_SHARD;
void session_end(struct shard *shard, struct session *s) ON_SHARD; /* unavailable, sess-end, unlinked; the user is not settled */
void session_drop(struct shard *shard, struct session *s) ON_SHARD; /* at the end: nobody is told */
void sessions_free_gone(struct shard *shard) ON_SHARD; /* the turn is over */
void sessions_peer_gone(struct shard *shard, struct span name, struct outbox *link) ON_SHARD;
void sessions_end_gone(struct shard *shard, uint32_t n) ON_SHARD; /* n of those whose c2s is gone */
void sessions_reap(struct user *u) ON_SHARD; /* this user's of those: before anything is done for it; the user is not settled */
bool sessions_end_some(struct shard *shard, uint32_t n) ON_SHARD; /* each is told; true: there are more */
void peers_free(struct shard *shard); /* at the end */
bool peer_is(const struct peer *peer, struct span name, const struct outbox *link);

/* inspect.c */
void inspect(struct shard *shard, struct letter *question) ON_SHARD;

/* limit.c */
extern const struct tunables query_limit;
/* A client's packet: over the limit of stanzas it was answered, and nothing more may be done with the event. */
bool stanza_over_limit(struct event *ev) ON_SHARD;
/* A client's packet: over the limit it was answered, and that user's sessions have ended: nothing more may be done with the event. */
bool query_over_limit(struct event *ev) ON_SHARD;
bool query_refused_from_others(struct event *ev) ON_SHARD; /* a packet for ev->user */

/* park.c */
/* A copy that waits for the store, counted. NULL: no memory, or as much waits already as may (anyway: never for that). */
struct packet *packet_hold(struct shard *shard, const struct packet *p, bool anyway) ON_SHARD MUST_USE;
void packet_unhold(struct shard *shard, const struct packet *held) ON_SHARD; /* it is in hand again, to be dropped by packet_drop() */
struct parked *park_new(struct shard *shard, struct user *u, bool blocks) ON_SHARD;
struct parked *park_load(struct shard *shard, struct user *u) ON_SHARD; /* of a load: it blocks */
struct parked *park_take(struct shard *shard, uint64_t token) ON_SHARD; /* NULL: unknown */
/* The user's packets wait until what was sent to that session is written to its link, or never will be; without memory they do not. */
void user_await_written(struct session *s) ON_SHARD;
/* The park's question to the store. Takes it. */
void park_submit(struct shard *shard, const struct parked *park, struct store_req **req, unsigned flags) ON_SHARD;
void rows_flush(struct shard *shard) ON_SHARD; /* submits what event_rows() has gathered */
void park_free(struct shard *shard, struct parked **park) ON_SHARD;     /* unpins, unblocks; the user is not settled */

/* stored.c */
bool stored_read(struct shard *shard, struct span row, struct packet *out, char *from, char *to) ON_SHARD;

/* emit.c */
void emit_to_session(struct shard *shard, struct session *s, const struct packet *p, const struct jid *to) ON_SHARD;
bool emit_route(struct shard *shard, struct outbox *ob, struct span route) ON_SHARD; /* a whole route of ours */
bool emit_to_link(struct shard *shard, struct outbox *ob, const struct packet *p) ON_SHARD;
/* Do the privacy lists of the session's user let it hear this packet? False: it is dropped. */
bool session_hears(struct shard *shard, struct session *s, const struct packet *p) ON_SHARD;
void send_answer(struct shard *shard, struct session *s, const struct stanza *st) ON_SHARD; /* s NULL: by st->to */

/* render.c: in the shard's render buffer, until the next one. False: no memory, or it is not well-formed (logged). */
bool packet_of_stanza(struct shard *shard, const struct stanza *st, struct packet *out) ON_SHARD MUST_USE;
bool render(struct shard *shard, struct buf *b, const struct stanza *st, struct packet *out) ON_SHARD MUST_USE;

void shard_scanner_ready(struct shard *shard); /* shard.c: puts the scanner behind a stream header */

static inline struct packet *packet_bare_of(struct packet *p, const struct jid *from, const struct jid *to)
{
	p->from = *from;
	p->to = *to;
	return p;
}

/* Whoever includes this says which of its functions are the shard's. */
#ifdef __clang__
#pragma clang diagnostic error "-Wthread-safety-analysis"
#endif

#endif
