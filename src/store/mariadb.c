/* mariadb.c - the engine on MariaDB and MySQL.
 * Threads: a connection belongs to one store thread; prepare and describe run on the opener's.
 * Owns: connections with their prepared statements, from open to close.
 */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/log.h"
#include "store/mariadb.h"

/* Prepared statements kept by a connection: see sqlite.c. */
#define STATEMENTS_MAX 256
#define STATEMENT_SLOTS (2 * STATEMENTS_MAX)
/* Each read sorts its few rows, and the server takes a sort buffer of its full size for it. */
#define SORT_BYTES 65536

struct slot {
	struct sql_key key;
	MYSQL_STMT *statement;       /* NULL: free */
};

struct connection {
	const struct store_settings *settings;
	MYSQL *db;
	struct buf sql, text;        /* text: a cell */
	struct commits commits;
	bool lost, reads;            /* reads: its transactions begin with their first statement */
	bool shared;                 /* reads share the one that is open */
	bool owes;                   /* the answer to a ROLLBACK was not taken yet */
	unsigned nslots;
	struct slot slots[STATEMENT_SLOTS];
	char error[400];
};

static const struct { unsigned number; enum engine_result result; } errors[] = {
	{ 1205, ENGINE_BUSY }, /* lock wait */
	{ 1213, ENGINE_BUSY }, /* deadlock */
	{ 1969, ENGINE_BUSY }, { 3024, ENGINE_BUSY }, { 1317, ENGINE_BUSY }, /* took too long, was interrupted */
	{ 1021, ENGINE_FULL }, { 1114, ENGINE_FULL }, /* disk, table */
	{ 1037, ENGINE_FULL }, { 1038, ENGINE_FULL }, { 1041, ENGINE_FULL }, /* memory */
	{ 1290, ENGINE_FULL }, { 1792, ENGINE_FULL }, { 1836, ENGINE_FULL }, /* takes no writes: a replica */
	{ 2002, ENGINE_LOST }, { 2003, ENGINE_LOST }, { 2006, ENGINE_LOST }, { 2013, ENGINE_LOST }, { 2055, ENGINE_LOST },
	{ 2014, ENGINE_LOST }, /* answers out of step */
	{ 1053, ENGINE_LOST }, { 1927, ENGINE_LOST }, { 4031, ENGINE_LOST }, /* shutting down, killed, idle for too long */
	{ 1158, ENGINE_LOST }, { 1159, ENGINE_LOST }, { 1160, ENGINE_LOST }, { 1161, ENGINE_LOST }, /* network */
	{ 1046, ENGINE_LOST }, /* its database was dropped: a new connection has the new one */
	{ 1243, ENGINE_LOST }, { 1615, ENGINE_LOST }, /* our prepared statements are not there: a new connection makes them anew */
};

/* Keeps the reason of a call that failed. */
static enum engine_result failed(struct connection *c, const char *what, unsigned number, const char *message)
{
	enum engine_result result = ENGINE_FAILED;
	const char *help = "";

	/* Incorrect string value: what is shown of it begins a character of four bytes. */
	const char *byte = number == 1366 ? strstr(message, "\\xF") : NULL;

	if (byte && byte[3] >= '0' && byte[3] <= '4')
		help = " (a character of 4 bytes: ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 makes room for such)";
	snprintf(c->error, sizeof(c->error), "%s%s%s%s", what, *what ? ": " : "", message, help);
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].number == number)
			result = errors[i].result;
	}
	if (result == ENGINE_LOST)
		c->lost = true;
	return result;
}

/* Ends a read's transaction. Its answer is taken before the next command: nobody waits for it. */
static void end_reading(struct connection *c)
{
	if (c->lost)
		return;
	if (mysql_send_query(c->db, "ROLLBACK", 8))
		c->lost = true;
	c->owes = true;
}

static enum engine_result ready(struct connection *c)
{
	bool owes = c->owes;

