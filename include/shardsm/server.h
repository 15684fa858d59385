/* server.h - the shards as a whole, as main.c starts and stops them.
 * Threads: main's.
 * Owns: the shards, their threads, users and sessions.
 */
#ifndef SHARDSM_SERVER_H
#define SHARDSM_SERVER_H

#include "shardsm/config.h"
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
struct server *server_new(const struct server_settings *settings) MUST_USE; /* NULL: logged */
bool server_start(struct server *server) MUST_USE;                          /* starts the threads */
/* Reads everything that modules and access lists take from the config. False: no memory. Bad values are counted in config_errors(). */
bool server_read_options(struct config *config, struct change *change) MUST_USE;
void server_retune(struct server *server, const struct server_tuning *tuning); /* while the shards stand still */
/* For --check: a line for each thing that its modules need beside the store, "mail: ...". Empty: none. */
void server_describe(const struct server *server, char *out, size_t cap);
struct mailbox *const *server_mailboxes(const struct server *server);       /* nshards of them */
/* Works off what is queued, ends every session as the stock sm does (ended, unavailable, rows), waits for the store's answers, then
 * stops the threads; each wait is bounded by half of ms. Nobody may post packets any more. */
void server_stop(struct server *server, int ms);
void server_free(struct server **server); /* after server_stop() and store_close() */

#endif
