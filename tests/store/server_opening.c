/* server_opening.c - opening the store on a database server: nothing there yet, jabberd2's tables, and what is neither; data
 * of one kind in one database and the rest in another.
 * Threads: main, and the store's.
 * Owns: a database per test.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server_suite.h"
#include "shardsm/config.h"
#include "shardsm/vcard_columns.h"

#define ALICE "alice@lab.test"

static bool mysql(void)
{
	return test_engine() == ON_MYSQL;
}

TestSuite(server_opening, .init = server_setup, .fini = server_teardown, .timeout = 60);

/* The schema that jabberd2's package brings, read into a database. */
static void load_stock(const char *database)
{
	char command[300], *text = NULL;
	size_t n = 0;
	const char *file = mysql() ? "/usr/share/doc/jabberd2/db-setup.mysql.gz" : "/usr/share/doc/jabberd2/db-setup.pgsql.gz";

	if (access(file, R_OK))
		cr_skip_test("without the documentation of Debian's package jabberd2");
	/* Comments with an odd quote, and statements that name the database. */
	snprintf(command, sizeof(command), "zcat %s | sed -e 's/#.*//' -e '/^--/d' -e '/^CREATE DATABASE/d' -e '/^USE /d'", file);
	FILE *f = popen(command, "r");

	cr_assert(f && getdelim(&text, &n, '\0', f) > 0);
	pclose(f);
	sql_run(database, text);
	free(text);
}

static void assert_logged(const char *want)
{
	char *log = file_text(db.log);

	cr_assert_not_null(strstr(log, want), "\"%s\" is not in the log:\n%s", want, log);
	free(log);
}

static void assert_not_logged(const char *text)
{
	char *log = file_text(db.log);

	cr_assert_null(strstr(log, text), "\"%s\" is in the log:\n%s", text, log);
	free(log);
}

static void assert_refused(const char *want1, const char *want2, const char *want3)
{
	cr_assert_not(db_open(&db));
	assert_logged(want1);
	assert_logged(want2);
	assert_logged(want3);
	assert_logged(db.path);
}

/* A condition on a name: the table is one of those that jabberd2's schema for servers has. */
static void stock_tables(FILE *out, const char *column)
{
	fprintf(out, "%s NOT IN ('shardsm-commits', 'verify', 'published-roster', 'published-roster-groups'", column);
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (store_tables[t].ours)
			fprintf(out, ", '%s'", store_tables[t].name);
	}
	fprintf(out, ")");
}

static void assert_same_answer(const char *a, const char *b, const char *before, const char *column, const char *after)
{
	char *sql = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&sql, &n);

	fputs(before, out);
	stock_tables(out, column);
	fputs(after, out);
	fclose(out);
	char *x = sql_ask(a, sql), *y = sql_ask(b, sql);

	cr_assert_gt(strlen(x), 1000);
	cr_assert_str_eq(x, y, "%s\n--- and\n%s", x, y);
	free(x);
	free(y);
	free(sql);
}

/* The shape of jabberd2's tables: PostgreSQL's to the key, MariaDB's by names, its types being wider here. */
Test(server_opening, a_new_database_gets_jabberd2s_schema)
{
	struct db stock;

	db_must_open(&db);
	db_close(&db);
	db_make(&stock);
	load_stock(stock.path);
	if (mysql()) {
		assert_same_answer(db.path, stock.path, "SELECT table_name, column_name FROM information_schema.columns "
			"WHERE table_schema = DATABASE() AND ", "table_name", " ORDER BY table_name, ordinal_position");
	} else {
		assert_same_answer(db.path, stock.path, "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, "
			"CASE WHEN column_name = 'object-sequence' THEN '' ELSE column_default END FROM information_schema.columns "
			"WHERE table_schema = 'public' AND ", "table_name", " ORDER BY 1, 2");
		assert_same_answer(db.path, stock.path, "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND ",
			"tablename", " ORDER BY 1, 2");
	}
	/* It is taken for what it is the next time. */
	db_must_open(&db);
	cr_assert_eq(db_count(&db, T_QUEUE, "nobody"), 0);
	db_remove(&stock);
}