	c->owes = false;
	if (!c->lost && owes && mysql_read_query_result(c->db))
		return failed(c, "", 2006, mysql_error(c->db)); /* whatever it is, a new connection has no transaction open */
	return c->lost ? failed(c, "", 2006, "not connected") : ENGINE_OK;
}

static enum engine_result exec(struct connection *c, const char *sql)
{
	enum engine_result result = ready(c);

	if (result != ENGINE_OK)
		return result;
	return mysql_query(c->db, sql) ? failed(c, "", mysql_errno(c->db), mysql_error(c->db)) : ENGINE_OK;
}

static void drop_statements(struct connection *c)
{
	for (unsigned i = 0; i < STATEMENT_SLOTS; i++) {
		if (c->slots[i].statement)
			mysql_stmt_close(c->slots[i].statement);
		c->slots[i].statement = NULL;
	}
	c->nslots = 0;
}

/* The statement with this key, prepared. NULL: *result says, and c->error, why not. */
static MYSQL_STMT *statement(struct connection *c, struct sql_key key, enum engine_result *result)
{
	unsigned i;

	for (i = (unsigned)(sql_key_hash(key) % STATEMENT_SLOTS); c->slots[i].statement; i = (i + 1) % STATEMENT_SLOTS) {
		if (sql_key_same(c->slots[i].key, key))
			return c->slots[i].statement;
	}
	if (c->nslots == STATEMENTS_MAX) {
		drop_statements(c);
		i = (unsigned)(sql_key_hash(key) % STATEMENT_SLOTS);
	}
	MYSQL_STMT *q = mysql_stmt_init(c->db);

	buf_clear(&c->sql);
	sql_statement(&c->sql, &maria_dialect, c->settings->prefix, key);
	if (!q || c->sql.failed) {
		*result = failed(c, "", 0, "no memory");
	} else if (mysql_stmt_prepare(q, c->sql.p, c->sql.n) == 0) {
		c->slots[i] = (struct slot){ key, q };
		c->nslots++;
		return q;
	} else {
		*result = failed(c, store_tables[key.table].name, mysql_stmt_errno(q), mysql_stmt_error(q));
	}
	if (q)
		mysql_stmt_close(q);
	return NULL;
}

/* NULL, or why the cell cannot be read. */
static const char *read_text(struct connection *c, struct store_req *req, MYSQL_STMT *q, unsigned i, unsigned long length,
	struct value *out)
{
	if (length > REQ_RESULT_MAX)
		return "the result is too large";
	MYSQL_BIND b = { .buffer_type = MYSQL_TYPE_STRING, .buffer_length = length, .length = &length };

	buf_clear(&c->text);
	if (!buf_grow(&c->text, length + 1))
		return "no memory";
	b.buffer = c->text.p;
	if (length && mysql_stmt_fetch_column(q, &b, i, 0))
		return mysql_stmt_error(q);
	return req_text(req, c->text.p, length, out);
}

static const char *read_row(struct connection *c, struct store_req *req, struct stmt *s, MYSQL_STMT *q, const struct maria_cells *cells)
{
	const struct table *t = &store_tables[s->table];
	bool count = s->verb == VERB_COUNT;
	const char *why;
	struct row *row = req_row(req, s, count ? 1 : t->ncolumns, &why);

	if (!row)
		return why;
	if (count) {
		row->values[0] = value_int(cells->numbers[0]);
		return NULL;
	}
	row->sequence = cells->nulls[0] ? 0 : cells->numbers[0];
	why = NULL;
	for (unsigned i = 1; i <= t->ncolumns && !why; i++) {
		if (cells->nulls[i])
			continue;
		if (!maria_is_number(s, i))
			why = read_text(c, req, q, i, cells->lengths[i], &row->values[i - 1]);
		else
			row->values[i - 1] = value_int(
				t->columns[i - 1].type == COL_BOOL ? cells->numbers[i] != 0 : cells->numbers[i]);
	}
	return why;
}

