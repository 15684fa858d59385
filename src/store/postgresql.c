/* postgresql.c - the engine on PostgreSQL.
 * Threads: a connection belongs to one store thread; prepare and describe run on the opener's.
 * Owns: connections with their prepared statements, from open to close.
 *
 * Statements are sent ahead (libpq's pipeline mode): a group of requests costs two round trips, one for all that it does
 * and one for the commit, which is sent when everything before it is known to have worked. Values travel in binary: text is
 * its bytes and its length, so nothing is escaped, and nothing copied to be terminated.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/log.h"
#include "store/postgresql.h"

/* Prepared statements kept by a connection: see sqlite.c. */
#define STATEMENTS_MAX 256
#define STATEMENT_SLOTS (2 * STATEMENTS_MAX)
/* Sent ahead before the answers are read: what libpq and the server's socket hold meanwhile. */
#define AHEAD_STATEMENTS 512
#define AHEAD_BYTES (1u << 20)

enum slot_state { SLOT_FREE, SLOT_SENT, SLOT_READY, SLOT_FAILED /* to be prepared again */ };

struct slot {
	struct sql_key key;
	unsigned name;
	enum slot_state state;
};

/* Something sent whose result is still to come. */
struct sent {
	struct store_req *req;       /* a statement of a request, */
	struct stmt *stmt;
	unsigned request;            /* its place in the group; */
	struct slot *slot;           /* or a statement being prepared; */
	server_row_fn fn;            /* or anything else, with a function for its rows */
	void *arg;
};

struct connection {
	const struct store_settings *settings;
	PGconn *pq;
	struct buf sql;
	struct commits commits;
	unsigned nslots, next_name;
	bool lost, deallocate;       /* the server has statements that nobody knows any more */
	enum engine_result result;   /* of what is under way: the first failure, */
	unsigned culprit;            /* and whose it is */
	unsigned nsent;
	size_t sent_bytes;
	struct sent sent[2 * AHEAD_STATEMENTS + 8]; /* each with its preparation */
	struct slot slots[STATEMENT_SLOTS];
	char error[400];
};

/* libpq's messages end in newlines, and have several lines. */
static void set_error(struct connection *c, const char *what, const char *message)
{
	int n = snprintf(c->error, sizeof(c->error), "%s%s%s", what, *what ? ": " : "", message);

	if (n >= (int)sizeof(c->error))
		n = sizeof(c->error) - 1;
	while (n > 0 && (c->error[n - 1] == '\n' || c->error[n - 1] == ' '))
		c->error[--n] = '\0';
	for (int i = 0; i < n; i++) {
		if (c->error[i] == '\n' || c->error[i] == '\t')
			c->error[i] = ' ';
	}
}

/* The first failure of what is under way; what follows it are its consequences. */
static void fail(struct connection *c, enum engine_result result, unsigned culprit, const char *what, const char *message)
{
	if (c->result != ENGINE_OK && result != ENGINE_LOST)
		return;
	if (c->result == ENGINE_OK)
		set_error(c, what, message);
	c->result = result;
	c->culprit = culprit;
}

static void lost(struct connection *c, const char *message)
{
	c->lost = true;
	fail(c, ENGINE_LOST, 0, "", message);
}

static enum engine_result classify(const char *state)
{
	static const struct { const char *state; enum engine_result result; } states[] = {
		{ "55P03", ENGINE_BUSY },   /* lock_timeout */
		{ "57014", ENGINE_BUSY },   /* statement_timeout */
		{ "40", ENGINE_BUSY },      /* deadlock, serialization */
		{ "53", ENGINE_FULL },      /* disk full, no memory, too many connections */
		{ "25006", ENGINE_FULL },   /* a standby, that takes no writes */
		{ "57P", ENGINE_LOST },     /* shutting down, starting up */
		{ "08", ENGINE_LOST },
		{ "26000", ENGINE_LOST },   /* our prepared statements are not there, */
		{ "0A000", ENGINE_LOST },   /* or a table was changed under them: a new connection prepares them anew */
	};

	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strncmp(state, states[i].state, strlen(states[i].state)) == 0)
			return states[i].result;
	}
	return ENGINE_FAILED;
}