/* A table through the store, and past it. */
static void assert_table_read(enum store_table t, const char *owner)
{
	const struct table *table = &store_tables[t];
	struct store_req *req = store_req_new(span_str(owner));
	int s = store_get(req, t, STORE_ALL, value_null());
	char sql[3000], *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int n = snprintf(sql, sizeof(sql), "SELECT \"object-sequence\"");

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK);
	for (uint32_t row = 0; row < store_rows(req, s); row++) {
		if (row)
			fputc('\n', out);
		fprintf(out, "%lld", (long long)store_sequence(req, s, row));
		for (int c = 0; c < table->ncolumns; c++) {
			struct value v = store_value(req, s, row, c);

			if (v.kind == VALUE_NULL)
				fputs("|NULL", out);
			else if (v.kind == VALUE_TEXT)
				fprintf(out, "|" SPAN_FMT, SPAN_ARG(v.s));
			else if (table->columns[c].type == COL_BOOL)
				fputs(v.i ? "|t" : "|f", out);
			else
				fprintf(out, "|%lld", (long long)v.i);
		}
	}
	fclose(out);
	for (int c = 0; c < table->ncolumns; c++)
		n += snprintf(sql + n, sizeof(sql) - (size_t)n, ", \"%s\"", table->columns[c].name);
	snprintf(sql + n, sizeof(sql) - (size_t)n, " FROM \"%s\" WHERE \"collection-owner\" = '%s' ORDER BY 1", table->name, owner);
	char *want = sql_ask(db.path, sql);

	cr_assert_str_eq(text, want, "%s:\n%s\n--- and\n%s", table->name, text, want);
	free(text);
	free(want);
	store_req_free(&req);
}

/* Rows that jabberd2's sm wrote to PostgreSQL. */
Test(server_opening, stock_rows_are_read_whole)
{
	if (mysql())
		cr_skip_test("rows from PostgreSQL");
	load_stock(db.path);
	sql_file(db.path, STORE_TESTS "/stock-rows.pgsql");
	db_must_open(&db);
	for (unsigned t = 0; t < T_COUNT; t++) {
		assert_table_read((enum store_table)t, ALICE);
		assert_table_read((enum store_table)t, "bob@lab.test");
	}
	cr_assert_eq(db_count(&db, T_QUEUE, "bob@lab.test"), 4);
	cr_assert_eq(db_count(&db, T_ROSTER_ITEMS, ALICE), 2);
	/* Replaced as a module does it, with the primary key that the table has. */
	struct store_req *req = store_req_new(SPAN(ALICE));
	struct value item[] = { value_text(SPAN("bob@lab.test")), value_text(SPAN("B'ob")), value_int(1), value_int(1), value_int(0) };

	store_delete(req, T_ROSTER_ITEMS, ITEM_JID, item[ITEM_JID]);
	store_put(req, T_ROSTER_ITEMS, item);
	cr_assert_eq(db_do(&db, req), STORE_OK);
	char *row = sql_ask(db.path, "SELECT jid, name, \"to\", \"from\", ask FROM \"roster-items\" WHERE name IS NOT NULL");

	cr_assert_str_eq(row, "bob@lab.test|B'ob|t|t|0");
	free(row);
	/* Without the delete the key says no, and why is said. */
	req = store_req_new(SPAN(ALICE));
	store_put(req, T_ROSTER_ITEMS, item);
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_not_null(strstr(store_error(req), "roster-items"), "%s", store_error(req));
	store_req_free(&req);
}

/* jabberd2's tables on MariaDB: three bytes a character, collations that see more as equal than is. */
Test(server_opening, stock_tables_of_mariadb)
{
	if (!mysql())
		cr_skip_test("of MariaDB");
	load_stock(db.path);
	db_must_open(&db);
	assert_logged("utf8mb4");
	cr_assert_eq(db_do(&db, queue_put(ALICE, "NAD<b>\xc3\xa9\xe2\x82\xac</b>")), STORE_OK);
	struct store_req *req = db_ask(&db, queue_put(ALICE, "NAD<b>\xf0\x9f\x90\x98</b>"), 0);

	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_not_null(strstr(store_error(req), "utf8mb4"), "%s", store_error(req));
	store_req_free(&req);
	char *rows = sql_ask(db.path, "SELECT xml FROM queue");

	cr_assert_str_eq(rows, "NAD<b>\xc3\xa9\xe2\x82\xac</b>");
	free(rows);
	/* e, E and e with an accent are three owners; so is one with a space behind. */
	static const char *const owners[] = { "e@lab.test", "E@lab.test", "\xc3\xa9@lab.test", "e@lab.test " };

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(db_do(&db, queue_put(owners[i], owners[i])), STORE_OK);
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(db_count(&db, T_QUEUE, owners[i]), 1, "%s", owners[i]);
	req = store_req_new(SPAN("e@lab.test"));
	store_delete(req, T_QUEUE, STORE_ALL, value_null());
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_QUEUE, "\xc3\xa9@lab.test"), 1);
	/* Too long for its column: refused, not cut. */
	struct value v[VCARD_COLUMNS] = { [VCARD_TZ] = value_text(SPAN("longer than seven")) };

	req = store_req_new(SPAN(ALICE));
	store_put(req, T_VCARD, v);
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_not_null(strstr(store_error(req), "tz"), "%s", store_error(req));
	store_req_free(&req);
}