static int by_sequence(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;

	return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* The index by owner gives them in the order of the primary key, but for owners whose beginnings it does not tell apart. */
static void sort_rows(struct stmt *s)
{
	for (uint32_t i = 1; i < s->nrows; i++) {
		if (s->rows[i - 1]->sequence > s->rows[i]->sequence) {
			qsort(s->rows, s->nrows, sizeof(*s->rows), by_sequence);
			return;
		}
	}
}

static enum engine_result read_rows(struct connection *c, struct store_req *req, struct stmt *s, MYSQL_STMT *q)
{
	const char *name = store_tables[s->table].name;
	enum engine_result result = ENGINE_OK;
	struct maria_cells cells;
	int rc = 0;

	maria_bind_cells(&cells, s, s->verb == VERB_COUNT ? 1 : store_tables[s->table].ncolumns + 1u);
	if (mysql_stmt_bind_result(q, cells.binds))
		return failed(c, name, mysql_stmt_errno(q), mysql_stmt_error(q));
	while (result == ENGINE_OK && ((rc = mysql_stmt_fetch(q)) == 0 || rc == MYSQL_DATA_TRUNCATED)) {
		const char *why = read_row(c, req, s, q, &cells);

		if (why)
			result = failed(c, name, 0, why);
	}
	if (result == ENGINE_OK && rc != MYSQL_NO_DATA)
		result = failed(c, name, mysql_stmt_errno(q), mysql_stmt_error(q));
	mysql_stmt_free_result(q);
	sort_rows(s);
	return result;
}

/* *changed: the rows that a write found. */
static enum engine_result run_as(struct connection *c, struct store_req *req, struct stmt *s, enum verb verb, uint64_t *changed)
{
	enum engine_result result = ENGINE_OK;
	struct sql_key key = sql_key_of(s);
	struct maria_params p;

	key.verb = (uint8_t)verb;
	MYSQL_STMT *q = statement(c, key, &result);

	if (!q)
		return result;
	maria_params(&p, s, verb);
	if (mysql_stmt_bind_param(q, p.binds) || mysql_stmt_execute(q))
		return failed(c, store_tables[s->table].name, mysql_stmt_errno(q), mysql_stmt_error(q));
	if (!verb_writes(verb))
		return read_rows(c, req, s, q);
	*changed = mysql_stmt_affected_rows(q);
	return ENGINE_OK;
}

static enum engine_result run(struct connection *c, struct store_req *req)
{
	enum engine_result result = ENGINE_OK;

	for (uint32_t i = 0; i < req->nstmts && result == ENGINE_OK; i++) {
		struct stmt *s = &req->stmts[i];
		uint64_t changed = 0;

		result = run_as(c, req, s, s->verb, &changed);
		if (result == ENGINE_OK && s->verb == VERB_MERGE && changed == 0)
			result = run_as(c, req, s, VERB_PUT, &changed);
	}
	return result;
}

static void rollback(struct connection *c)
{
	/* The reason of the failure stays. A connection that cannot even do this has a successor without the transaction. */
	if (!c->lost && mysql_query(c->db, "ROLLBACK"))
		c->lost = true;
}

static enum engine_result mark_commit(struct connection *c)
{
	buf_clear(&c->sql);
	commits_statement(&c->sql, &maria_dialect, c->settings->prefix, &c->commits);
	buf_put(&c->sql, span_of("", 1));
	return c->sql.failed ? failed(c, "", 0, "no memory") : exec(c, c->sql.p);
}

static enum engine_result maria_write(void *connection, struct store_req **reqs, unsigned n, unsigned *culprit)
{
	struct connection *c = connection;
	enum engine_result result = ENGINE_OK;

	*culprit = n;
	if (!c->commits.writer[0])
		result = commits_enter(&maria_server, c, c->settings->prefix, &c->commits);
	if (result == ENGINE_OK)
		result = exec(c, "START TRANSACTION");
	for (unsigned i = 0; i < n && result == ENGINE_OK; i++) {
		result = run(c, reqs[i]);
		if (result == ENGINE_FAILED)
			*culprit = i;
	}
	if (result == ENGINE_OK)
		result = mark_commit(c);
	if (result == ENGINE_OK) {
		result = exec(c, "COMMIT");
		if (result == ENGINE_LOST)
			return ENGINE_UNKNOWN;
	}
	if (result != ENGINE_OK)
		rollback(c);
	return result;
}

/* Which of the tables have rows of the owner, in *have. */
static enum engine_result which_have(struct connection *c, const struct span *owner, uint64_t tables, uint64_t *have)
{
	enum engine_result result;
	MYSQL_STMT *q = statement(c, (struct sql_key){ .present = tables, .verb = SQL_EXISTS }, &result);
	MYSQL_BIND cell = { .buffer_type = MYSQL_TYPE_LONGLONG, .buffer = have, .buffer_length = sizeof(*have) };
	struct maria_params p;

	if (!q)
		return result;
	maria_params_repeat(&p, owner, (unsigned)__builtin_popcountll(tables));
	bool ok = !mysql_stmt_bind_param(q, p.binds) && !mysql_stmt_execute(q) && !mysql_stmt_bind_result(q, &cell) &&
		mysql_stmt_fetch(q) == 0;

	result = ok ? ENGINE_OK : failed(c, "exists", mysql_stmt_errno(q), mysql_stmt_error(q));
	mysql_stmt_free_result(q);
	return result;
}

static enum engine_result read_all(struct connection *c, struct store_req *req)
{
	enum engine_result result = ENGINE_OK;
	uint64_t have = 0, tables = req_tables_to_ask(req);
	const char *why;

	if (!tables)
		return run(c, req);
	result = which_have(c, &req->first_owner, tables, &have);
	for (uint32_t i = 0; i < req->nstmts && result == ENGINE_OK; i++) {
		struct stmt *s = &req->stmts[i];

		if ((have >> s->table & 1) || !span_eq(s->owner, req->first_owner))
			result = run_as(c, req, s, s->verb, &(uint64_t){ 0 });
		else if (!req_answer_empty(req, s, &why))
			result = failed(c, store_tables[s->table].name, 0, why);
	}
	return result;
}

/* A connection that reads saves itself the round trips that begin and end a transaction: the first statement begins it, and
 * nobody waits for its end. All of it sees one state: the isolation level says so, see greet(). */
static enum engine_result maria_read(void *connection, struct store_req *req)
{
	struct connection *c = connection;
	enum engine_result result = c->reads ? ready(c) : exec(c, "SET autocommit = 0");

	if (result != ENGINE_OK)
		return result;
	c->reads = true;
	result = read_all(c, req);
	if (!c->shared)
		end_reading(c);
	return result;
}

static enum engine_result maria_reads_begin(void *connection)
{
	struct connection *c = connection;

	c->shared = true;
	return ENGINE_OK;
}

static void maria_reads_end(void *connection)
{
	struct connection *c = connection;

	c->shared = false;
	end_reading(c);
}

enum engine_result maria_each(void *connection, const char *sql, server_row_fn fn, void *arg)
{
	struct connection *c = connection;
	enum engine_result result = exec(c, sql);
	MYSQL_RES *rows = result == ENGINE_OK ? mysql_store_result(c->db) : NULL;
	MYSQL_ROW row;

	while (rows && (row = mysql_fetch_row(rows))) {
		const char *cells[SERVER_CELLS] = { "", "", "", "" };

		for (unsigned k = 0; k < SERVER_CELLS && k < mysql_num_fields(rows); k++)
			cells[k] = row[k] ? row[k] : "";
		fn(arg, cells);
	}
	if (result == ENGINE_OK && !rows && mysql_field_count(c->db) > 0)
		result = failed(c, "", mysql_errno(c->db), mysql_error(c->db));
	mysql_free_result(rows);
	return result;
}

const char *maria_error(const void *connection)
{
	return ((const struct connection *)connection)->error;
}

static enum engine_outcome maria_outcome(void *connection)
{
	struct connection *c = connection;

	return commits_outcome(&maria_server, c, c->settings->prefix, &c->commits);
}

static bool dial(struct connection *c)
{
	const struct store_settings *s = c->settings;
	unsigned connect = settings_connect_s(s), silence = settings_silence_ms(s) / 1000;
	bool local = s->host && s->host[0] == '/';

	c->db = mysql_init(NULL);
	if (!c->db)
		return false;
	mysql_options(c->db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options(c->db, MYSQL_OPT_CONNECT_TIMEOUT, &connect);
	mysql_options(c->db, MYSQL_OPT_READ_TIMEOUT, &silence);
	mysql_options(c->db, MYSQL_OPT_WRITE_TIMEOUT, &silence);
	if (s->ssl_ca) {
		my_bool yes = 1;

		mysql_ssl_set(c->db, s->ssl_key, s->ssl_cert, s->ssl_ca, NULL, NULL);
		mysql_options(c->db, MYSQL_OPT_SSL_ENFORCE, &yes);
		mysql_options(c->db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	}
	/* A merge asks how many rows were found, not how many became different. */
	return mysql_real_connect(c->db, local ? NULL : s->host, s->user, s->pass, s->dbname,
		s->port ? (unsigned)strtoul(s->port, NULL, 10) : 0, local ? s->host : NULL, CLIENT_FOUND_ROWS);
}

/* What every connection is told first. Strict: what does not fit is refused, not cut or replaced. */
static enum engine_result greet(struct connection *c)
{
	int seconds = (c->settings->busy_timeout_ms + 999) / 1000;

	if (seconds < 1)
		seconds = 1;
	enum engine_result result = exec(c, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");

	if (result != ENGINE_OK)
		return result;
	buf_clear(&c->sql);
	buf_fmt(&c->sql, "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, "
		"innodb_lock_wait_timeout = %d, lock_wait_timeout = %d, sort_buffer_size = %d", seconds, seconds, SORT_BYTES);
	buf_put(&c->sql, span_of("", 1));
	result = c->sql.failed ? failed(c, "", 0, "no memory") : exec(c, c->sql.p);
	if (result != ENGINE_OK)
		return result;
	/* MariaDB's alone; MySQL has no such limit for writes. */
	buf_clear(&c->sql);
	buf_fmt(&c->sql, "SET SESSION max_statement_time = %u", settings_statement_s(c->settings));
	buf_put(&c->sql, span_of("", 1));
	result = c->sql.failed ? failed(c, "", 0, "no memory") : exec(c, c->sql.p);
	return result == ENGINE_FAILED && mysql_errno(c->db) == 1193 ? ENGINE_OK : result;
}

static void hang_up(struct connection *c)
{
	drop_statements(c);
	if (c->db)
		mysql_close(c->db);
	c->db = NULL;
	c->lost = true;
	c->reads = c->owes = false;
}

static bool maria_reconnect(void *connection)
{
	struct connection *c = connection;

	hang_up(c);
	if (!dial(c)) {
		failed(c, "", 0, c->db ? mysql_error(c->db) : "no memory");
		return false;
	}
	c->lost = false;
	if (greet(c) == ENGINE_OK)
		return true;
	c->lost = true;
	return false;
}

void *maria_open(const struct store_settings *settings)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		log_error("store: MariaDB cannot be used (no memory)");
		return NULL;
	}
	c->settings = settings;
	buf_init(&c->sql);
	buf_init(&c->text);
	if (maria_reconnect(c))
		return c;
	maria_refused(settings, c->db ? mysql_errno(c->db) : 0, c->error);
	maria_close(c);
	return NULL;
}

void maria_close(void *connection)
{
	struct connection *c = connection;

	if (!c->lost)
		commits_leave(&maria_server, c, c->settings->prefix, &c->commits);
	hang_up(c);
	buf_free(&c->sql);
	buf_free(&c->text);
	free(c);
}

const struct engine engine_mysql = {
	.name = "mysql",
	.prepare = maria_prepare,
	.open = maria_open,
	.close = maria_close,
	.describe = maria_describe,
	.write = maria_write,
	.read = maria_read,
	.reads_begin = maria_reads_begin,
	.reads_end = maria_reads_end,
	.error = maria_error,
	.reconnect = maria_reconnect,
	.outcome = maria_outcome,
};
