/* support.h - for the store's tests: a directory of one's own, a store in it, an answer waited for.
 * Threads: the test's.
 * Owns: db_dir_remove() removes what db_dir_make() made.
 */
#ifndef SHARDSM_TESTS_STORE_SUPPORT_H
#define SHARDSM_TESTS_STORE_SUPPORT_H

#include "direct.h"
#include "store/store_internal.h"

struct db {
	char dir[64], path[96], log[96]; /* path: of the file, or the database's name */
	struct store *store;
	struct mailbox answers;
	const char *sql, *prefix;    /* settings, NULL: none */
	const char *user, *pass, *schema; /* servers'; user NULL: who may do everything */
	const char *host;            /* NULL: the server under test */
	int busy_timeout_ms, reach_ms;
	uint64_t token;
	struct direct *locker;
};

/* The log goes to the file log in the directory. */
void db_make(struct db *db);
void db_remove(struct db *db);
/* Opens db->path. NULL store: the log says why. */
bool db_open(struct db *db);
void db_must_open(struct db *db);
void db_close(struct db *db);

/* store_open() with this below <sm>; NULL where it is refused. err: what was said on stderr, freed by the caller. */
struct store *db_open_config(const struct db *db, const char *storage, char **err);

/* Submits, waits for the answer, and returns it: the same request. */
struct store_req *db_ask(struct db *db, struct store_req *req, unsigned flags);
/* The same, frees it. */
enum store_status db_do(struct db *db, struct store_req *req);
/* Submits without waiting. */
void db_send(struct db *db, struct store_req *req, unsigned flags);
/* The next answer. */
struct store_req *db_next(struct db *db);

/* A put of one stored message. */
struct store_req *queue_put(const char *owner, const char *xml);
/* How many rows of an owner a table has. */
int64_t db_count(struct db *db, enum store_table t, const char *owner);

/* As another process that writes: until db_unlock() nobody else writes to the queue. Reads go on. */
void db_lock(struct db *db);
void db_unlock(struct db *db);

/* Runs the file's SQL on a database, or a statement, with no store in between. */
void sql_file(const char *path, const char *sql_path);
void sql_run(const char *path, const char *sql);
/* What a statement answers with: cells joined by '|', rows by newlines. Freed by the caller. */
char *sql_ask(const char *path, const char *sql);
/* The file's text. Freed by the caller. */
char *file_text(const char *path);

#endif