Test(server_opening, a_missing_table)
{
	load_stock(db.path);
	sql_run(db.path, "DROP TABLE \"privacy-items\"");
	assert_refused("table \"privacy-items\" is missing", "jabberd2 2.7.0", "<prefix>");
}

Test(server_opening, a_missing_column)
{
	load_stock(db.path);
	sql_run(db.path, "ALTER TABLE vcard DROP COLUMN jabberid; ALTER TABLE \"status\" DROP COLUMN xml");
	assert_refused("table \"vcard\" has no column \"jabberid\"", mysql() ? "ALTER TABLE `vcard` ADD COLUMN `jabberid` MEDIUMTEXT" :
		"ALTER TABLE \"vcard\" ADD COLUMN \"jabberid\" text", "table \"status\" has no column \"xml\"");
	/* Doing what the message says helps. */
	sql_run(db.path, "ALTER TABLE vcard ADD COLUMN jabberid text; ALTER TABLE \"status\" ADD COLUMN xml text");
	db_must_open(&db);
}

Test(server_opening, a_column_of_another_type)
{
	load_stock(db.path);
	sql_run(db.path, mysql() ? "ALTER TABLE queue MODIFY xml BLOB" : "ALTER TABLE queue ALTER xml TYPE bytea USING NULL");
	assert_refused("column \"xml\" of table \"queue\" is of type", mysql() ? "blob" : "bytea", "wanted:");
}

Test(server_opening, another_programs_database)
{
	sql_run(db.path, "CREATE TABLE queue (id INTEGER)");
	assert_refused("table \"active\" is missing", "table \"queue\" has no column \"collection-owner\"", "jabberd2 2.7.0");
	char *tables = sql_ask(db.path, mysql() ? "SHOW TABLES" : "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");

	cr_assert_str_eq(tables, "queue", "somebody else's database was written to");
	free(tables);
}

Test(server_opening, a_prefix)
{
	db.prefix = "sm_";
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "NAD<x/>")), STORE_OK);
	db_close(&db);
	char *n = sql_ask(db.path, "SELECT count(*) FROM sm_queue");

	cr_assert_str_eq(n, "1");
	free(n);
	db_must_open(&db);
}

Test(server_opening, a_schema)
{
	if (mysql())
		cr_skip_test("of PostgreSQL");
	db.schema = "Chat's \"own\"";
	cr_assert_not(db_open(&db));
	assert_logged("<schema>");
	sql_run(db.path, "CREATE SCHEMA \"Chat's \"\"own\"\"\"");
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "NAD<x/>")), STORE_OK);
	char *n = sql_ask(db.path, "SELECT count(*) FROM \"Chat's \"\"own\"\"\".queue");

	cr_assert_str_eq(n, "1");
	free(n);
}

Test(server_opening, nobody_listens)
{
	db.host = db.dir;
	assert_refused("cannot be opened", db.dir, "check <host> and <port>");
}

Test(server_opening, a_missing_database)
{
	char want[200];
	struct direct *server = direct_open(NULL);
	char sql[150];

	snprintf(sql, sizeof(sql), "DROP DATABASE %s", db.path);
	cr_assert_null(direct_run(server, sql, NULL));
	direct_close(&server);
	snprintf(want, sizeof(want), mysql() ? "CREATE DATABASE `%s`" : "CREATE DATABASE \"%s\"", db.path);
	assert_refused(want, "makes it", mysql() ? "root" : "postgres");
}

Test(server_opening, a_wrong_password)
{
	struct direct *server = direct_open(NULL);

	if (mysql())
		cr_assert_null(direct_run(server, "CREATE OR REPLACE USER locked@localhost IDENTIFIED BY 'right secret'", NULL));
	else
		cr_assert_null(direct_run(server, "CREATE USER locked SUPERUSER PASSWORD 'right secret'", NULL));
	db.user = "locked";
	db.pass = "wr0ng secret";
	assert_refused("user \"locked\"", "check <user> and <pass>", "cannot be opened");
	assert_not_logged("wr0ng");
	assert_not_logged("right secret");
	if (!mysql()) {
		db.pass = "right secret";
		db_must_open(&db);
		db_close(&db);
	}
	(void)direct_run(server, mysql() ? "DROP USER locked@localhost" : "DROP USER locked", NULL);
	direct_close(&server);
}

