/* durable.c - a process is killed at any moment: whatever it was told is stored is there, whole.
 * Threads: main; the child's store threads.
 * Owns: a directory per round.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define ROUNDS 8
#define WINDOW 64      /* requests on the way at a time */
#define ACKS_MAX 2000  /* the child is killed after it has heard of 1 to so many */
#define ROWS_MAX (ACKS_MAX * 50)

static void die(const char *what)
{
	perror(what);
	abort();
}

/* One request: a roster item and its group, which must come and go together. */
static struct store_req *pair(unsigned n)
{
	struct store_req *req = store_req_new(SPAN("alice@lab.test"));
	char jid[32];

	snprintf(jid, sizeof(jid), "%u@lab.test", n);
	struct value item[] = { value_text(span_str(jid)), value_null(), value_int(1), value_int(0), value_int(0) };
	struct value group[] = { value_text(span_str(jid)), value_text(SPAN("Friends")) };

	store_put(req, T_ROSTER_ITEMS, item);
	store_put(req, T_ROSTER_GROUPS, group);
	return req;
}

/* Writes without end and reports every answer, until it is killed. */
static void child(struct db *db, int report)
{
	unsigned sent = 0;

	db_must_open(db);
	while (sent < WINDOW)
		db_send(db, pair(++sent), 0);
	for (;;) {
		struct store_req *req = db_next(db);
		unsigned n = (unsigned)store_token(req);

		if (store_status(req) != STORE_OK)
			_exit(3);
		store_req_free(&req);
		if (write(report, &n, sizeof(n)) != sizeof(n))
			_exit(4);
		db_send(db, pair(++sent), 0);
	}
}

/* Lets a child write into db until it has reported so many, kills it, and says which it had been told are stored. */
static unsigned run_and_kill(struct db *db, unsigned kill_at, unsigned char *acked)
{
	int pipefd[2], status;

	if (pipe(pipefd))
		die("pipe");
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(pipefd[0]);
		child(db, pipefd[1]);
	}
	close(pipefd[1]);
	unsigned n, count = 0;

	while (read(pipefd[0], &n, sizeof(n)) == sizeof(n)) {
		if (n < ROWS_MAX)
			acked[n] = 1;
		if (++count == kill_at && kill(pid, SIGKILL))
			die("kill");
	}
	close(pipefd[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		fprintf(stderr, "the child ended by itself (%d): %s\n", status, file_text(db->log));
		abort();
	}
	return count;
}

static unsigned read_all(struct db *db, enum store_table t, unsigned char *found)
{
	struct store_req *req = store_req_new(SPAN("alice@lab.test"));

	store_get(req, t, STORE_ALL, value_null());
	req = db_ask(db, req, 0);
	uint32_t rows = store_rows(req, 0);

	for (uint32_t i = 0; i < rows; i++) {
		unsigned n = (unsigned)strtoul(store_value(req, 0, i, 0).s.p, NULL, 10); /* ends at the @ */

		if (n < ROWS_MAX)
			found[n]++;
	}
	if (store_status(req) != STORE_OK)
		rows = 0;
	store_req_free(&req);
	return rows;
}

static unsigned char acked[ROWS_MAX], items[ROWS_MAX], groups[ROWS_MAX];

static bool one_round(unsigned kill_at)
{
	struct db db;
	bool ok = true;

	memset(acked, 0, sizeof(acked));
	memset(items, 0, sizeof(items));
	memset(groups, 0, sizeof(groups));
	db_make(&db);
	unsigned heard = run_and_kill(&db, kill_at, acked);

	db_must_open(&db);
	unsigned nitems = read_all(&db, T_ROSTER_ITEMS, items), ngroups = read_all(&db, T_ROSTER_GROUPS, groups);

	for (unsigned n = 0; n < ROWS_MAX; n++) {
		if (acked[n] && !items[n]) {
			fprintf(stderr, "%u was acknowledged and is lost\n", n);
			ok = false;
		}
		if (items[n] != groups[n] || items[n] > 1) {
			fprintf(stderr, "%u is there %u times, its group %u times\n", n, items[n], groups[n]);
			ok = false;
		}
	}
	printf("killed at %u: %u acknowledged, %u and %u rows\n", kill_at, heard, nitems, ngroups);
	ok = ok && heard >= kill_at && nitems >= heard && db_do(&db, pair(ROWS_MAX)) == STORE_OK;
	db_remove(&db);
	return ok;
}

int main(void)
{
	unsigned seed = (unsigned)time(NULL);
	bool ok = true;

	printf("seed %u\n", seed);
	for (int i = 0; i < ROUNDS; i++)
		ok &= one_round(1 + (unsigned)rand_r(&seed) % ACKS_MAX);
	return ok ? 0 : 1;
}
