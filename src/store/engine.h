/* engine.h - what a database engine does for the store.
 * Threads: prepare and describe run on the opener's thread; a connection is used by one thread at a time.
 * Owns: an engine owns its connections, from open to close.
 */
#ifndef SHARDSM_STORE_ENGINE_H
#define SHARDSM_STORE_ENGINE_H

#include "store/request.h"
#include "store/store_internal.h"

enum engine_result {
	ENGINE_OK,
	ENGINE_BUSY,    /* somebody else holds a lock for longer than busy_timeout_ms: nothing happened, may be tried again */
	ENGINE_FULL,    /* no room on the disk, or the database takes no writes for the time being: nothing happened */
	ENGINE_FAILED,  /* the database said no: nothing happened */
	ENGINE_LOST,    /* the connection is gone and nothing happened: may be tried again after reconnect */
	ENGINE_UNKNOWN, /* the connection broke while the commit was on its way: all of it happened or nothing, see outcome */
};

enum engine_outcome {
	OUTCOME_COMMITTED,
	OUTCOME_NOTHING,   /* it did not happen, and never will */
	OUTCOME_OPEN,      /* not decided yet: to be asked again */
	OUTCOME_LOST,      /* the connection broke again: reconnect, ask again */
	OUTCOME_UNKNOWN,   /* nobody can tell any more */
};

struct engine {
	const char *name; /* in <driver> and in the config's section of its settings */

	/* Once, before the first open: creates the schema where there is none, checks the one that is there.
	 * False: why was logged, with what would be right. */
	bool (*prepare)(const struct store_settings *settings);
	/* Would prepare make the whole database? Changes nothing. NULL: it never does. */
	bool (*unmade)(const struct store_settings *settings);
	/* A connection, or NULL: why was logged. The settings outlive it. */
	void *(*open)(const struct store_settings *settings);
	void (*close)(void *connection);
	/* One line for people. Opens a connection of its own. */
	void (*describe)(const struct store_settings *settings, char *out, size_t cap);

	/* Requests that write, in order, in one transaction: all of them or none. *culprit: with ENGINE_FAILED, the one that
	 * the database refused; n when it is not known. */
	enum engine_result (*write)(void *connection, struct store_req **reqs, unsigned n, unsigned *culprit);
	/* A request that only reads, in a transaction of its own: all of its statements see one state. */
	enum engine_result (*read)(void *connection, struct store_req *req);
	/* NULL: nothing would be gained. Around reads that were all submitted before the first: they see one state, and what every
	 * one of them would do at its beginning and end is done once. */
	enum engine_result (*reads_begin)(void *connection);
	void (*reads_end)(void *connection);
	/* Why the last of write, read, reconnect or outcome failed; until the next of them. */
	const char *(*error)(const void *connection);

	/* NULL: connections of this engine cannot be lost. One try to make a lost connection anew; it may take as long as a
	 * connection attempt does. */
	bool (*reconnect)(void *connection);
	/* After ENGINE_UNKNOWN and reconnect: what became of that commit. */
	enum engine_outcome (*outcome)(void *connection);
};

extern const struct engine engine_sqlite, engine_pgsql, engine_mysql;

/* NULL: no such engine. */
const struct engine *engine_find(struct span name);
/* "sqlite, ...": for messages. */
const char *engine_names(void);
/* What describe says of a database. users: -1: it cannot be read. */
void engine_found(const struct store_settings *settings, const char *where, int64_t users, char *out, size_t cap);

#endif