Test(server_opening, a_user_without_rights)
{
	struct direct *server = direct_open(NULL);

	cr_assert_null(direct_run(server, mysql() ? "CREATE OR REPLACE USER guest@localhost" : "CREATE USER guest", NULL));
	if (mysql()) {
		char sql[200];

		snprintf(sql, sizeof(sql), "GRANT SELECT ON %s.* TO guest@localhost", db.path);
		cr_assert_null(direct_run(server, sql, NULL));
	}
	db.user = "guest";
	assert_refused("creating the schema failed", "denied", "GRANT");
	(void)direct_run(server, mysql() ? "DROP USER guest@localhost" : "DROP USER guest", NULL);
	direct_close(&server);
}

Test(server_opening, describe)
{
	char line[400], want[200];

	db_must_open(&db);
	struct value v[] = { value_int(1) };
	struct store_req *req = store_req_new(SPAN(ALICE));

	store_put(req, T_ACTIVE, v);
	cr_assert_eq(db_do(&db, req), STORE_OK);
	store_describe(db.store, line, sizeof(line));
	snprintf(want, sizeof(want), "%s, database \"%s\" at ", test_engine_name(), db.path);
	cr_assert_eq(strncmp(line, want, strlen(want)), 0, "%s", line);
	cr_assert_not_null(strstr(line, "jabberd2 schema, 1 user"), "%s", line);
}

/* vCards and offline messages on the server, the rest in SQLite. */
static void open_split(void)
{
	char storage[900], *err;

	snprintf(storage, sizeof(storage), "<storage><driver>sqlite</driver><driver type='vcard'>%s</driver>"
		"<driver type='queue'>%s</driver><sqlite><dbname>%s/split.db</dbname></sqlite>"
		"<pgsql><conninfo>host=%s dbname=%s user=postgres</conninfo></pgsql>"
		"<mysql><host>%s</host><port>3306</port><dbname>%s</dbname><user>root</user></mysql></storage>",
		test_engine_name(), test_engine_name(), db.dir, test_host(), db.path, test_host(), db.path);
	db.store = db_open_config(&db, storage, &err);
	char *log = file_text(db.log);

	cr_assert_not_null(db.store, "%s%s", err, log);
	free(log);
	free(err);
}

Test(server_opening, drivers_by_type)
{
	open_split();
	struct store_req *req = store_req_new(SPAN(ALICE));
	struct value fn[VCARD_COLUMNS] = { [VCARD_FN] = value_text(SPAN("Alice")) };
	struct value time[] = { value_int(7) }, xml[] = { value_text(SPAN("<vCard/>")) };

	store_put(req, T_VCARD, fn);
	store_put(req, T_ACTIVE, time);
	int active = store_get(req, T_ACTIVE, STORE_ALL, value_null());
	int vcard = store_get(req, T_VCARD, STORE_ALL, value_null());

	store_put(req, T_VCARD_XML, xml);
	store_owner(req, SPAN("bob@lab.test"));
	store_put(req, T_LOGOUT, time);
	int count = store_count(req, T_LOGOUT, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
	cr_assert_eq(store_rows(req, active), 1);
	cr_assert_eq(store_value(req, active, 0, ACTIVE_TIME).i, 7);
	cr_assert_eq(store_rows(req, vcard), 1);
	cr_assert(span_is(store_value(req, vcard, 0, VCARD_FN).s, "Alice"));
	cr_assert_eq(store_value(req, count, 0, 0).i, 1);
	store_req_free(&req);
	char *there = sql_ask(db.path, "SELECT (SELECT count(*) FROM vcard), (SELECT count(*) FROM \"vcard-xml\"), "
		"(SELECT count(*) FROM active), (SELECT count(*) FROM logout)");

	cr_assert_str_eq(there, "1|1|0|0");
	free(there);
	/* One part fails: the request does; each database has its part or none of it. */
	struct value none[] = { value_null(), value_null() };

	req = store_req_new(SPAN(ALICE));
	store_delete(req, T_VCARD, STORE_ALL, value_null());
	store_put(req, T_QUEUE, xml);
	int rows = store_get(req, T_QUEUE, STORE_ALL, value_null());

	store_delete(req, T_ACTIVE, STORE_ALL, value_null());
	store_put(req, T_ROSTER_GROUPS, none);
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_not_null(strstr(store_error(req), "roster-groups"), "%s", store_error(req));
	cr_assert_eq(store_rows(req, rows), 0);
	store_req_free(&req);
	cr_assert_eq(db_count(&db, T_ACTIVE, ALICE), 1);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 1);
	cr_assert_eq(db_count(&db, T_VCARD, ALICE), 0);
}

