/* opening.c - opening the store: a new file, jabberd2's, and everything that is neither.
 * Threads: main, and the store's.
 * Owns: a directory per test.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shardsm/config.h"
#include "support.h"

static struct db db;

static void setup(void)
{
	db_make(&db);
}

static void teardown(void)
{
	db_remove(&db);
}

TestSuite(opening, .init = setup, .fini = teardown, .timeout = 60);

#define STOCK STORE_TESTS "/stock.sql"

/* What a table looks like, spellings of one and the same type made equal. */
#define SHAPE \
	"SELECT m.name, c.cid, c.name, replace(replace(upper(c.type), 'BOOLEAN', 'BOOL'), 'BOOL', 'BOOLEAN'), c.\"notnull\", " \
	"replace(ifnull(c.dflt_value, '-'), '''', ''), c.pk FROM sqlite_master m, pragma_table_info(m.name) c " \
	"WHERE m.type = 'table' AND m.name NOT IN ('roster-pending', 'roster-version', 'roster-changes', 'vcard-xml') " \
	"ORDER BY 1, 2"
#define INDEXES \
	"SELECT m.name, m.tbl_name, i.seqno, i.name FROM sqlite_master m, pragma_index_info(m.name) i " \
	"WHERE m.type = 'index' AND m.name NOT LIKE 'i_shardsm_%' ORDER BY 1, 3"

static void assert_same(const char *path, const char *other, const char *sql)
{
	char *a = sql_ask(path, sql), *b = sql_ask(other, sql);

	cr_assert_gt(strlen(a), 0, "%s", sql);
	cr_assert_str_eq(a, b, "%s:\n%s\n--- and\n%s", sql, a, b);
	free(a);
	free(b);
}

static void assert_logged(const char *want)
{
	char *log = file_text(db.log);

	cr_assert_not_null(strstr(log, want), "\"%s\" is not in the log:\n%s", want, log);
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

Test(opening, a_new_file_gets_jabberd2s_schema)
{
	char other[120];

	db_must_open(&db);
	db_close(&db);
	snprintf(other, sizeof(other), "%s/stock.db", db.dir);
	sql_file(other, STOCK);
	assert_same(db.path, other, SHAPE);
	assert_same(db.path, other, INDEXES);
	assert_same(db.path, other, "PRAGMA journal_mode");
	struct stat st;

	cr_assert_eq(stat(db.path, &st), 0);
	cr_assert_eq(st.st_mode & 07, 0, "it holds passwords");
	/* And it is taken for what it is the next time, an empty file too. */
	db_must_open(&db);
	db_close(&db);
	snprintf(db.path, sizeof(db.path), "%s/empty.db", db.dir);
	close(open(db.path, O_CREAT | O_WRONLY, 0600));
	db_must_open(&db);
	cr_assert_eq(db_count(&db, T_QUEUE, "nobody"), 0);
}

Test(opening, a_prefix)
{
	db.prefix = "sm_";
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put("alice@lab.test", "NAD<x/>")), STORE_OK);
	db_close(&db);
	char *n = sql_ask(db.path, "SELECT count(*) FROM sm_queue");

	cr_assert_str_eq(n, "1");
	free(n);
	db_must_open(&db);
	db_close(&db);
	db.prefix = NULL;
	assert_refused("table \"queue\" is missing", "<prefix>", "jabberd2 2.7.0");
}

/* Copies every row of every table from one store to another, by the store alone. */
static void copy_all(struct db *to)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		char sql[200];

		if (store_tables[t].ours)
			continue;
		snprintf(sql, sizeof(sql), "SELECT DISTINCT \"collection-owner\" FROM \"%s\" ORDER BY \"object-sequence\"",
			store_tables[t].name);
		char *owners = sql_ask(db.path, sql), *save = NULL;

		for (char *owner = strtok_r(owners, "\n", &save); owner; owner = strtok_r(NULL, "\n", &save)) {
			struct store_req *get = store_req_new(span_str(owner)), *put = store_req_new(span_str(owner));
			int s = store_get(get, (enum store_table)t, STORE_ALL, value_null());

			get = db_ask(&db, get, 0);
			cr_assert_eq(store_status(get), STORE_OK);
			cr_assert_gt(store_rows(get, s), 0);
			for (uint32_t row = 0; row < store_rows(get, s); row++) {
				struct value v[STORE_COLUMNS];

				for (int c = 0; c < store_tables[t].ncolumns; c++)
					v[c] = store_value(get, s, row, c);
				store_put(put, (enum store_table)t, v);
			}
			cr_assert_eq(db_do(to, put), STORE_OK);
			store_req_free(&get);
		}
		free(owners);
	}
}

