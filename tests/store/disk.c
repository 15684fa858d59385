/* disk.c - the store on a failing disk: every call of SQLite's to its files fails in its turn, in every way; nothing that was acknowledged is lost or
 * doubled, nothing that was refused is there, and a disk that is well again is written to as if nothing had been.
 * Threads: main, and the store's.
 * Owns: a directory for each kind of fault.
 *
 * In make check one failure at every fifth call; in make check-full at every call, alone and with three behind it.
 * What is there is asked of a copy of the files as a power failure would leave them, and of the files after a close.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "failing_vfs.h"
#include "support.h"

#define ALICE "alice@lab.test"
#define BOB "bob@lab.test"
#define TRIES_MAX 2000u
#define STEP 5

static unsigned passed, failed;
static struct db db;

/* What must be there, one line a row; what was refused is not among it. */
struct told {
	char rows[20][32];
	unsigned n;
};

static enum store_status put(struct told *told, const char *what, unsigned i)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%u", what, i);
	enum store_status status = db_do(&db, queue_put(ALICE, text));

	if (status == STORE_OK)
		memcpy(told->rows[told->n++], text, sizeof(text));
	return status;
}

static enum store_status take(struct told *told, unsigned i)
{
	struct store_req *req = store_req_new(SPAN(ALICE));

	if (i >= told->n)
		return STORE_OK;
	store_delete(req, T_QUEUE, QUEUE_XML, value_text(span_str(told->rows[i])));
	enum store_status status = db_do(&db, req);

	if (status == STORE_OK) {
		memmove(told->rows[i], told->rows[i + 1], (told->n - i - 1) * sizeof(told->rows[0]));
		told->n--;
	}
	return status;
}

static void expected(const struct told *told, char *out, size_t cap)
{
	*out = '\0';
	for (unsigned i = 0; i < told->n; i++)
		snprintf(out + strlen(out), cap - strlen(out), "%s%s", i ? "\n" : "", told->rows[i]);
}

/* Is exactly that in the database, and is it whole? */
static bool holds(const char *path, const struct told *told, const char *when)
{
	char want[1000];
	char *got = sql_ask(path, "SELECT xml FROM queue WHERE \"collection-owner\" = '" ALICE "' ORDER BY \"object-sequence\"");
	char *whole = sql_ask(path, "PRAGMA integrity_check");

	expected(told, want, sizeof(want));
	bool ok = strcmp(got, want) == 0 && strcmp(whole, "ok") == 0;

	if (!ok)
		printf("%s: there is\n%s\nbut told was\n%s\nintegrity: %s\n", when, got, want, whole);
	free(got);
	free(whole);
	return ok;
}

static bool after_a_power_failure(const struct told *told)
{
	char command[400], copy[120];

	snprintf(copy, sizeof(copy), "%s/copy.db", db.dir);
	snprintf(command, sizeof(command), "cd %s && rm -f copy.db* && cp sm.db copy.db && { [ ! -e sm.db-wal ] || cp sm.db-wal copy.db-wal; }", db.dir);
	return system(command) == 0 && holds(copy, told, "after a power failure");
}

/* The work during which something fails; the last of it is done by a disk that is well. */
static bool round_of(enum vfs_fault fault, unsigned n, unsigned more, bool *reached, unsigned *refused)
{
	struct told told = { .n = 0 };
	const char *why = NULL;

	sql_run(db.path, "DELETE FROM queue");
	db_must_open(&db);
	if (put(&told, "before", n) != STORE_OK)
		why = "a well disk was not written to";
	vfs_arm(fault, n, more);
	for (unsigned i = 0; i < 3; i++)
		*refused += put(&told, "during", i) != STORE_OK;
	*refused += take(&told, 0) != STORE_OK;
	*refused += put(&told, "later", n) != STORE_OK;
	int64_t count = db_count(&db, T_QUEUE, ALICE);

	*reached = vfs_heal();
	if (count >= 0 && count != told.n)
		why = "a read saw something else than what was told";
	/* A disk that failed on could not be mended yet: store.h names it. */
	bool ok = more || after_a_power_failure(&told);

	/* Others are served, and so is who was refused. */
	if (!why && (db_do(&db, queue_put(BOB, "x")) != STORE_OK || put(&told, "after", n) != STORE_OK))
		why = "a disk that is well again is not written to";
	if (!why && db_count(&db, T_QUEUE, ALICE) != told.n)
		why = "a read sees something else than what was told";
	ok = ok && after_a_power_failure(&told);
	db_close(&db);
	ok = ok && holds(db.path, &told, "after a close");
	if (why)
		printf("%s\n", why);
	if (!ok || why)
		printf("not ok disk: %s at call %u and %u behind it\n", vfs_fault_names[fault], n, more);
	return ok && !why;
}

static bool every_call(enum vfs_fault fault, unsigned more)
{
	bool ok = true, reached = true;
	unsigned n = 1, refused = 0, step = getenv("SHARDSM_CHECK_FULL") ? 1 : STEP;

	for (; reached && ok && n < TRIES_MAX; n += step)
		ok = round_of(fault, n, more, &reached, &refused);
	if (ok)
		printf("ok disk: %s at calls up to %u, and at %u behind it: %u requests refused\n", vfs_fault_names[fault], n - step, more, refused);
	return ok;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (test_engine() != ON_SQLITE)
		return 77;
	vfs_install();
	for (enum vfs_fault fault = 0; fault < VFS_FAULTS; fault++) {
		for (unsigned more = 0; more <= (getenv("SHARDSM_CHECK_FULL") ? 3 : 0); more += 3) {
			db_make(&db);
			db.busy_timeout_ms = 1;
			/* No page is kept, and the log goes into the file again and again: whatever SQLite does with files it does here. */
			db.sql = "PRAGMA cache_size = 0; PRAGMA wal_autocheckpoint = 2; PRAGMA synchronous = FULL";
			db_must_open(&db);
			db_close(&db);
			bool ok = every_call(fault, more);

			passed += ok;
			failed += !ok;
			db_remove(&db);
		}
	}
	printf("# %u passed, %u failed\n", passed, failed);
	return failed != 0;
}
