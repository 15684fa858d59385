/* trouble.c - groups with failing requests, a full disk, a locked database, full queues.
 * Threads: main, and the store's.
 * Owns: a directory per test.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shardsm/clock.h"
#include "support.h"

static struct db db;

static void setup(void)
{
	db_make(&db);
	db.busy_timeout_ms = 30000;
	db_must_open(&db);
}

static void teardown(void)
{
	db_remove(&db);
}

TestSuite(trouble, .init = setup, .fini = teardown, .timeout = 120);

#define ALICE "alice@lab.test"

/* As c2s does while it registers somebody: until unlock_db() nobody else writes. */
static void lock_db(void)
{
	db_lock(&db);
}

static void unlock_db(void)
{
	db_unlock(&db);
}

static void on_sqlite_alone(void)
{
	if (test_engine() != ON_SQLITE)
		cr_skip_test("of SQLite's files");
}

static void reopen(int busy_timeout_ms, const char *sql)
{
	db_close(&db);
	db.busy_timeout_ms = busy_timeout_ms;
	db.sql = sql;
	db_must_open(&db);
}

static struct store_req *bad_put(void)
{
	struct store_req *req = queue_put(ALICE, "NAD<half/>");
	struct value v[] = { value_null() }; /* the column may not be null */

	store_put(req, T_QUEUE, v);
	return req;
}

static void assert_queue(const char *want)
{
	char *got = sql_ask(db.path, "SELECT xml FROM queue ORDER BY \"object-sequence\"");

	cr_assert_str_eq(got, want, "%s", got);
	free(got);
}

/* While the first waits for the lock, the others gather behind it into one group. */
Test(trouble, one_of_a_group_fails_alone)
{
	enum store_status want[] = { STORE_OK, STORE_OK, STORE_FAILED, STORE_OK, STORE_FAILED, STORE_OK, STORE_OK };
	struct store_req *mixed = queue_put(ALICE, "a");
	int before = store_get(mixed, T_QUEUE, STORE_ALL, value_null());

	lock_db();
	db_send(&db, queue_put(ALICE, "first"), 0);
	db_send(&db, mixed, 0);
	db_send(&db, bad_put(), 0);
	db_send(&db, queue_put(ALICE, "b"), 0);
	db_send(&db, bad_put(), 0);
	struct store_req *read = store_req_new(SPAN(ALICE));

	store_count(read, T_QUEUE, STORE_ALL, value_null());
	db_send(&db, read, STORE_AFTER_WRITES);
	db_send(&db, queue_put(ALICE, "c"), 0);
	unlock_db();
	for (unsigned i = 0; i < 7; i++) {
		struct store_req *req = db_next(&db);
		uint64_t token = store_token(req);

		cr_assert_eq(store_status(req), want[token - 1], "%u: %s", (unsigned)token, store_error(req));
		cr_assert_eq(store_error(req)[0] != '\0', want[token - 1] != STORE_OK);
		if (req == read)
			cr_assert_geq(store_value(req, 0, 0, 0).i, 3);
		/* It ran twice; its answer is of the second time alone. */
		if (req == mixed)
			cr_assert_eq(store_rows(req, before), 2);
		store_req_free(&req);
	}
	assert_queue("first\na\nb\nc");
}

Test(trouble, a_lock_is_waited_for)
{
	reopen(500, NULL);
	lock_db();
	db_send(&db, queue_put(ALICE, "patient"), 0);
	/* The store says when it tries again; then the other one lets go. */
	uint64_t end = clock_mono_ms() + 30000;

	for (bool said = false; !said; poll(NULL, 0, 1)) {
		char *log = file_text(db.log);

		said = strcasestr(log, "lock") != NULL;
		free(log);
		cr_assert_lt(clock_mono_ms(), end);
	}
	unlock_db();
	struct store_req *req = db_next(&db);

	cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
	store_req_free(&req);
	assert_queue("patient");
}

Test(trouble, a_lock_that_stays)
{
	reopen(20, NULL);
	lock_db();
	for (int i = 0; i < 50; i++)
		db_send(&db, queue_put(ALICE, "in vain"), 0);
	/* Reads go on meanwhile. */
	for (int i = 0; i < 51; i++) {
		struct store_req *req;

		if (i == 0) {
			req = store_req_new(SPAN(ALICE));
			store_count(req, T_QUEUE, STORE_ALL, value_null());
			db_send(&db, req, 0);
		}
		req = db_next(&db);
		if (store_token(req) == 51) {
			cr_assert_eq(store_status(req), STORE_OK);
		} else {
			cr_assert_eq(store_status(req), STORE_FULL);
			cr_assert_not_null(strcasestr(store_error(req), "lock"), "%s", store_error(req));
		}
		store_req_free(&req);
	}
	unlock_db();
	cr_assert_eq(db_do(&db, queue_put(ALICE, "again")), STORE_OK);
	assert_queue("again");
}