/* jabberd2 wrote it, we read all of it and write it elsewhere: the same values of the same types, to the byte. */
Test(opening, a_stock_database_read_and_written)
{
	struct db copy;

	sql_file(db.path, STOCK);
	db_must_open(&db);
	cr_assert_eq(db_count(&db, T_PRIVACY_ITEMS, "alice@lab.test"), 6);
	db_make(&copy);
	db_must_open(&copy);
	copy_all(&copy);
	for (unsigned t = 0; t < T_COUNT; t++) {
		char sql[4000];
		int n = snprintf(sql, sizeof(sql), "SELECT count(*) OVER (), quote(\"collection-owner\")");

		if (store_tables[t].ours)
			continue;
		for (int c = 0; c < store_tables[t].ncolumns; c++)
			n += snprintf(sql + n, sizeof(sql) - (size_t)n, ", quote(\"%s\")", store_tables[t].columns[c].name);
		snprintf(sql + n, sizeof(sql) - (size_t)n, " FROM \"%s\" ORDER BY \"collection-owner\", \"object-sequence\"",
			store_tables[t].name);
		char *a = sql_ask(db.path, sql), *b = sql_ask(copy.path, sql);

		cr_assert_str_eq(a, b, "%s:\n%s\n--- and\n%s", store_tables[t].name, a, b);
		free(a);
		free(b);
	}
	db_remove(&copy);
}

/* Opening jabberd2's file adds our table and indexes, and changes nothing else: jabberd2 can have it back. */
Test(opening, a_stock_database_stays_one)
{
	char other[120];

	snprintf(other, sizeof(other), "%s/stock.db", db.dir);
	sql_file(other, STOCK);
	sql_file(db.path, STOCK);
	sql_run(db.path, "PRAGMA journal_mode = DELETE");
	db_must_open(&db);
	struct store_req *req = store_req_new(SPAN("alice@lab.test"));
	struct value v[] = { value_text(SPAN("x@y")), value_text(SPAN("NAD<route/>")) };

	store_put(req, T_PENDING, v);
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_PENDING, "alice@lab.test"), 1);
	db_close(&db);
	assert_same(db.path, other, SHAPE);
	assert_same(db.path, other, INDEXES);
	char *mode = sql_ask(db.path, "PRAGMA journal_mode");

	cr_assert_str_eq(mode, "delete");
	free(mode);
	db_must_open(&db);
}

Test(opening, a_missing_table)
{
	sql_file(db.path, STOCK);
	sql_run(db.path, "DROP TABLE \"privacy-items\"");
	assert_refused("table \"privacy-items\" is missing", "jabberd2 2.7.0", "<dbname>");
}

Test(opening, a_missing_column)
{
	sql_file(db.path, STOCK);
	sql_run(db.path, "ALTER TABLE vcard DROP COLUMN jabberid; ALTER TABLE status DROP COLUMN xml");
	assert_refused("table \"vcard\" has no column \"jabberid\"", "ALTER TABLE \"vcard\" ADD COLUMN \"jabberid\" TEXT",
		"table \"status\" has no column \"xml\"");
	/* Doing what the message says helps. */
	sql_run(db.path, "ALTER TABLE \"vcard\" ADD COLUMN \"jabberid\" TEXT; ALTER TABLE \"status\" ADD COLUMN \"xml\" TEXT");
	db_must_open(&db);
}

Test(opening, a_table_that_is_not_jabberd2s)
{
	sql_file(db.path, STOCK);
	sql_run(db.path, "DROP TABLE queue; CREATE TABLE queue (\"object-sequence\" BIGINT, xml TEXT)");
	assert_refused("table \"queue\" has no column \"collection-owner\"", "\"object-sequence\" INTEGER PRIMARY KEY", "queue");
}

Test(opening, another_programs_database)
{
	sql_run(db.path, "CREATE TABLE moz_places (id INTEGER)");
	assert_refused("table \"active\" is missing", "table \"verify\" is missing", "jabberd2 2.7.0");
	char *tables = sql_ask(db.path, "SELECT name FROM sqlite_master");

	cr_assert_str_eq(tables, "moz_places", "somebody else's file was written to");
	free(tables);
}

