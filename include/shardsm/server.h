/* server.h - the shards as a whole, as main.c starts and stops them.
 * Threads: main's.
 * Owns: the shards, their threads, users and sessions.
 */
#ifndef SHARDSM_SERVER_H
#define SHARDSM_SERVER_H

#include "shardsm/buf.h"
#include "shardsm/config.h"
#include "shardsm/deadline.h"
#include "shardsm/jid.h"
#include "shardsm/mailbox.h"
#include "shardsm/names.h"
#include "shardsm/route.h"
#include "shardsm/store.h"
#include "shardsm/tunables.h"

/* What may change while the shards stand still. */
struct server_tuning {
	struct route_limits limits;
	bool auto_create;
	uint32_t user_queue;            /* packets that may wait for one user's store answer */
	uint64_t waiting_bytes;         /* of all packets that wait for store answers, a shard's share of it each; 0: no limit */
	uint64_t shard_bytes;           /* a shard with twice as much before it is sent nothing more that can be refused; 0: no limit */
	uint32_t user_sessions, sessions, users; /* 0: no limit */
};

struct server_settings {
	struct config *config;          /* module chains and options */
	struct span id;                 /* the sm's component name */
	const struct span *domains;     /* served, prepared */
	uint32_t ndomains, nshards;
	struct names *names;
	struct store *store;
	bool detour;                    /* <local-delivery>router</local-delivery> */
	struct server_tuning tuning;
};

struct server;
/* NULL: logged, or a bad value that is counted in config_errors(). */
struct server *server_new(const struct server_settings *settings) MUST_USE;
bool server_start(struct server *server) MUST_USE;                          /* starts the threads */
/* Reads everything that modules and access lists take from the config. False: no memory. Bad values are counted in config_errors(). */
bool server_read_options(struct config *config, struct change *change) MUST_USE;
void server_retune(struct server *server, const struct server_tuning *tuning); /* while the shards stand still */
/* For --check: a line for each thing that its modules need beside the store, "mail: ...". Empty: none. */
void server_describe(const struct server *server, char *out, size_t cap);
struct mailbox *const *server_mailboxes(const struct server *server);       /* nshards of them */

/* --- looking in, from a thread that is no shard -------------------------------------------------------------------- */

struct server_load { uint64_t queue_bytes; uint32_t parked; };
struct server_load server_load(const struct server *server, uint32_t shard);
void server_drain(struct server *server); /* no session starts any more */

enum server_question {
	ASK_SESSIONS, /* one line for each session, at most limit of a shard */
	ASK_USER,     /* what is in memory of one user */
	ASK_KICK,     /* ends a user's sessions, or the one with that resource, as their c2s sees it; a line for each */
};

/* A question on its way to one shard, and its answer on the way back. */
struct server_answer {
	struct letter letter;
	struct mailbox *to;
	uint64_t token;
	enum server_question question;
	uint32_t limit;
	uint32_t count, left_out; /* lines; sessions beyond the limit */
	struct buf text;
	struct jid jid;           /* s NULL: everybody; its text follows */
	char room[];
};

/* Asks the shard of jid, or all of them where jid is NULL. Each answers to mailbox `to`, once. Returns how many; 0: no memory. */
uint32_t server_ask(struct server *server, const struct server_answer *question, const struct jid *jid) MUST_USE;
void server_answer_free(struct server_answer *answer);

/* Works off what is queued, ends every session as the stock sm does (ended, unavailable, rows), waits for the store's answers, then
 * stops the threads. What is queued has until WORKED_OFF_PERCENT of the deadline, sessions until ENDED_PERCENT. Nobody may post packets
 * any more. False: something was left, the log says what. */
#define WORKED_OFF_PERCENT 50
#define ENDED_PERCENT 75
bool server_stop(struct server *server, const struct deadline *deadline) MUST_USE;
void server_free(struct server **server); /* after server_stop() and store_close() */

#endif
