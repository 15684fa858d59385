/* engine.h - what a database engine does for the store.
 * Threads: prepare and describe run on the opener's thread; a connection is used by one thread at a time.
 * Owns: an engine owns its connections, from open to close.
 * An engine that sends statements ahead (pipelining) may report a request's failure at commit: the store then runs every
 * request of the group again, each in a transaction of its own.
 */
#ifndef SHARDSM_STORE_ENGINE_H
#define SHARDSM_STORE_ENGINE_H

#include "store/request.h"
#include "store/store_internal.h"

enum engine_result {
	ENGINE_OK,
	ENGINE_BUSY,   /* somebody else holds a lock for longer than busy_timeout_ms: nothing happened, may be tried again */
	ENGINE_FULL,   /* no room on the disk */
	ENGINE_FAILED,
};

struct engine {
	const char *name; /* in <driver> and in the config's section of its settings */

	/* Once, before the first open: creates the schema in an empty database, checks the one that is there.
	 * False: why was logged, with what would be right. */
	bool (*prepare)(const struct store_settings *settings);
	/* A connection, or NULL: why was logged. */
	void *(*open)(const struct store_settings *settings);
	void (*close)(void *connection);
	/* One line for people. Opens a connection of its own. */
	void (*describe)(const struct store_settings *settings, char *out, size_t cap);

	/* A group: begin, run each request, commit; after a failure of any of them rollback (which cannot fail). */
	enum engine_result (*begin)(void *connection);
	enum engine_result (*run)(void *connection, struct store_req *req);
	enum engine_result (*commit)(void *connection);
	void (*rollback)(void *connection);
	/* A request that only reads, in a transaction of its own: all of its statements see one state. */
	enum engine_result (*read)(void *connection, struct store_req *req);
	/* Why the last begin, run, commit or read failed; until the next of them. */
	const char *(*error)(const void *connection);
};

extern const struct engine engine_sqlite;

/* NULL: no such engine. */
const struct engine *engine_find(struct span name);
/* "sqlite, ...": for messages. */
const char *engine_names(void);

#endif
