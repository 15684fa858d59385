/* outage.c - a database server that goes away and comes back, and connections that break at a commit.
 * Threads: main, the store's, a proxy's.
 * Owns: a database per test. Restarts the server under test: runs alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy.h"
#include "server_suite.h"
#include "shardsm/clock.h"

static char proxy_host[120], proxy_path[150];

TestSuite(outage, .init = server_setup, .fini = server_teardown, .timeout = 120);

#define ALICE "alice@lab.test"
#define PUTS 4000
#define WINDOW 300

static unsigned char answered[PUTS + 1]; /* by number of the put: 1 + its status */

static void send_numbered(unsigned n)
{
	char xml[32];

	snprintf(xml, sizeof(xml), "%u", n);
	db_send(&db, queue_put(ALICE, xml), 0);
}

static void take_answer(void)
{
	struct store_req *req = db_next(&db);
	uint64_t n = store_token(req);

	cr_assert(n >= 1 && n <= PUTS && !answered[n]);
	cr_assert_eq(store_status(req), STORE_OK, "%u: %s", (unsigned)n, store_error(req));
	answered[n] = 1;
	store_req_free(&req);
}

/* Every number once, in order. */
static void assert_all_there(unsigned n)
{
	struct store_req *req = store_req_new(SPAN(ALICE));
	int s = store_get(req, T_QUEUE, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
	cr_assert_eq(store_rows(req, s), n, "%u rows", store_rows(req, s));
	for (unsigned i = 0; i < n; i++) {
		char want[32];

		snprintf(want, sizeof(want), "%u", i + 1);
		cr_assert(span_is(store_value(req, s, i, QUEUE_XML).s, want), "row %u is " SPAN_FMT, i,
			SPAN_ARG(store_value(req, s, i, QUEUE_XML).s));
	}
	store_req_free(&req);
}

static void restart_under_load(const char *how)
{
	unsigned sent = 0, done = 0;

	memset(answered, 0, sizeof(answered));
	db_must_open(&db);
	while (done < PUTS) {
		while (sent < PUTS && sent - done < WINDOW)
			send_numbered(++sent);
		take_answer();
		done++;
		/* Twice, with requests on the way. */
		if (done == PUTS / 4 || done == PUTS / 2) {
			test_server(how);
			test_server("start");
		}
	}
	assert_all_there(PUTS);
}

Test(outage, a_restart_under_load)
{
	restart_under_load("stop");
}

Test(outage, a_crash_under_load)
{
	restart_under_load("crash");
}

/* Longer than requests wait: they are refused, in a time with an end, and later ones are carried out again. */
Test(outage, a_server_that_stays_away)
{
	db.reach_ms = 500;
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "1")), STORE_OK);
	test_server("stop");
	uint64_t begin = clock_mono_ms();

	for (int i = 0; i < 20; i++)
		db_send(&db, queue_put(ALICE, "in vain"), 0);
	for (int i = 0; i < 21; i++) {
		if (i == 20) {
			struct store_req *read = store_req_new(SPAN(ALICE));

			store_count(read, T_QUEUE, STORE_ALL, value_null());
			db_send(&db, read, 0);
		}
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), STORE_FULL, "%s", store_error(req));
		cr_assert_not_null(strstr(store_error(req), "cannot be reached"), "%s", store_error(req));
		store_req_free(&req);
	}
	cr_assert_lt(clock_mono_ms() - begin, 20000);
	/* Closing meanwhile answers, and waits for nothing. */
	db_send(&db, queue_put(ALICE, "in vain too"), 0);
	begin = clock_mono_ms();
	db_close(&db);
	cr_assert_lt(clock_mono_ms() - begin, 10000);
	struct store_req *req = db_next(&db);

	cr_assert_eq(store_status(req), STORE_FULL);
	store_req_free(&req);
	cr_assert_not(db_open(&db));
	test_server("start");
	db_must_open(&db);
	assert_all_there(1);
}

