/* server_commits.c - a row per writer that says which of its transactions was the last to be committed.
 * Threads: the one whose connection it is.
 * Owns: nothing; the row is the connection's.
 *
 * The row is written in every transaction. When a connection breaks at the commit, the server may not have noticed yet, and
 * the transaction still be on its way: it holds the row's lock then, and whoever asks for the row waits until it is decided.
 * Transaction numbers of the server would not do: after a crash it may give the same number to another one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "shardsm/clock.h"
#include "store/server.h"

void server_commits_table(struct buf *out, const struct sql_dialect *d, const char *prefix)
{
	buf_fmt(out, "%c%s" COMMITS_TABLE "%c", d->quote, prefix, d->quote);
}

static void no_row(void *arg, const char *const cells[SERVER_CELLS])
{
	(void)arg;
	(void)cells;
}

static enum engine_result run(const struct server *server, void *connection, struct buf *sql, server_row_fn fn, void *arg)
{
	buf_put(sql, span_of("", 1));
	enum engine_result result = sql->failed ? ENGINE_FAILED : server->each(connection, sql->p, fn, arg);

	buf_free(sql);
	return result;
}

enum engine_result commits_enter(const struct server *server, void *connection, const char *prefix, struct commits *commits)
{
	struct buf sql;
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return ENGINE_FAILED;
	buf_init(&sql);
	buf_str(&sql, "DELETE FROM ");
	server_commits_table(&sql, server->dialect, prefix);
	buf_fmt(&sql, " WHERE since < %" PRId64, clock_wall() - COMMITS_KEPT_SECONDS);
	enum engine_result result = run(server, connection, &sql, no_row, NULL);

	if (result != ENGINE_OK)
		return result;
	for (unsigned i = 0; i < sizeof(random); i++)
		snprintf(commits->writer + 2 * i, 3, "%02x", random[i]);
	commits->number = 0;
	buf_init(&sql);
	buf_str(&sql, "INSERT INTO ");
	server_commits_table(&sql, server->dialect, prefix);
	buf_fmt(&sql, " (writer, number, since) VALUES ('%s', 0, %" PRId64 ")", commits->writer, clock_wall());
	result = run(server, connection, &sql, no_row, NULL);
	if (result != ENGINE_OK)
		commits->writer[0] = '\0';
	return result;
}

void commits_leave(const struct server *server, void *connection, const char *prefix, struct commits *commits)
{
	struct buf sql;

	if (!commits->writer[0])
		return;
	buf_init(&sql);
	buf_str(&sql, "DELETE FROM ");
	server_commits_table(&sql, server->dialect, prefix);
	buf_fmt(&sql, " WHERE writer = '%s'", commits->writer);
	(void)run(server, connection, &sql, no_row, NULL); /* else it goes in COMMITS_KEPT_SECONDS */
	commits->writer[0] = '\0';
}

void commits_statement(struct buf *out, const struct sql_dialect *d, const char *prefix, struct commits *commits)
{
	buf_str(out, "UPDATE ");
	server_commits_table(out, d, prefix);
	buf_fmt(out, " SET number = %" PRId64 ", since = %" PRId64 " WHERE writer = '%s'", ++commits->number, clock_wall(),
		commits->writer);
}

static void take_number(void *arg, const char *const cells[SERVER_CELLS])
{
	*(int64_t *)arg = strtoll(cells[0], NULL, 10);
}

enum engine_outcome commits_outcome(const struct server *server, void *connection, const char *prefix,
	const struct commits *commits)
{
	struct buf sql;
	int64_t number = -1;

	buf_init(&sql);
	buf_str(&sql, "SELECT number FROM ");
	server_commits_table(&sql, server->dialect, prefix);
	buf_fmt(&sql, " WHERE writer = '%s' FOR UPDATE", commits->writer);
	switch (run(server, connection, &sql, take_number, &number)) {
	case ENGINE_OK:
		if (number < 0)
			return OUTCOME_UNKNOWN; /* the row is gone */
		return number == commits->number ? OUTCOME_COMMITTED : OUTCOME_NOTHING;
	case ENGINE_BUSY:
		return OUTCOME_OPEN;
	case ENGINE_LOST:
		return OUTCOME_LOST;
	default:
		return OUTCOME_UNKNOWN;
	}
}
