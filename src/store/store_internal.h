/* store_internal.h - opening a store without a config file.
 * Threads: as for store.h.
 * Owns: as for store.h.
 */
#ifndef SHARDSM_STORE_INTERNAL_H
#define SHARDSM_STORE_INTERNAL_H

#include "shardsm/store.h"

/* Requests that one store thread may have before it; a second's work at 50,000 puts/s. Past it STORE_FULL. */
#define STORE_QUEUE_REQUESTS 65536u
/* And their bytes: the other way for a queue to grow, a few large requests. */
#define STORE_QUEUE_BYTES ((size_t)192 << 20)
/* Requests in one transaction. The cost of a commit is spread over that many; more would only make the first wait. */
#define STORE_GROUP_MAX 1000u

struct store_settings {
	const char *driver;    /* an engine's name */
	const char *dbname;
	const char *sql;       /* run on every connection after opening it; NULL: none */
	const char *prefix;    /* in front of every table's name; NULL: none */
	int busy_timeout_ms;   /* how long to wait for a lock that another process holds */
};

/* store_open() with the config read. Copies the settings. threads: writers and readers together, at least one of each. */
struct store *store_open_settings(const struct store_settings *settings, unsigned threads) MUST_USE;

#endif