/* Requests that need both databases and such that need one, without waiting: each database has them in their order. */
Test(server_opening, drivers_by_type_keep_the_order)
{
	open_split();
	for (unsigned i = 1; i <= 600; i++) {
		struct store_req *req = store_req_new(SPAN(ALICE));
		char text[16];

		snprintf(text, sizeof(text), "%u", i);
		struct value v[] = { value_text(span_str(text)) };

		store_put(req, T_QUEUE, v);
		if (i % 3)
			store_put(req, T_PRIVACY_DEFAULT, v);
		if (i % 7 == 0) {
			store_delete(req, T_PRIVACY_DEFAULT, PRIVDEF_DEFAULT, v[0]);
			store_put(req, T_PRIVACY_DEFAULT, v);
		}
		db_send(&db, req, 0);
	}
	struct store_req *read = store_req_new(SPAN(ALICE));
	int queue = store_get(read, T_QUEUE, STORE_ALL, value_null());
	int lists = store_get(read, T_PRIVACY_DEFAULT, STORE_ALL, value_null());

	db_send(&db, read, STORE_AFTER_WRITES);
	for (unsigned i = 0; i < 601; i++) {
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
		if (req != read)
			store_req_free(&req);
	}
	cr_assert_eq(store_rows(read, queue), 600);
	unsigned row = 0;

	for (unsigned i = 1; i <= 600; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%u", i);
		cr_assert(span_is(store_value(read, queue, i - 1, 0).s, text));
		if (i % 3 || i % 7 == 0)
			cr_assert(span_is(store_value(read, lists, row++, 0).s, text), "row %u, %u", row, i);
	}
	cr_assert_eq(store_rows(read, lists), row);
	store_req_free(&read);
	/* Closing answers both parts of everything. */
	for (unsigned i = 0; i < 300; i++) {
		struct store_req *req = store_req_new(SPAN(ALICE));
		struct value v[] = { value_text(SPAN("late")) };

		store_put(req, T_QUEUE, v);
		store_put(req, T_PRIVACY_DEFAULT, v);
		db_send(&db, req, 0);
	}
	db_close(&db);
	for (unsigned i = 0; i < 300; i++) {
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
		store_req_free(&req);
	}
}

/* Our own tables have no keys that say how many rows an owner has, and room for large numbers. */
Test(server_opening, our_tables_take_anything)
{
	db_must_open(&db);
	for (unsigned t = 0; t < T_COUNT; t++) {
		struct value v[STORE_COLUMNS];

		if (!store_tables[t].ours)
			continue;
		struct store_req *req = store_req_new(SPAN(ALICE));

		for (int c = 0; c < store_tables[t].ncolumns; c++)
			v[c] = store_tables[t].columns[c].type == COL_INT ? value_int(INT64_C(1) << 40) : value_text(SPAN("same"));
		store_put(req, (enum store_table)t, v);
		store_put(req, (enum store_table)t, v);
		req = db_ask(&db, req, 0);
		cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
		store_req_free(&req);
	}
}

static void assert_config_refused(const char *storage, const char *want1, const char *want2)
{
	char *err;

	cr_assert_null(db_open_config(&db, storage, &err), "%s", storage);
	cr_assert_not_null(strstr(err, want1), "\"%s\" is not in: %s", want1, err);
	cr_assert_not_null(strstr(err, want2), "\"%s\" is not in: %s", want2, err);
	free(err);
}

Test(server_opening, bad_configs)
{
	assert_config_refused("<storage><driver>pgsql</driver></storage>", "<pgsql><conninfo>", "no database");
	assert_config_refused("<storage><driver>mysql</driver><mysql><dbname>x</dbname></mysql></storage>", "<user>", "<mysql>");
	assert_config_refused("<storage><driver>pgsql</driver>\n<pgsql><dbname>x</dbname>\n<port>many</port></pgsql></storage>",
		"sm.xml:4:", "many");
	assert_config_refused("<storage><driver>sqlite</driver>\n<driver type='vcards'>pgsql</driver></storage>", "sm.xml:3:",
		"no data of type \"vcards\"");
	assert_config_refused("<storage><driver>sqlite</driver>\n<driver>pgsql</driver></storage>", "sm.xml:3:", "second driver");
	assert_config_refused("<storage><driver type='vcard'>sqlite</driver>\n<driver type='vcard'>pgsql</driver></storage>",
		"sm.xml:3:", "second driver for vcard data");
}