/* Waits for the socket. False: lost. */
static bool wait_for_server(struct connection *c, bool more_to_send)
{
	struct pollfd p = { PQsocket(c->pq), (short)(POLLIN | (more_to_send ? POLLOUT : 0)), 0 };
	int n;

	do
		n = poll(&p, 1, (int)settings_silence_ms(c->settings));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		lost(c, "the server does not answer");
	else if (n < 0 || !PQconsumeInput(c->pq))
		lost(c, n < 0 ? strerror(errno) : PQerrorMessage(c->pq));
	return !c->lost;
}

/* The next result, or NULL: the statement has no more, or lost. */
static PGresult *next_result(struct connection *c)
{
	while (!c->lost) {
		int more = PQflush(c->pq);

		if (more < 0) {
			/* What the server said before it hung up says more than the broken pipe. */
			PQconsumeInput(c->pq);
			if (PQisBusy(c->pq)) {
				lost(c, PQerrorMessage(c->pq));
				break;
			}
		}
		if (!PQisBusy(c->pq))
			return PQgetResult(c->pq);
		if (!wait_for_server(c, more > 0))
			break;
	}
	return NULL;
}

/* NULL, or why the rows cannot be taken. */
static const char *read_rows(struct store_req *req, struct stmt *s, const PGresult *r)
{
	const struct table *t = &store_tables[s->table];
	const char *why = NULL;

	for (int i = 0; i < PQntuples(r) && !why; i++) {
		struct row *row = req_row(req, s, s->verb == VERB_COUNT ? 1 : t->ncolumns, &why);

		if (!row)
			return why;
		why = NULL;
		int64_t first = PQgetisnull(r, i, 0) ? 0 : postgresql_number(PQgetvalue(r, i, 0), PQgetlength(r, i, 0));

		if (s->verb == VERB_COUNT) {
			row->values[0] = value_int(first);
			continue;
		}
		row->sequence = first;
		for (int k = 0; k < t->ncolumns && !why; k++) {
			if (!PQgetisnull(r, i, k + 1))
				why = postgresql_value(req, t->columns[k].type, PQftype(r, k + 1), PQgetvalue(r, i, k + 1),
					PQgetlength(r, i, k + 1), &row->values[k]);
		}
	}
	return why;
}

static void each_row(const struct sent *sent, const PGresult *r)
{
	for (int i = 0; i < PQntuples(r); i++) {
		const char *cells[SERVER_CELLS] = { "", "", "", "" };

		for (int k = 0; k < SERVER_CELLS && k < PQnfields(r); k++)
			cells[k] = PQgetvalue(r, i, k);
		sent->fn(sent->arg, cells);
	}
}

static const char *name_of(const struct sent *sent)
{
	return sent->stmt ? store_tables[sent->stmt->table].name : "";
}

static void take_result(struct connection *c, const struct sent *sent, const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
		if (sent->slot) {
			sent->slot->state = SLOT_READY;
		} else if (sent->fn) {
			each_row(sent, r);
		} else if (sent->stmt && c->result == ENGINE_OK) {
			const char *why = read_rows(sent->req, sent->stmt, r);

			if (why)
				fail(c, ENGINE_FAILED, sent->request, name_of(sent), why);
		}
		return;
	}
	if (sent->slot)
		sent->slot->state = SLOT_FAILED;
	if (status == PGRES_PIPELINE_ABORTED)
		return;
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE), *message = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	enum engine_result result = PQstatus(c->pq) == CONNECTION_BAD || !state ? ENGINE_LOST : classify(state);

	if (result == ENGINE_LOST)
		lost(c, message ? message : PQresultErrorMessage(r));
	else
		fail(c, result, sent->request, name_of(sent), message ? message : PQresultErrorMessage(r));
}

/* Ends what was sent ahead and takes all of its results. */
static enum engine_result collect(struct connection *c)
{
	if (!c->lost && !PQpipelineSync(c->pq))
		lost(c, PQerrorMessage(c->pq));
	for (unsigned i = 0; i < c->nsent; i++) {
		PGresult *r;

		while ((r = next_result(c))) {
			take_result(c, &c->sent[i], r);
			PQclear(r);
		}
		if (c->sent[i].slot && c->sent[i].slot->state == SLOT_SENT)
			c->sent[i].slot->state = SLOT_FAILED;
	}
	c->nsent = 0;
	c->sent_bytes = 0;
	/* The sync itself. */
	PGresult *r = next_result(c);

