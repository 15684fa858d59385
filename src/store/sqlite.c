/* sqlite.c - the engine on SQLite, the default.
 * Threads: a connection belongs to one store thread; prepare and describe run on the opener's.
 * Owns: connections with their prepared statements, from open to close.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/log.h"
#include "store/engine.h"
#include "store/sqlite_schema.h"

/* Prepared statements kept by a connection. Everyday ones are about fifty; clients decide which vCard fields they set, and
 * each set of fields is a statement of its own, so the number must have an end: past it all are dropped. */
#define STATEMENTS_MAX 256
#define STATEMENT_SLOTS (2 * STATEMENTS_MAX)

/* Durable unless the operator's <sql> says otherwise; and what is left of the write-ahead log after a burst. The log is copied into the file
 * when it has that many pages: those that change again and again (rows of "status", indexes) are copied a fourth as often as by default. */
#define OPENING "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000;"

struct slot {
	struct sql_key key;
	sqlite3_stmt *statement;     /* NULL: free */
};

/* Rows that one INSERT takes, of as many requests in a row: what a statement costs beside its rows is a fifth of one. */
#define ROWS_TOGETHER 8u

/* What begins and ends transactions. BEGIN_WRITE takes the write lock at once: a group never finds out half-way that somebody else has it. */
enum control { BEGIN_WRITE, BEGIN_READ, COMMIT, ROLLBACK, CONTROLS };
static const char *const controls[CONTROLS] = {
	[BEGIN_WRITE] = "BEGIN IMMEDIATE", [BEGIN_READ] = "BEGIN", [COMMIT] = "COMMIT", [ROLLBACK] = "ROLLBACK",
};

struct connection {
	sqlite3 *db;
	sqlite3_stmt *controls[CONTROLS]; /* NULL: not prepared yet */
	const char *prefix;          /* the settings' */
	bool doubtful;               /* a commit failed, and may stand in the write-ahead log all the same: see mend() */
	struct buf sql;
	unsigned nslots;
	struct slot slots[STATEMENT_SLOTS];
	char error[300];
};

const struct sql_dialect sqlite_dialect = {
	.quote = '"',
	.sequence_type = "INTEGER PRIMARY KEY",
	/* A statement that fails takes its transaction with it here, so that what it has done need not be undone by itself: without this
	 * SQLite keeps a copy of every page until the statement is over, a third of what it takes. */
	.conflict = "OR FAIL ",
	.types = { [COL_TEXT] = "TEXT", [COL_INT] = "INTEGER", [COL_BOOL] = "BOOLEAN", [COL_XML] = "TEXT" },
};

static enum engine_result classify(struct connection *c, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return ENGINE_OK;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ENGINE_BUSY;
	case SQLITE_FULL:
		return ENGINE_FULL;
	case SQLITE_IOERR:
		/* SQLite knows ENOSPC; an exhausted quota is the same to us. */
		return sqlite3_system_errno(c->db) == EDQUOT ? ENGINE_FULL : ENGINE_FAILED;
	default:
		return ENGINE_FAILED;
	}
}

/* Keeps the reason of a call that failed. */
static enum engine_result failed(struct connection *c, const char *what, int rc)
{
	snprintf(c->error, sizeof(c->error), "%s: %s", what, sqlite3_errmsg(c->db));
	return classify(c, rc);
}

enum engine_result sqlite_exec(struct connection *c, const char *sql)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? ENGINE_OK : failed(c, sql, rc);
}