Test(opening, not_a_database)
{
	FILE *f = fopen(db.path, "w");

	for (int i = 0; i < 1000; i++)
		fputs("this is a letter to my aunt\n", f);
	fclose(f);
	assert_refused("not a database", "SQLite", db.path);
}

Test(opening, no_such_directory)
{
	snprintf(db.path, sizeof(db.path), "%s/none/sm.db", db.dir);
	assert_refused("No such file or directory", "directory must exist", db.path);
}

Test(opening, a_directory)
{
	snprintf(db.path, sizeof(db.path), "%s", db.dir);
	assert_refused("Is a directory", "<dbname>", db.path);
}

/* Runs as a user who is not root, for whom permissions count. */
static bool opens_as_nobody(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
			_exit(2);
		bool ok = db_open(&db);

		db_close(&db);
		_exit(ok ? 0 : 1);
	}
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 0;
}

Test(opening, no_permission)
{
	sql_file(db.path, STOCK);
	chmod(db.dir, 0777);
	chmod(db.path, 0444);
	cr_assert_not(opens_as_nobody());
	assert_logged("Permission denied");
	assert_logged("must be allowed to write");
	chmod(db.path, 0666);
	cr_assert(opens_as_nobody());
	/* The journal's directory counts too. */
	cr_assert_eq(truncate(db.log, 0), 0);
	chmod(db.dir, 0555); /* whoever owns it */
	cr_assert_not(opens_as_nobody());
	assert_logged("and its directory");
	chmod(db.dir, 0755);
}

Test(opening, sql_is_run_on_every_connection)
{
	db.sql = "PRAGMA synchronous = NORMAL; -- and a comment";
	db_must_open(&db);
	assert_logged("power failure");
	db_close(&db);
	db.sql = "PRAGMA synchronous = FULL; SELECT nonsense";
	assert_refused("<sql>", "nonsense", db.path);
}

Test(opening, describe)
{
	char line[300], want[300];

	sql_file(db.path, STOCK);
	db_must_open(&db);
	store_describe(db.store, line, sizeof(line));
	snprintf(want, sizeof(want), "sqlite, %s, jabberd2 schema, 5 users", db.path);
	cr_assert_str_eq(line, want);
}

static void assert_config_refused(const char *storage, const char *want1, const char *want2)
{
	char *err;

	cr_assert_null(db_open_config(&db, storage, &err), "%s", storage);
	cr_assert_not_null(strstr(err, want1), "\"%s\" is not in: %s", want1, err);
	cr_assert_not_null(strstr(err, want2), "\"%s\" is not in: %s", want2, err);
	free(err);
}

Test(opening, config)
{
	char storage[400], *err;

	snprintf(storage, sizeof(storage), "<storage><driver>sqlite</driver><driver type='vcard'>sqlite</driver>\n"
		"<sqlite><dbname>\n %s </dbname><sql>PRAGMA synchronous = NORMAL;</sql><busy-timeout>5000</busy-timeout>"
		"<prefix>sm_</prefix></sqlite></storage>", db.path);
	db.store = db_open_config(&db, storage, &err);
	cr_assert_not_null(db.store, "%s", err);
	free(err);
	cr_assert_eq(db_do(&db, queue_put("alice@lab.test", "NAD<x/>")), STORE_OK);
	db_close(&db);
	char *n = sql_ask(db.path, "SELECT count(*) FROM sm_queue");

	cr_assert_str_eq(n, "1");
	free(n);
	assert_logged("power failure");
	assert_config_refused("<storage><driver>sqlite</driver>\n<driver type='vcard'>ldapvcard</driver></storage>", "sm.xml:3:",
		"\"ldapvcard\" for vcard data cannot be used (wanted one of: sqlite");
	assert_config_refused("<storage><driver>oracle</driver></storage>", "sm.xml:2:", "one of: sqlite");
	assert_config_refused("<storage><driver>sqlite</driver></storage>", "sm.xml", "<dbname>");
	assert_config_refused("<storage><sqlite><dbname>/tmp/x</dbname>\n<busy-timeout>soon</busy-timeout></sqlite></storage>",
		"sm.xml:3:", "soon");
}