	if (!c->lost && PQresultStatus(r) != PGRES_PIPELINE_SYNC)
		lost(c, PQstatus(c->pq) == CONNECTION_BAD ? PQerrorMessage(c->pq) : "the server's answers are out of step");
	PQclear(r);
	return c->result;
}

static void start(struct connection *c)
{
	c->result = ENGINE_OK;
	c->culprit = 0;
	c->error[0] = '\0';
	c->nsent = 0;
	c->sent_bytes = 0;
	if (c->lost)
		lost(c, "not connected");
}

static void no_row(void *arg, const char *const cells[SERVER_CELLS])
{
	(void)arg;
	(void)cells;
}

/* A statement without placeholders. */
static void send_plain(struct connection *c, const char *sql, server_row_fn fn, void *arg)
{
	if (c->result != ENGINE_OK)
		return;
	if (!PQsendQueryParams(c->pq, sql, 0, NULL, NULL, NULL, NULL, 0)) {
		lost(c, PQerrorMessage(c->pq));
		return;
	}
	c->sent[c->nsent++] = (struct sent){ .fn = fn, .arg = arg };
}

static void forget_statements(struct connection *c)
{
	memset(c->slots, 0, sizeof(c->slots));
	c->nslots = 0;
}

static void rollback(struct connection *c)
{
	enum engine_result result = c->result;
	unsigned culprit = c->culprit;

	if (c->lost)
		return;
	/* The reason stays; only losing the connection counts for more. */
	c->result = ENGINE_OK;
	send_plain(c, "ROLLBACK", no_row, NULL);
	char error[sizeof(c->error)];

	memcpy(error, c->error, sizeof(error));
	if (collect(c) != ENGINE_OK)
		c->lost = true; /* whatever it is: a new connection has no open transaction */
	memcpy(c->error, error, sizeof(error));
	c->result = result;
	c->culprit = culprit;
}

static struct slot *find_slot(struct connection *c, struct sql_key key)
{
	unsigned i;

	for (i = (unsigned)(sql_key_hash(key) % STATEMENT_SLOTS); c->slots[i].state; i = (i + 1) % STATEMENT_SLOTS) {
		if (sql_key_same(c->slots[i].key, key))
			break;
	}
	return &c->slots[i];
}

/* The statement, prepared or about to be. */
static struct slot *statement(struct connection *c, struct sql_key key, const struct postgresql_params *p)
{
	struct slot *slot = find_slot(c, key);
	char name[16];

	if (slot->state == SLOT_SENT || slot->state == SLOT_READY)
		return slot;
	if (slot->state == SLOT_FREE) {
		/* Room is made between transactions: see make_room(). */
		c->nslots++;
		slot->key = key;
	}
	slot->name = c->next_name++;
	slot->state = SLOT_SENT;
	buf_clear(&c->sql);
	sql_statement(&c->sql, &postgresql_dialect, c->settings->prefix, key);
	buf_put(&c->sql, span_of("", 1));
	snprintf(name, sizeof(name), "s%u", slot->name);
	if (c->sql.failed) {
		slot->state = SLOT_FAILED;
		fail(c, ENGINE_FAILED, 0, "", "no memory");
		return NULL;
	}
	if (!PQsendPrepare(c->pq, name, c->sql.p, p->n, p->types)) {
		slot->state = SLOT_FAILED;
		lost(c, PQerrorMessage(c->pq));
		return NULL;
	}
	c->sent[c->nsent++] = (struct sent){ .slot = slot };
	return slot;
}

/* Drops all statements when a few more might not fit. Nothing may be under way: their slots are used anew. */
static void make_room(struct connection *c)
{
	if (c->nslots < STATEMENTS_MAX)
		return;
	send_plain(c, "DEALLOCATE ALL", no_row, NULL);
	if (c->result == ENGINE_OK && collect(c) == ENGINE_OK)
		forget_statements(c);
}