/* Bound values are borrowed from the request: unbound again before it moves on. */
static int bind_text(sqlite3_stmt *q, int i, struct span s)
{
	return sqlite3_bind_text64(q, i, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

enum engine_result sqlite_each(struct connection *c, const char *sql, struct span name, sqlite_row_fn fn, void *arg)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &q, NULL);

	if (rc == SQLITE_OK && sqlite3_bind_parameter_count(q) > 0)
		rc = bind_text(q, 1, name);
	while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		const char *cells[SQLITE_EACH_CELLS] = { "", "", "" };

		for (int i = 0; i < SQLITE_EACH_CELLS && i < sqlite3_column_count(q); i++) {
			const char *text = (const char *)sqlite3_column_text(q, i);

			cells[i] = text ? text : "";
		}
		fn(arg, cells);
		rc = SQLITE_OK;
	}
	enum engine_result result = rc == SQLITE_DONE ? ENGINE_OK : failed(c, "schema", rc);

	sqlite3_finalize(q);
	return result;
}

/* Prepared once: reading their text takes as long as a row. SQLite keeps the reason of one that failed. */
static int step_control(struct connection *c, enum control control)
{
	sqlite3_stmt **q = &c->controls[control];
	int rc = *q ? SQLITE_OK : sqlite3_prepare_v3(c->db, controls[control], -1, SQLITE_PREPARE_PERSISTENT, q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(*q);
	sqlite3_reset(*q);
	return rc;
}

static enum engine_result run_control(struct connection *c, enum control control)
{
	int rc = step_control(c, control);

	return rc == SQLITE_DONE ? ENGINE_OK : failed(c, controls[control], rc);
}

static void drop_statements(struct connection *c)
{
	for (unsigned i = 0; i < STATEMENT_SLOTS; i++) {
		sqlite3_finalize(c->slots[i].statement);
		c->slots[i].statement = NULL;
	}
	c->nslots = 0;
}

static unsigned slot_of(struct sql_key key)
{
	return (unsigned)(sql_key_hash(key) % STATEMENT_SLOTS);
}

/* The statement with this key, prepared and reset. NULL: c->error says why, *rc is SQLite's. */
static sqlite3_stmt *statement(struct connection *c, struct sql_key key, int *rc)
{
	unsigned i;

	for (i = slot_of(key); c->slots[i].statement; i = (i + 1) % STATEMENT_SLOTS) {
		if (sql_key_same(c->slots[i].key, key))
			return c->slots[i].statement;
	}
	if (c->nslots == STATEMENTS_MAX) {
		drop_statements(c);
		i = slot_of(key);
	}
	buf_clear(&c->sql);
	sql_statement(&c->sql, &sqlite_dialect, c->prefix, key);
	*rc = SQLITE_NOMEM;
	if (!c->sql.failed)
		*rc = sqlite3_prepare_v3(c->db, c->sql.p, (int)c->sql.n, SQLITE_PREPARE_PERSISTENT, &c->slots[i].statement,
			NULL);
	if (*rc != SQLITE_OK)
		return NULL;
	c->slots[i].key = key;
	c->nslots++;
	return c->slots[i].statement;
}

static int bind_value(sqlite3_stmt *q, int i, const struct value *v)
{
	if (v->kind == VALUE_INT)
		return sqlite3_bind_int64(q, i, v->i);
	if (v->kind == VALUE_TEXT)
		return bind_text(q, i, v->s);
	return sqlite3_bind_null(q, i);
}

/* The values that are present, from placeholder *n on. */
static int bind_present(sqlite3_stmt *q, const struct stmt *s, int *n)
{
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < store_tables[s->table].ncolumns && rc == SQLITE_OK; i++) {
		if (s->present >> i & 1)
			rc = bind_value(q, (*n)++, &s->values[i]);
	}
	return rc;
}

