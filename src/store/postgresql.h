/* postgresql.h - between the files of the PostgreSQL engine: connections (postgresql.c), values (postgresql_values.c) and
 * the schema (postgresql_schema.c).
 * Threads: a connection is used by one thread at a time.
 * Owns: nothing.
 */
#ifndef SHARDSM_STORE_POSTGRESQL_H
#define SHARDSM_STORE_POSTGRESQL_H

#include "store/server.h"

/* postgresql_schema.c */
extern const struct sql_dialect postgresql_dialect;
extern const struct server postgresql_server;
bool postgresql_prepare(const struct store_settings *settings);
void postgresql_describe(const struct store_settings *settings, char *out, size_t cap);
/* Logs that, and why, a connection could not be made. */
void postgresql_refused(const void *connection);

/* postgresql_values.c */
/* A statement's values, in the order of its placeholders. */
struct postgresql_params {
	int n;
	unsigned types[STORE_COLUMNS + 2];
	const char *values[STORE_COLUMNS + 2];
	int lengths[STORE_COLUMNS + 2];
	int formats[STORE_COLUMNS + 2];
	int64_t numbers[STORE_COLUMNS + 2];
	size_t bytes;
};
void postgresql_params(struct postgresql_params *p, const struct stmt *s);
int64_t postgresql_number(const char *p, int n);
/* A cell of the type with this number that is not null. What is not of the column's type reads as null, as jabberd2 skips
 * it. NULL, or why it cannot be read. */
const char *postgresql_value(struct store_req *req, enum column_type type, unsigned oid, const char *p, int n, struct value *out);

/* postgresql.c */
void *postgresql_open(const struct store_settings *settings);
void postgresql_close(void *connection);
enum engine_result postgresql_each(void *connection, const char *sql, server_row_fn fn, void *arg);
const char *postgresql_error(const void *connection);
/* "database "jabberd2" at localhost:5432", and the names of user and database that libpq settled for. */
void postgresql_where(const void *connection, char *out, size_t cap);
const char *postgresql_user(const void *connection);
const char *postgresql_database(const void *connection);

#endif
