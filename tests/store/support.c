/* support.c - for the store's tests: a directory of one's own, a store in it, an answer waited for.
 * Threads: the test's.
 * Owns: see support.h.
 */
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shardsm/log.h"
#include "support.h"

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

void db_make(struct db *db)
{
	memset(db, 0, sizeof(*db));
	snprintf(db->dir, sizeof(db->dir), "/tmp/shardsm-store-XXXXXX");
	if (!mkdtemp(db->dir))
		die(db->dir, "cannot be made");
	snprintf(db->path, sizeof(db->path), "%s/sm.db", db->dir);
	snprintf(db->log, sizeof(db->log), "%s/log", db->dir);
	log_open(SPAN("file"), NULL, NULL, db->log);
	db->busy_timeout_ms = 2000;
	if (!mailbox_init(&db->answers, "test"))
		die("mailbox", "cannot be made");
}

void db_remove(struct db *db)
{
	db_close(db);
	mailbox_fini(&db->answers);
	log_close();
	DIR *d = opendir(db->dir);
	char path[400];

	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof(path), "%s/%s", db->dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(db->dir);
}

bool db_open(struct db *db)
{
	struct store_settings s = {
		.driver = "sqlite",
		.dbname = db->path,
		.sql = db->sql,
		.prefix = db->prefix,
		.busy_timeout_ms = db->busy_timeout_ms,
	};

	db->store = store_open_settings(&s, 2);
	return db->store != NULL;
}

void db_must_open(struct db *db)
{
	if (!db_open(db))
		die(db->path, file_text(db->log));
}

void db_close(struct db *db)
{
	store_close(&db->store);
}

void db_send(struct db *db, struct store_req *req, unsigned flags)
{
	store_submit(db->store, &req, &db->answers, ++db->token, flags);
	if (req)
		die("store_submit", "left the request with the caller");
}

struct store_req *db_next(struct db *db)
{
	static struct letter *rest, *last; /* of one test process */
	struct letter *l = rest;

	while (!l) {
		mailbox_wait(&db->answers, -1);
		l = mailbox_take(&db->answers, &last);
	}
	rest = mailbox_next(l, last);
	if (l->kind != LETTER_STORE)
		die("answer", "is not a LETTER_STORE");
	return (struct store_req *)l;
}

struct store_req *db_ask(struct db *db, struct store_req *req, unsigned flags)
{
	db_send(db, req, flags);
	struct store_req *answer = db_next(db);

	if (answer != req || store_token(answer) != db->token)
		die("answer", "is another request's");
	return answer;
}

enum store_status db_do(struct db *db, struct store_req *req)
{
	struct store_req *answer = db_ask(db, req, 0);
	enum store_status status = store_status(answer);

	store_req_free(&answer);
	return status;
}

struct store_req *queue_put(const char *owner, const char *xml)
{
	struct store_req *req = store_req_new(span_str(owner));
	struct value v[] = { [QUEUE_XML] = value_text(span_str(xml)) };

	store_put(req, T_QUEUE, v);
	return req;
}

int64_t db_count(struct db *db, enum store_table t, const char *owner)
{
	struct store_req *req = store_req_new(span_str(owner));
	int s = store_count(req, t, STORE_ALL, value_null());

	req = db_ask(db, req, 0);
	int64_t n = store_status(req) == STORE_OK ? store_value(req, s, 0, 0).i : -1;

	store_req_free(&req);
	return n;
}

static sqlite3 *sql_open(const char *path)
{
	sqlite3 *db;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		die(path, sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, 10000);
	return db;
}

void sql_run(const char *path, const char *sql)
{
	sqlite3 *db = sql_open(path);

	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

void sql_file(const char *path, const char *sql_path)
{
	char *sql = file_text(sql_path);

	sql_run(path, sql);
	free(sql);
}

static int add_row(void *arg, int n, char **cells, char **names)
{
	FILE *out = arg;

	(void)names;
	if (ftell(out) > 0)
		fputc('\n', out);
	for (int i = 0; i < n; i++)
		fprintf(out, "%s%s", i ? "|" : "", cells[i] ? cells[i] : "NULL");
	return 0;
}

char *sql_ask(const char *path, const char *sql)
{
	sqlite3 *db = sql_open(path);
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out || sqlite3_exec(db, sql, add_row, out, NULL) != SQLITE_OK)
		die(sql, sqlite3_errmsg(db));
	fclose(out);
	sqlite3_close(db);
	return text;
}

char *file_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t n = 0;

	if (!f)
		return strdup("");
	if (getdelim(&text, &n, '\0', f) < 0) {
		free(text);
		text = strdup("");
	}
	fclose(f);
	return text;
}
