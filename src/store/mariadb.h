/* mariadb.h - between the files of the MariaDB engine: connections (mariadb.c) and the schema (mariadb_schema.c).
 * Threads: a connection is used by one thread at a time.
 * Owns: nothing.
 */
#ifndef SHARDSM_STORE_MARIADB_H
#define SHARDSM_STORE_MARIADB_H

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

#endif