static int bind_statement(sqlite3_stmt *q, const struct stmt *s, enum verb verb)
{
	int n = 1;
	int rc = verb == VERB_MERGE ? bind_present(q, s, &n) : SQLITE_OK;

	if (rc == SQLITE_OK)
		rc = bind_text(q, n++, s->owner);
	if (rc != SQLITE_OK)
		return rc;
	switch (verb) {
	case VERB_PUT:
		return bind_present(q, s, &n);
	case VERB_PAGE:
		rc = sqlite3_bind_int64(q, 2, s->sequence);
		return rc == SQLITE_OK ? sqlite3_bind_int64(q, 3, s->limit) : rc;
	case VERB_DELETE_UPTO:
		return sqlite3_bind_int64(q, 2, s->sequence);
	case VERB_GET:
	case VERB_COUNT:
	case VERB_DELETE:
		return stmt_filters(s) ? bind_value(q, 2, &s->filter) : rc;
	case VERB_MERGE:
		break;
	}
	return rc;
}

/* What a row has in a column, if it is of the column's type; anything else reads as null, as jabberd2 skips it.
 * NULL, or why it cannot be read. */
static const char *read_value(struct store_req *req, sqlite3_stmt *q, int i, enum column_type type, struct value *out)
{
	bool number = sqlite3_column_type(q, i) == SQLITE_INTEGER;

	if (type == COL_INT || type == COL_BOOL) {
		if (number)
			*out = value_int(type == COL_BOOL ? sqlite3_column_int64(q, i) != 0 : sqlite3_column_int64(q, i));
		return NULL;
	}
	if (!number && sqlite3_column_type(q, i) != SQLITE_TEXT)
		return NULL;
	const void *text = sqlite3_column_text(q, i);

	return text ? req_text(req, text, (size_t)sqlite3_column_bytes(q, i), out) : "no memory";
}

static const char *read_row(struct store_req *req, struct stmt *s, sqlite3_stmt *q)
{
	const struct table *t = &store_tables[s->table];
	bool count = s->verb == VERB_COUNT;
	const char *why;
	struct row *row = req_row(req, s, count ? 1 : t->ncolumns, &why);

	if (!row)
		return why;
	if (count) {
		row->values[0] = value_int(sqlite3_column_int64(q, 0));
		return NULL;
	}
	row->sequence = sqlite3_column_int64(q, 0);
	why = NULL;
	for (int i = 0; i < t->ncolumns && !why; i++)
		why = read_value(req, q, i + 1, t->columns[i].type, &row->values[i]);
	return why;
}

static enum engine_result run_as(struct connection *c, struct store_req *req, struct stmt *s, enum verb verb)
{
	const char *name = store_tables[s->table].name;
	enum engine_result result = ENGINE_OK;
	int rc;
	struct sql_key key = sql_key_of(s);

	key.verb = (uint8_t)verb;
	sqlite3_stmt *q = statement(c, key, &rc);

	if (!q)
		return failed(c, name, rc);
	rc = bind_statement(q, s, verb);
	while (rc == SQLITE_OK && result == ENGINE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		const char *why = read_row(req, s, q);

		rc = SQLITE_OK;
		if (why) {
			snprintf(c->error, sizeof(c->error), "%s: %s", name, why);
			result = ENGINE_FAILED;
		}
	}
	if (rc != SQLITE_OK && rc != SQLITE_DONE)
		result = failed(c, name, rc);
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return result;
}

/* Does each of the first ROWS_TOGETHER requests put one row into the same columns of the same table? */
static bool alike(struct store_req *const *reqs, unsigned n)
{
	if (n < ROWS_TOGETHER)
		return false;
	for (unsigned i = 0; i < ROWS_TOGETHER; i++)
		if (reqs[i]->nstmts != 1 || reqs[i]->stmts->verb != VERB_PUT ||
			!sql_key_same(sql_key_of(reqs[i]->stmts), sql_key_of(reqs[0]->stmts)))
			return false;
	return true;
}

static enum engine_result run_alike(struct connection *c, struct store_req *const *reqs)
{
	struct sql_key key = sql_key_of(reqs[0]->stmts);
	const char *name = store_tables[key.table].name;
	int rc = SQLITE_OK, n = 1;

	key.more = ROWS_TOGETHER - 1;
	sqlite3_stmt *q = statement(c, key, &rc);