Test(outage, a_server_that_comes_back_late)
{
	db.reach_ms = 500;
	db_must_open(&db);
	test_server("stop");
	cr_assert_eq(db_do(&db, queue_put(ALICE, "in vain")), STORE_FULL);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), -1);
	test_server("start");
	/* Refused without a try for a moment after the last one; then there is one. */
	uint64_t end = clock_mono_ms() + 30000;

	while (db_do(&db, queue_put(ALICE, "1")) != STORE_OK)
		cr_assert_lt(clock_mono_ms(), end);
	while (db_count(&db, T_QUEUE, ALICE) != 1)
		cr_assert_lt(clock_mono_ms(), end);
}

static void forget_commits(void)
{
	sql_run(db.path, "DELETE FROM \"shardsm-commits\"");
}

/* One put whose commit meets a broken connection. */
static enum store_status broken_commit(enum proxy_break when, void (*fn)(void), char *error, size_t cap)
{
	char server[200];
	bool mysql = test_engine() == ON_MYSQL;

	snprintf(proxy_host, sizeof(proxy_host), "%s%s", db.dir, mysql ? "/proxy" : "");
	snprintf(proxy_path, sizeof(proxy_path), "%s%s", proxy_host, mysql ? "" : "/.s.PGSQL.5432");
	snprintf(server, sizeof(server), "%s%s", test_host(), mysql ? "" : "/.s.PGSQL.5432");
	proxy_start(proxy_path, server);
	db.host = proxy_host;
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "1")), STORE_OK);
	proxy_break(when, fn);
	struct store_req *req = db_ask(&db, queue_put(ALICE, "2"), 0);
	enum store_status status = store_status(req);

	snprintf(error, cap, "%s", store_error(req));
	store_req_free(&req);
	cr_assert_eq(proxy_breaks(), 1);
	return status;
}

static void end_broken(unsigned rows)
{
	assert_all_there(rows);
	cr_assert_eq(db_do(&db, queue_put("bob@lab.test", "next")), STORE_OK);
	db_close(&db);
	proxy_stop();
	unlink(proxy_path);
}

Test(outage, a_commit_whose_answer_is_lost)
{
	char error[300];

	cr_assert_eq(broken_commit(BREAK_AFTER_COMMIT, NULL, error, sizeof(error)), STORE_OK, "%s", error);
	end_broken(2);
}

Test(outage, a_commit_that_is_lost)
{
	char error[300];

	cr_assert_eq(broken_commit(BREAK_BEFORE_COMMIT, NULL, error, sizeof(error)), STORE_OK, "%s", error);
	end_broken(2);
}

/* What cannot be known is not said to be stored, and not stored twice. */
Test(outage, a_commit_of_which_nobody_knows)
{
	char error[300];

	cr_assert_eq(broken_commit(BREAK_AFTER_COMMIT, forget_commits, error, sizeof(error)), STORE_FAILED);
	cr_assert_not_null(strstr(error, "stored or not"), "%s", error);
	end_broken(2);
}

/* Its rows go with it. */
Test(outage, the_table_of_commits_stays_small)
{
	for (int i = 0; i < 3; i++) {
		db_must_open(&db);
		cr_assert_eq(db_do(&db, queue_put(ALICE, "x")), STORE_OK);
		char *n = sql_ask(db.path, "SELECT count(*), min(number) FROM \"shardsm-commits\"");

		cr_assert_str_eq(n, "1|1");
		free(n);
		db_close(&db);
		n = sql_ask(db.path, "SELECT count(*) FROM \"shardsm-commits\"");
		cr_assert_str_eq(n, "0");
		free(n);
	}
	sql_run(db.path, "INSERT INTO \"shardsm-commits\" VALUES ('old', 7, 1000), ('young', 7, 2147483647)");
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "x")), STORE_OK);
	db_close(&db);
	char *left = sql_ask(db.path, "SELECT writer FROM \"shardsm-commits\"");

	cr_assert_str_eq(left, "young");
	free(left);
}
