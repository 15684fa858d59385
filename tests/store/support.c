/* support.c - for the store's tests: a directory of one's own, a store in it, an answer waited for.
 * Threads: the test's.
 * Owns: see support.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shardsm/config.h"
#include "shardsm/log.h"
#include "support.h"

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

/* SQLite makes its file itself; a server is told to. */
static void make_database(struct db *db)
{
	static unsigned number;
	char sql[200];

	if (test_engine() == ON_SQLITE) {
		snprintf(db->path, sizeof(db->path), "%s/sm.db", db->dir);
		return;
	}
	struct direct *server = direct_open(NULL);

	snprintf(db->path, sizeof(db->path), "test_%d_%u", (int)getpid(), number++);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", db->path);
	const char *why = direct_run(server, sql, NULL);

	if (why)
		die(sql, why);
	direct_close(&server);
}

static void drop_database(struct db *db)
{
	char sql[200];

	if (test_engine() == ON_SQLITE)
		return;
	struct direct *server = direct_open(NULL);

	snprintf(sql, sizeof(sql), "DROP DATABASE %s%s", db->path, test_engine() == ON_PGSQL ? " WITH (FORCE)" : "");
	(void)direct_run(server, sql, NULL); /* a test may have dropped it */
	direct_close(&server);
}

void db_make(struct db *db)
{
	memset(db, 0, sizeof(*db));
	snprintf(db->dir, sizeof(db->dir), "/tmp/shardsm-store-XXXXXX");
	if (!mkdtemp(db->dir))
		die(db->dir, "cannot be made");
	make_database(db);
	snprintf(db->log, sizeof(db->log), "%s/log", db->dir);
	log_open(SPAN("file"), NULL, NULL, db->log);
	db->busy_timeout_ms = 2000;
	if (!mailbox_init(&db->answers, "test"))
		die("mailbox", "cannot be made");
}

void db_remove(struct db *db)
{
	db_close(db);
	direct_close(&db->locker);
	drop_database(db);
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
		.driver = test_engine_name(),
		.dbname = db->path,
		.host = db->host ? db->host : test_engine() == ON_SQLITE ? NULL : test_host(),
		.user = test_engine() == ON_SQLITE ? NULL : db->user ? db->user : test_engine() == ON_PGSQL ? "postgres" : "root",
		.pass = db->pass,
		.schema = db->schema,
		.reach_ms = db->reach_ms,
		.sql = db->sql,
		.prefix = db->prefix,
		.busy_timeout_ms = db->busy_timeout_ms,
	};

	db->store = store_open_settings(&s, 1, 2);
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

void db_lock(struct db *db)
{
	static const char *const sql[] = { "BEGIN IMMEDIATE", "BEGIN; LOCK TABLE queue IN EXCLUSIVE MODE", "LOCK TABLES queue READ" };

	if (!db->locker)
		db->locker = direct_open(db->path);
	const char *why = direct_run(db->locker, sql[test_engine()], NULL);

	if (why)
		die("lock", why);
}

void db_unlock(struct db *db)
{
	const char *why = direct_run(db->locker, test_engine() == ON_MYSQL ? "UNLOCK TABLES" : "COMMIT", NULL);

	if (why)
		die("unlock", why);
}

void sql_run(const char *path, const char *sql)
{
	struct direct *d = direct_open(path);
	const char *why = direct_run(d, sql, NULL);

	if (why)
		die(sql, why);
	direct_close(&d);
}

void sql_file(const char *path, const char *sql_path)
{
	char *sql = file_text(sql_path);

	sql_run(path, sql);
	free(sql);
}

char *sql_ask(const char *path, const char *sql)
{
	struct direct *d = direct_open(path);
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	const char *why = out ? direct_run(d, sql, out) : "no memory";

	if (why)
		die(sql, why);
	fclose(out);
	direct_close(&d);
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

struct store *db_open_config(const struct db *db, const char *storage, char **err)
{
	char path[120], said[120];

	snprintf(path, sizeof(path), "%s/sm.xml", db->dir);
	snprintf(said, sizeof(said), "%s/stderr", db->dir);
	FILE *f = fopen(path, "w");

	fprintf(f, "<sm>\n%s\n</sm>\n", storage);
	fclose(f);
	struct config *config = config_load(path, NULL);

	if (!config)
		die(path, "cannot be read");
	fflush(stderr);
	int keep = dup(STDERR_FILENO), to = open(said, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	dup2(to, STDERR_FILENO);
	struct store *store = store_open(config, 3);

	fflush(stderr);
	dup2(keep, STDERR_FILENO);
	close(keep);
	close(to);
	*err = file_text(said);
	if ((config_errors(config) != 0) != (**err != '\0'))
		die(*err, "is not what was counted as errors");
	config_free(&config);
	return store;
}