	if (!q)
		return failed(c, name, rc);
	for (unsigned i = 0; i < ROWS_TOGETHER && rc == SQLITE_OK; i++) {
		rc = bind_text(q, n++, reqs[i]->stmts->owner);
		if (rc == SQLITE_OK)
			rc = bind_present(q, reqs[i]->stmts, &n);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	enum engine_result result = rc == SQLITE_DONE ? ENGINE_OK : failed(c, name, rc);

	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return result;
}

static enum engine_result run_one(struct connection *c, struct store_req *req, struct stmt *s)
{
	enum engine_result result = run_as(c, req, s, s->verb);

	if (s->verb == VERB_MERGE && result == ENGINE_OK && sqlite3_changes(c->db) == 0)
		result = run_as(c, req, s, VERB_PUT);
	return result;
}

static enum engine_result sqlite_run(struct connection *c, struct store_req *req)
{
	enum engine_result result = ENGINE_OK;

	for (uint32_t i = 0; i < req->nstmts && result == ENGINE_OK; i++)
		result = run_one(c, req, &req->stmts[i]);
	return result;
}

void sqlite_rollback(void *connection)
{
	struct connection *c = connection;

	/* Some failures have rolled back already. */
	if (!sqlite3_get_autocommit(c->db))
		(void)step_control(c, ROLLBACK);
}

/* A commit whose sync failed stands in the write-ahead log, and would count as one after a crash, though SQLite has rolled it back and it was
 * refused. So the log is emptied before anything else is written. */
static int mend(struct connection *c)
{
	int rc = SQLITE_OK;

	if (c->doubtful)
		rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (rc == SQLITE_OK)
		c->doubtful = false;
	return rc;
}

/* together: requests that are alike as one statement. One of those that fails leaves *culprit as it is. */
static enum engine_result write_all(struct connection *c, struct store_req **reqs, unsigned n, bool together, unsigned *culprit)
{
	enum engine_result result = ENGINE_OK;

	for (unsigned i = 0; i < n && result == ENGINE_OK;) {
		if (together && alike(reqs + i, n - i)) {
			result = run_alike(c, reqs + i);
			i += ROWS_TOGETHER;
			continue;
		}
		result = sqlite_run(c, reqs[i]);
		if (result == ENGINE_FAILED)
			*culprit = i;
		i++;
	}
	return result;
}

static enum engine_result write_once(struct connection *c, struct store_req **reqs, unsigned n, bool together, unsigned *culprit)
{
	int rc = mend(c);

	*culprit = n;
	if (rc != SQLITE_OK)
		return failed(c, "what a failed commit left in the log", rc);
	enum engine_result result = run_control(c, BEGIN_WRITE);

	if (result == ENGINE_OK)
		result = write_all(c, reqs, n, together, culprit);
	if (result == ENGINE_OK) {
		result = run_control(c, COMMIT);
		c->doubtful = result != ENGINE_OK;
	}
	if (result != ENGINE_OK) {
		sqlite_rollback(c);
		(void)mend(c); /* else before the next write */
	}
	return result;
}

static enum engine_result sqlite_write(void *connection, struct store_req **reqs, unsigned n, unsigned *culprit)
{
	enum engine_result result = write_once(connection, reqs, n, true, culprit);

	/* Once more and each by itself, to know which one it was. */
	if (result == ENGINE_FAILED && *culprit == n && n >= ROWS_TOGETHER) {
		for (unsigned i = 0; i < n; i++)
			req_reset(reqs[i]);
		result = write_once(connection, reqs, n, false, culprit);
	}
	return result;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* Which of the tables have rows of the owner, in *have. */
static enum engine_result which_have(struct connection *c, struct span owner, uint64_t tables, uint64_t *have)
{
	struct sql_key key = { .present = tables, .verb = SQL_EXISTS };
	int rc;
	sqlite3_stmt *q = statement(c, key, &rc);

