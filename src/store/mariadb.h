/* mariadb.h - between the files of the MariaDB engine: connections (mariadb.c), values (mariadb_values.c) and the
 * schema (mariadb_schema.c).
 * Threads: a connection is used by one thread at a time.
 * Owns: nothing.
 */
#ifndef SHARDSM_STORE_MARIADB_H
#define SHARDSM_STORE_MARIADB_H

#include <mysql.h>

#include "store/server.h"

/* mariadb_schema.c */
extern const struct sql_dialect maria_dialect;
extern const struct server maria_server;
bool maria_prepare(const struct store_settings *settings);
void maria_describe(const struct store_settings *settings, char *out, size_t cap);
/* Logs that, and why, a connection could not be made: the error's number and text. */
void maria_refused(const struct store_settings *settings, unsigned number, const char *error);

/* mariadb.c */
void *maria_open(const struct store_settings *settings);
void maria_close(void *connection);
enum engine_result maria_each(void *connection, const char *sql, server_row_fn fn, void *arg);
const char *maria_error(const void *connection);

/* mariadb_values.c */
/* A condition has its text twice, see sql.h. */
#define PARAMS_MAX (STORE_COLUMNS + 4)
_Static_assert(PARAMS_MAX >= T_COUNT, "SQL_EXISTS has the owner for each table");
/* A statement's values, in the order of its placeholders; they borrow from the request. */
struct maria_params {
	unsigned n;
	MYSQL_BIND binds[PARAMS_MAX];
	int64_t limit;
};
/* As this verb, which is not the statement's own for the second half of a merge. */
void maria_params(struct maria_params *p, const struct stmt *s, enum verb verb);
/* One text, n times. */
void maria_params_repeat(struct maria_params *p, const struct span *text, unsigned n);

/* Where a row's cells go; text is fetched when its length is known. */
struct maria_cells {
	MYSQL_BIND binds[STORE_COLUMNS + 1];
	int64_t numbers[STORE_COLUMNS + 1];
	unsigned long lengths[STORE_COLUMNS + 1];
	my_bool nulls[STORE_COLUMNS + 1];
};
void maria_bind_cells(struct maria_cells *cells, const struct stmt *s, unsigned n);
bool maria_is_number(const struct stmt *s, unsigned cell);

#endif