static void send_statement(struct connection *c, struct store_req *req, struct stmt *s, unsigned request)
{
	struct postgresql_params p;
	char name[16];

	if (c->nsent >= 2 * AHEAD_STATEMENTS || c->sent_bytes >= AHEAD_BYTES) {
		if (collect(c) != ENGINE_OK)
			return;
	}
	if (c->nslots >= STATEMENTS_MAX) {
		if (collect(c) != ENGINE_OK)
			return;
		make_room(c);
	}
	if (c->result != ENGINE_OK)
		return;
	postgresql_params(&p, s);
	struct slot *slot = statement(c, sql_key_of(s), &p);

	if (!slot)
		return;
	snprintf(name, sizeof(name), "s%u", slot->name);
	if (!PQsendQueryPrepared(c->pq, name, p.n, p.values, p.lengths, p.formats, 1)) {
		lost(c, PQerrorMessage(c->pq));
		return;
	}
	c->sent[c->nsent++] = (struct sent){ .req = req, .stmt = s, .request = request };
	c->sent_bytes += p.bytes;
}

static enum engine_result postgresql_write(void *connection, struct store_req **reqs, unsigned n, unsigned *culprit)
{
	struct connection *c = connection;

	*culprit = n;
	if (!c->commits.writer[0]) {
		enum engine_result entered = commits_enter(&postgresql_server, c, c->settings->prefix, &c->commits);

		if (entered != ENGINE_OK)
			return entered;
	}
	start(c);
	send_plain(c, "BEGIN", no_row, NULL);
	for (unsigned i = 0; i < n && c->result == ENGINE_OK; i++) {
		for (uint32_t k = 0; k < reqs[i]->nstmts && c->result == ENGINE_OK; k++)
			send_statement(c, reqs[i], &reqs[i]->stmts[k], i);
	}
	if (c->nsent && collect(c) == ENGINE_OK) {
		buf_clear(&c->sql);
		commits_statement(&c->sql, &postgresql_dialect, c->settings->prefix, &c->commits);
		buf_put(&c->sql, span_of("", 1));
		send_plain(c, c->sql.p, no_row, NULL);
		collect(c);
	}
	if (c->result != ENGINE_OK) {
		if (c->result == ENGINE_FAILED)
			*culprit = c->culprit;
		rollback(c);
		return c->result;
	}
	send_plain(c, "COMMIT", no_row, NULL);
	collect(c);
	if (c->result == ENGINE_LOST)
		return ENGINE_UNKNOWN;
	if (c->result != ENGINE_OK)
		rollback(c);
	return c->result;
}

static enum engine_result postgresql_read(void *connection, struct store_req *req)
{
	struct connection *c = connection;
	bool several = req->nstmts > 1;

	start(c);
	if (several)
		send_plain(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", no_row, NULL);
	for (uint32_t i = 0; i < req->nstmts && c->result == ENGINE_OK; i++)
		send_statement(c, req, &req->stmts[i], 0);
	if (several)
		send_plain(c, "COMMIT", no_row, NULL);
	collect(c);
	if (c->result != ENGINE_OK && several)
		rollback(c);
	return c->result;
}

enum engine_result postgresql_each(void *connection, const char *sql, server_row_fn fn, void *arg)
{
	struct connection *c = connection;

	start(c);
	send_plain(c, sql, fn, arg);
	return collect(c);
}

const char *postgresql_error(const void *connection)
{
	return ((const struct connection *)connection)->error;
}

static enum engine_outcome postgresql_outcome(void *connection)
{
	struct connection *c = connection;

	return commits_outcome(&postgresql_server, c, c->settings->prefix, &c->commits);
}

static void debug_notice(void *arg, const char *message)
{
	(void)arg;
	log_debug("store: PostgreSQL says: %s", message);
}

/* Settings of ours that conninfo may overrule come before it, others behind. */
static PGconn *dial(const struct store_settings *s)
{
	const char *names[20], *values[20];
	char connect[12];
	unsigned n = 0;

	snprintf(connect, sizeof(connect), "%u", settings_connect_s(s));
	const struct { const char *name, *value; } all[] = {
		{ "fallback_application_name", "shardsm" },
		{ "connect_timeout", connect },
		{ "keepalives_idle", "30" }, { "keepalives_interval", "10" }, { "keepalives_count", "3" },
		{ "tcp_user_timeout", "30000" },
		{ "dbname", s->conninfo ? s->conninfo : s->dbname },
		{ "host", s->conninfo ? NULL : s->host },
		{ "port", s->conninfo ? NULL : s->port },
		{ "user", s->conninfo ? NULL : s->user },
		{ "password", s->conninfo ? NULL : s->pass },
		{ "client_encoding", "UTF8" },
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].value) {
			names[n] = all[i].name;
			values[n++] = all[i].value;
		}
	}
	names[n] = values[n] = NULL;
	return PQconnectdbParams(names, values, s->conninfo != NULL);
}