	if (!q)
		return failed(c, "exists", rc);
	rc = bind_text(q, 1, owner);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		*have = (uint64_t)sqlite3_column_int64(q, 0);
	enum engine_result result = rc == SQLITE_ROW ? ENGINE_OK : failed(c, "exists", rc);

	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return result;
}

/* In one transaction: its statements see one state. */
static enum engine_result read_all(struct connection *c, struct store_req *req)
{
	enum engine_result result = ENGINE_OK;
	uint64_t have = 0, tables = req_tables_to_ask(req);
	const char *why;

	if (!tables)
		return sqlite_run(c, req);
	result = which_have(c, req->first_owner, tables, &have);
	for (uint32_t i = 0; i < req->nstmts && result == ENGINE_OK; i++) {
		struct stmt *s = &req->stmts[i];

		if ((have >> s->table & 1) || !span_eq(s->owner, req->first_owner)) {
			result = run_one(c, req, s);
		} else if (!req_answer_empty(req, s, &why)) {
			snprintf(c->error, sizeof(c->error), "%s: %s", store_tables[s->table].name, why);
			result = ENGINE_FAILED;
		}
	}
	return result;
}

static enum engine_result sqlite_reads_begin(void *connection)
{
	return run_control(connection, BEGIN_READ);
}

static void sqlite_reads_end(void *connection)
{
	/* Nothing was written: ending it this way always works. */
	sqlite_rollback(connection);
}

static enum engine_result sqlite_read(void *connection, struct store_req *req)
{
	struct connection *c = connection;

	if (!sqlite3_get_autocommit(c->db)) /* between reads_begin and reads_end */
		return read_all(c, req);
	if (req->nstmts < 2)
		return sqlite_run(c, req);
	enum engine_result result = run_control(c, BEGIN_READ);

	if (result == ENGINE_OK)
		result = read_all(c, req);
	sqlite_rollback(c);
	return result;
}

const char *sqlite_error(const void *connection)
{
	return ((const struct connection *)connection)->error;
}

void sqlite_close(void *connection)
{
	struct connection *c = connection;

	drop_statements(c);
	for (unsigned i = 0; i < CONTROLS; i++)
		sqlite3_finalize(c->controls[i]);
	buf_free(&c->sql);
	sqlite3_close(c->db);
	free(c);
}

void *sqlite_open(const struct store_settings *settings)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		log_error("store: %s cannot be opened (no memory)", settings->dbname);
		return NULL;
	}
	buf_init(&c->sql);
	c->prefix = settings->prefix;
	int rc = sqlite3_open_v2(settings->dbname, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK) {
		log_error("store: %s cannot be opened (%s)", settings->dbname, sqlite3_errmsg(c->db));
		goto out;
	}
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, settings->busy_timeout_ms);
	if (sqlite_exec(c, OPENING) != ENGINE_OK) {
		log_error("store: %s cannot be read (%s%s)", settings->dbname, sqlite3_errmsg(c->db),
			sqlite3_errcode(c->db) == SQLITE_NOTADB ? ": wanted an SQLite database, or an empty or new file" : "");
		goto out;
	}
	if (settings->sql && sqlite3_exec(c->db, settings->sql, NULL, NULL, NULL) != SQLITE_OK) {
		log_error("store: %s: what <storage><sqlite><sql> says cannot be run (%s)", settings->dbname,
			sqlite3_errmsg(c->db));
		goto out;
	}
	return c;
out:
	sqlite_close(c);
	return NULL;
}

const struct engine engine_sqlite = {
	.name = "sqlite",
	.prepare = sqlite_prepare,
	.unmade = sqlite_unmade,
	.open = sqlite_open,
	.close = sqlite_close,
	.describe = sqlite_describe,
	.write = sqlite_write,
	.read = sqlite_read,
	.reads_begin = sqlite_reads_begin,
	.reads_end = sqlite_reads_end,
	.error = sqlite_error,
};
