/* direct.c - for the store's tests: SQL on the database under test, past the store.
 * Threads: the test's.
 * Owns: see direct.h.
 */
#include <libpq-fe.h>
#include <mysql.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "direct.h"

struct direct {
	sqlite3 *sqlite;
	PGconn *pgsql;
	MYSQL *mysql;
	bool any; /* a row was written */
};

enum test_engine test_engine(void)
{
	const char *name = getenv("SHARDSM_TEST_ENGINE");

	return !name ? ON_SQLITE : strcmp(name, "pgsql") == 0 ? ON_PGSQL : strcmp(name, "mysql") == 0 ? ON_MYSQL : ON_SQLITE;
}

const char *test_engine_name(void)
{
	static const char *const names[] = { "sqlite", "pgsql", "mysql" };

	return names[test_engine()];
}

static const char *server_directory(void)
{
	const char *dir = getenv("SHARDSM_TEST_SERVER");

	return dir ? dir : "/nonexistent";
}

const char *test_host(void)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s%s", server_directory(), test_engine() == ON_MYSQL ? "/socket" : "");
	return path;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	abort();
}

void test_server(const char *verb)
{
	char command[600];
	const char *control = getenv("SHARDSM_TEST_CONTROL");

	snprintf(command, sizeof(command), "sh %s %s %s %s", control ? control : "server.sh", test_engine_name(), verb,
		server_directory());
	if (system(command) != 0)
		die(command, "failed");
}

static void open_pgsql(struct direct *d, const char *path)
{
	const char *const names[] = { "host", "user", "dbname", NULL };
	const char *const values[] = { test_host(), "postgres", path ? path : "postgres", NULL };

	d->pgsql = PQconnectdbParams(names, values, 0);
	if (PQstatus(d->pgsql) != CONNECTION_OK)
		die("PostgreSQL", PQerrorMessage(d->pgsql));
	PQclear(PQexec(d->pgsql, "SET client_min_messages = warning"));
}

static void open_mysql(struct direct *d, const char *path)
{
	d->mysql = mysql_init(NULL);
	mysql_options(d->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options(d->mysql, MYSQL_INIT_COMMAND, "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'");
	if (!mysql_real_connect(d->mysql, NULL, "root", NULL, path, 0, test_host(), CLIENT_MULTI_STATEMENTS))
		die("MariaDB", mysql_error(d->mysql));
}

struct direct *direct_open(const char *path)
{
	struct direct *d = calloc(1, sizeof(*d));

	if (test_engine() == ON_PGSQL) {
		open_pgsql(d, path);
	} else if (test_engine() == ON_MYSQL) {
		open_mysql(d, path);
	} else {
		if (sqlite3_open(path, &d->sqlite) != SQLITE_OK)
			die(path, sqlite3_errmsg(d->sqlite));
		sqlite3_busy_timeout(d->sqlite, 10000);
	}
	return d;
}

void direct_close(struct direct **dp)
{
	struct direct *d = *dp;

	if (!d)
		return;
	sqlite3_close(d->sqlite);
	PQfinish(d->pgsql);
	if (d->mysql)
		mysql_close(d->mysql);
	free(d);
	*dp = NULL;
}

static void cell(FILE *out, int i, const char *text)
{
	if (out)
		fprintf(out, "%s%s", i ? "|" : "", text ? text : "NULL");
}

static void begin_row(struct direct *d, FILE *out)
{
	if (out && d->any)
		fputc('\n', out);
	d->any = true;
}

struct sqlite_out { struct direct *d; FILE *out; };

static int sqlite_row(void *arg, int n, char **cells, char **names)
{
	struct sqlite_out *o = arg;

	(void)names;
	begin_row(o->d, o->out);
	for (int i = 0; i < n; i++)
		cell(o->out, i, cells[i]);
	return 0;
}

static const char *run_pgsql(struct direct *d, const char *sql, FILE *out)
{
	PGresult *r = PQexec(d->pgsql, sql);
	ExecStatusType status = PQresultStatus(r);

	for (int i = 0; i < PQntuples(r); i++) {
		begin_row(d, out);
		for (int k = 0; k < PQnfields(r); k++)
			cell(out, k, PQgetisnull(r, i, k) ? NULL : PQgetvalue(r, i, k));
	}
	PQclear(r);
	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY ? NULL : PQerrorMessage(d->pgsql);
}

static const char *run_mysql(struct direct *d, const char *sql, FILE *out)
{
	int more = mysql_query(d->mysql, sql);

	if (more)
		return mysql_error(d->mysql);
	do {
		MYSQL_RES *r = mysql_store_result(d->mysql);
		MYSQL_ROW row;

		while (r && (row = mysql_fetch_row(r))) {
			begin_row(d, out);
			for (unsigned k = 0; k < mysql_num_fields(r); k++)
				cell(out, (int)k, row[k]);
		}
		mysql_free_result(r);
		more = mysql_next_result(d->mysql);
	} while (more == 0);
	return more > 0 ? mysql_error(d->mysql) : NULL;
}

const char *direct_run(struct direct *d, const char *sql, FILE *out)
{
	d->any = false;
	if (d->pgsql)
		return run_pgsql(d, sql, out);
	if (d->mysql)
		return run_mysql(d, sql, out);
	return sqlite3_exec(d->sqlite, sql, sqlite_row, &(struct sqlite_out){ d, out }, NULL) == SQLITE_OK ? NULL :
		sqlite3_errmsg(d->sqlite);
}
