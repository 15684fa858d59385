/* sqlite_schema.h - between the two files of the SQLite engine: connections (sqlite.c) and the schema (sqlite_schema.c).
 * Threads: a connection is used by one thread at a time.
 * Owns: nothing.
 */
#ifndef SHARDSM_STORE_SQLITE_SCHEMA_H
#define SHARDSM_STORE_SQLITE_SCHEMA_H

#include "store/engine.h"
#include "store/schema.h"
#include "store/sql.h"

struct connection;

extern const struct sql_dialect sqlite_dialect;

/* sqlite.c */
void *sqlite_open(const struct store_settings *settings);
void sqlite_close(void *connection);
void sqlite_rollback(void *connection);
const char *sqlite_error(const void *connection);
enum engine_result sqlite_exec(struct connection *c, const char *sql);
/* Calls fn with the first cells of every row, as text. name is bound to the statement's placeholder, if it has one. */
#define SQLITE_EACH_CELLS 3
typedef void (*sqlite_row_fn)(void *arg, const char *const cells[SQLITE_EACH_CELLS]);
enum engine_result sqlite_each(struct connection *c, const char *sql, struct span name, sqlite_row_fn fn, void *arg);

/* sqlite_schema.c: these parts of struct engine */
bool sqlite_unmade(const struct store_settings *settings);
bool sqlite_prepare(const struct store_settings *settings);
void sqlite_describe(const struct store_settings *settings, char *out, size_t cap);

#endif
