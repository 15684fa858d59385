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

/* How long a request waits for a database that cannot be reached: a database server that is restarted is back within
 * this time, and a client that waits for its answer has not given up yet. Then STORE_FULL, at once for those that follow,
 * until the database is back. */
#define STORE_REACH_MS 20000

/* One try to connect, and one statement. A server that says nothing for twice the latter is gone. */
#define STORE_CONNECT_S 5u
#define STORE_STATEMENT_S 10u

struct store_settings {
	const char *driver;    /* an engine's name */
	const char *dbname;
	const char *sql;       /* run on every connection after opening it; NULL: none */
	const char *prefix;    /* in front of every table's name; NULL: none */
	const char *host, *port, *user, *pass; /* database servers; NULL: the library's default */
	const char *conninfo;  /* pgsql: stands instead of dbname, host, port, user and pass; NULL: none */
	const char *schema;    /* pgsql: NULL: the server's default */
	const char *ssl_ca, *ssl_cert, *ssl_key; /* mysql: files; ssl_ca: the server must prove itself by it; NULL: none */
	unsigned connect_timeout_s, statement_timeout_s; /* database servers; 0: the defaults below */
	int busy_timeout_ms;   /* how long to wait for a lock that another process holds */
	int reach_ms;          /* how long to wait for a lost connection; 0: STORE_REACH_MS */
	unsigned threads;      /* at least so many */
	uint32_t tables;       /* bit per enum store_table: what is kept there; 0: everything */
};
_Static_assert(T_COUNT <= 32, "a bit per table");

static inline unsigned settings_connect_s(const struct store_settings *s)
{
	return s->connect_timeout_s ? s->connect_timeout_s : STORE_CONNECT_S;
}

static inline unsigned settings_statement_s(const struct store_settings *s)
{
	return s->statement_timeout_s ? s->statement_timeout_s : STORE_STATEMENT_S;
}

/* How long a connection may say nothing while an answer is due: a statement that waits for a lock takes both timeouts. */
static inline unsigned settings_silence_ms(const struct store_settings *s)
{
	return 2000 * settings_statement_s(s) + (unsigned)s->busy_timeout_ms;
}

static inline bool settings_serve(const struct store_settings *s, unsigned table)
{
	return !s->tables || (s->tables >> table & 1);
}

/* store_open() with the config read: a database for each of the settings, whose tables exclude each other. Copies the
 * settings. threads: writers and readers of each together, at least one of each. */
/* Their texts, which must be malloc'd. */
void settings_free(struct store_settings *s);

struct store *store_open_settings(const struct store_settings *settings, unsigned n, unsigned threads) MUST_USE;
#define STORE_DATABASES_MAX 3

#endif