/* What every connection is told first. */
static bool greet(struct connection *c)
{
	const char *schema = c->settings->schema;

	buf_clear(&c->sql);
	buf_fmt(&c->sql, "SET client_min_messages = warning; SET statement_timeout = %u; SET lock_timeout = %d;",
		1000 * settings_statement_s(c->settings),
		c->settings->busy_timeout_ms > 0 ? c->settings->busy_timeout_ms : 1);
	if (schema) {
		char *quoted = PQescapeIdentifier(c->pq, schema, strlen(schema));

		if (quoted)
			buf_fmt(&c->sql, " SET search_path TO %s;", quoted);
		PQfreemem(quoted);
	}
	buf_put(&c->sql, span_of("", 1));
	/* Never waiting without an end: the server may stop answering right here. */
	bool ok = !c->sql.failed && PQsetnonblocking(c->pq, 1) == 0 && PQsendQuery(c->pq, c->sql.p);
	PGresult *r;

	c->lost = false;
	while ((r = next_result(c))) {
		ok = ok && PQresultStatus(r) == PGRES_COMMAND_OK;
		PQclear(r);
	}
	ok = ok && !c->lost && PQenterPipelineMode(c->pq) && PQstatus(c->pq) == CONNECTION_OK;
	c->lost = !ok;
	return ok;
}

/* A fresh connection in place of the old one. False: c->error says why. */
static bool connect_anew(struct connection *c)
{
	PQfinish(c->pq);
	forget_statements(c);
	c->lost = true;
	c->pq = dial(c->settings);
	if (!c->pq) {
		set_error(c, "", "no memory");
		return false;
	}
	PQsetNoticeProcessor(c->pq, debug_notice, NULL);
	c->result = ENGINE_OK;
	c->error[0] = '\0';
	if (PQstatus(c->pq) != CONNECTION_OK || !greet(c)) {
		if (!c->error[0])
			set_error(c, "", PQerrorMessage(c->pq));
		return false;
	}
	c->lost = false;
	return true;
}

static bool postgresql_reconnect(void *connection)
{
	return connect_anew(connection);
}

void postgresql_where(const void *connection, char *out, size_t cap)
{
	const struct connection *c = connection;
	const char *host = c->pq ? PQhost(c->pq) : NULL, *port = c->pq ? PQport(c->pq) : NULL, *db = c->pq ? PQdb(c->pq) : NULL;

	snprintf(out, cap, "database \"%s\" at %s:%s", db ? db : "", host && *host ? host : "the local socket", port ? port : "");
}

const char *postgresql_user(const void *connection)
{
	const struct connection *c = connection;
	const char *user = c->pq ? PQuser(c->pq) : NULL;

	return user ? user : "";
}

const char *postgresql_database(const void *connection)
{
	const struct connection *c = connection;
	const char *db = c->pq ? PQdb(c->pq) : NULL;

	return db ? db : "";
}

void *postgresql_open(const struct store_settings *settings)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		log_error("store: PostgreSQL cannot be used (no memory)");
		return NULL;
	}
	c->settings = settings;
	buf_init(&c->sql);
	if (connect_anew(c))
		return c;
	postgresql_refused(c);
	postgresql_close(c);
	return NULL;
}

void postgresql_close(void *connection)
{
	struct connection *c = connection;

	if (!c->lost)
		commits_leave(&postgresql_server, c, c->settings->prefix, &c->commits);
	PQfinish(c->pq);
	buf_free(&c->sql);
	free(c);
}

const struct engine engine_pgsql = {
	.name = "pgsql",
	.prepare = postgresql_prepare,
	.open = postgresql_open,
	.close = postgresql_close,
	.describe = postgresql_describe,
	.write = postgresql_write,
	.read = postgresql_read,
	.error = postgresql_error,
	.reconnect = postgresql_reconnect,
	.outcome = postgresql_outcome,
};
