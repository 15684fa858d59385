/* direct.h - for the store's tests: SQL on the database under test, past the store.
 * Threads: the test's.
 * Owns: direct_close() ends what direct_open() made.
 *
 * SHARDSM_TEST_ENGINE in the environment picks the engine (pgsql, mysql; otherwise sqlite), SHARDSM_TEST_SERVER the directory
 * of a server that server.sh started.
 */
#ifndef SHARDSM_TESTS_STORE_DIRECT_H
#define SHARDSM_TESTS_STORE_DIRECT_H

#include <stdbool.h>
#include <stdio.h>

enum test_engine { ON_SQLITE, ON_PGSQL, ON_MYSQL };
enum test_engine test_engine(void);
const char *test_engine_name(void);
/* For host in the settings. */
const char *test_host(void);
/* start, stop or crash: of the server under test. */
void test_server(const char *verb);

/* path: SQLite's file, else the database's name; NULL: the server alone. Dies when it cannot. */
struct direct *direct_open(const char *path);
void direct_close(struct direct **d);
/* Statements; rows go to out (NULL: nowhere), cells joined by '|', rows by newlines. NULL, or what went wrong. */
const char *direct_run(struct direct *d, const char *sql, FILE *out);

#endif
