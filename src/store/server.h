/* server.h - what the engines on database servers share: the schema, and knowing what became of a commit.
 * Threads: the one whose connection it is.
 * Owns: nothing that outlives a call.
 */
#ifndef SHARDSM_STORE_SERVER_H
#define SHARDSM_STORE_SERVER_H

#include "store/engine.h"
#include "store/schema.h"
#include "store/sql.h"

/* One row per writer, updated in each of its transactions: after a connection broke at a commit the number in it says
 * whether that one happened. Rows of writers that ended without removing theirs go when a later one starts. */
#define COMMITS_TABLE "shardsm-commits"
#define COMMITS_KEPT_SECONDS (30 * 86400)

/* Tables that jabberd2's schema for SQLite alone has. */
#define TABLES_OF_SQLITE_ALONE (1u << T_PUBLISHED_ROSTER | 1u << T_PUBLISHED_ROSTER_GROUPS | 1u << T_VERIFY)

#define SERVER_CELLS 4
typedef void (*server_row_fn)(void *arg, const char *const cells[SERVER_CELLS]);

/* What the engine of a server brings with it. */
struct server {
	const struct sql_dialect *dialect;
	const char *product;         /* "PostgreSQL" */
	/* Asks for table, column, type and character set of every column in the place where our tables are. */
	const char *columns_query;
	const char *types[COL_XML + 1]; /* by enum column_type: the types that will do, " text varchar " */
	const char *const *before;   /* statements that come before the tables of a new schema */
	unsigned nbefore;
	const char *commits_types[2]; /* of the columns of COMMITS_TABLE: writer, number and since */
	bool ddl_is_transactional;

	/* One statement; rows as text, null as "". */
	enum engine_result (*each)(void *connection, const char *sql, server_row_fn fn, void *arg);
	const char *(*error)(const void *connection);
	/* A help for the last error, "" where there is none. */
	const char *(*help)(const void *connection);
};

/* where: for messages, "database jabberd2 at localhost:5432". False: logged. */
bool server_prepare(const struct server *server, void *connection, const struct store_settings *s, const char *where);
/* The number of accounts; -1: cannot be read. */
int64_t server_users(const struct server *server, void *connection, const struct store_settings *s);

/* A writer's row in COMMITS_TABLE. */
struct commits {
	char writer[33];             /* "": none */
	int64_t number;              /* of the last transaction that was tried */
};
/* Makes the row, as a transaction of its own. */
enum engine_result commits_enter(const struct server *server, void *connection, const char *prefix, struct commits *commits);
void commits_leave(const struct server *server, void *connection, const char *prefix, struct commits *commits);
/* What a transaction has as its last statement: without placeholders. Counts number up. */
void commits_statement(struct buf *out, const struct sql_dialect *d, const char *prefix, struct commits *commits);
/* Asked on another connection than the one that broke. */
enum engine_outcome commits_outcome(const struct server *server, void *connection, const char *prefix,
	const struct commits *commits);
/* "prefix" COMMITS_TABLE, quoted. */
void server_commits_table(struct buf *out, const struct sql_dialect *d, const char *prefix);

#endif