/* In a file without write-ahead log a reader's lock holds up the commit, and a commit the readers. */
Test(trouble, locks_without_a_write_ahead_log)
{
	sqlite3 *lock;

	on_sqlite_alone();
	db_close(&db);
	sql_run(db.path, "PRAGMA journal_mode = DELETE");
	db_must_open(&db);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "one")), STORE_OK);
	reopen(20, NULL);
	cr_assert_eq(sqlite3_open(db.path, &lock), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(lock, "BEGIN; SELECT * FROM queue", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "two")), STORE_FULL);
	cr_assert_eq(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(db_do(&db, queue_put(ALICE, "three")), STORE_OK);
	cr_assert_eq(sqlite3_exec(lock, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), -1);
	cr_assert_eq(sqlite3_exec(lock, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(lock);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 2);
	assert_queue("one\nthree");
}

/* Whether a lock on the byte that stands for SQLite's RESERVED lock is held by this process: asked by another one. */
static bool reserved_is_held(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000001, .l_len = 1 };
		int fd = open(db.path, O_RDWR);

		_exit(fd < 0 || fcntl(fd, F_GETLK, &l) < 0 ? 2 : l.l_type != F_UNLCK);
	}
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status);
}

/* Closing any descriptor of a file drops all locks that the process has on it, other connections' too: the store may open
 * and close the file by SQLite alone, which knows about that. */
Test(trouble, locks_outlive_looking_at_the_file)
{
	char line[200];

	on_sqlite_alone();
	db_close(&db);
	sql_run(db.path, "PRAGMA journal_mode = DELETE");
	db_must_open(&db);
	cr_assert_not(reserved_is_held());
	lock_db();
	cr_assert(reserved_is_held());
	store_describe(db.store, line, sizeof(line));
	cr_assert(reserved_is_held());
	db_close(&db);
	db_must_open(&db);
	cr_assert(reserved_is_held());
	unlock_db();
}

Test(trouble, a_full_disk)
{
	static char big[30000];

	on_sqlite_alone();
	char *pages = sql_ask(db.path, "PRAGMA page_count"), sql[100];

	memset(big, 'x', sizeof(big) - 1);
	snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %d", atoi(pages) + 100);
	free(pages);
	reopen(2000, sql);
	int stored = 0, full = 0;

	for (int i = 0; i < 40; i++)
		db_send(&db, queue_put(ALICE, big), 0);
	for (int i = 0; i < 40; i++) {
		struct store_req *req = db_next(&db);

		if (store_status(req) == STORE_OK) {
			stored++;
		} else {
			full++;
			cr_assert_eq(store_status(req), STORE_FULL, "%s", store_error(req));
			cr_assert_not_null(strstr(store_error(req), "full"), "%s", store_error(req));
		}
		store_req_free(&req);
	}
	cr_assert_gt(stored, 0);
	cr_assert_gt(full, 0);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), stored);
	/* A small one still fits, reads work, and room made is used. */
	cr_assert_eq(db_do(&db, queue_put("bob@lab.test", "small")), STORE_OK);
	struct store_req *req = store_req_new(SPAN(ALICE));

	store_delete(req, T_QUEUE, STORE_ALL, value_null());
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_do(&db, queue_put(ALICE, big)), STORE_OK);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 1);
}

/* Sends n puts while nobody can write; says how many came back at once, all as STORE_FULL. */
static unsigned overflow(unsigned n, const char *xml)
{
	unsigned full = 0;

	lock_db();
	for (unsigned i = 0; i < n; i++)
		db_send(&db, queue_put(ALICE, xml), 0);
	/* Those that were refused are in the mailbox already: nothing else can be. */
	for (struct letter *last, *next, *l = mailbox_take(&db.answers, &last); l; l = next) {
		next = mailbox_next(l, last);
		struct store_req *req = (struct store_req *)l;

		cr_assert_eq(store_status(req), STORE_FULL);
		cr_assert_not_null(strstr(store_error(req), "queue"), "%s", store_error(req));
		store_req_free(&req);
		full++;
	}
	unlock_db();
	for (unsigned i = full; i < n; i++) {
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
		store_req_free(&req);
	}
	return full;
}

Test(trouble, too_many_requests)
{
	reopen(30000, test_engine() == ON_SQLITE ? "PRAGMA synchronous = OFF" : NULL);
	cr_assert_eq(overflow(STORE_QUEUE_REQUESTS + 10, "x"), 10);
	/* The queue's room comes back. */
	cr_assert_eq(overflow(10, "x"), 0);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), STORE_QUEUE_REQUESTS + 10);
}

Test(trouble, too_many_bytes)
{
	size_t big = 8u << 20;
	char *xml = malloc(big + 1);

	reopen(30000, test_engine() == ON_SQLITE ? "PRAGMA synchronous = OFF" : NULL);
	memset(xml, 'x', big);
	xml[big] = '\0';
	unsigned fit = STORE_QUEUE_BYTES / big, full = overflow(fit + 3, xml);

	cr_assert_geq(full, 3);
	cr_assert_leq(full, 6); /* a request is a little larger than its value */
	free(xml);
}
