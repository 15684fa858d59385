/* micro_store.c - what a durable stored message costs: puts a second and processor time per put, at once and one by one.
 * Threads: main, and the store's.
 * Owns: the database file named on the command line, removed before and after.
 * Usage: micro_store FILE [PUTS [SQL]] - FILE on the disk to be measured.
 *        micro_store pgsql:CONNINFO [PUTS] or mysql:HOST:DATABASE:USER[:PASSWORD] [PUTS] - an empty database; its tables stay.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "store/store_internal.h"

static struct mailbox answers;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double processor_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* An everyday stored message is about as long. */
static char message[600];

static void send_put(struct store *store, unsigned i)
{
	char owner[40];

	snprintf(owner, sizeof(owner), "user%u@example.org", i % 1000);
	struct store_req *req = store_req_new(span_str(owner));

	if (!req)
		exit(1);
	store_put(req, T_QUEUE, (const struct value[]){ value_text(span_of(message, sizeof(message))) });
	store_submit(store, &req, &answers, i, 0);
}

static void send_load(struct store *store, unsigned i)
{
	static const enum store_table tables[] = { T_ACTIVE, T_ROSTER_ITEMS, T_ROSTER_GROUPS, T_PRIVACY_DEFAULT, T_PRIVACY_ITEMS,
		T_LOGOUT, T_QUEUE };
	char owner[40];

	snprintf(owner, sizeof(owner), "user%u@example.org", i % 1000);
	struct store_req *req = store_req_new(span_str(owner));

	if (!req)
		exit(1);
	for (unsigned t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		store_get(req, tables[t], STORE_ALL, value_null());
	store_submit(store, &req, &answers, i, 0);
}

/* Waits for so many answers. */
static void take(unsigned n)
{
	while (n) {
		struct letter *last, *next;

		mailbox_wait(&answers, -1);
		for (struct letter *l = mailbox_take(&answers, &last); l; l = next) {
			next = mailbox_next(l, last);
			struct store_req *req = (struct store_req *)l;

			if (store_status(req) != STORE_OK) {
				fprintf(stderr, "failed: %s\n", store_error(req));
				exit(1);
			}
			store_req_free(&req);
			n--;
		}
	}
}

static void measure(struct store *store, const char *what, unsigned n, unsigned window, void (*send)(struct store *, unsigned))
{
	double wall = seconds(), cpu = processor_seconds();

	for (unsigned i = 0; i < n; i += window) {
		unsigned burst = window < n - i ? window : n - i;

		for (unsigned k = 0; k < burst; k++)
			send(store, i + k);
		take(burst);
	}
	wall = seconds() - wall;
	cpu = processor_seconds() - cpu;
	printf("%-34s %6u in %7.3f s: %8.0f/s, %6.1f us of processor time each\n", what, n, wall, n / wall, cpu / n * 1e6);
}

static void forget(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char name[500];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

int main(int argc, char **argv)
{
	unsigned n = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10000;

	if (argc < 2 || !n) {
		fprintf(stderr, "usage: micro_store FILE [PUTS [SQL]]\n");
		return 1;
	}
	char parts[4][200] = { "" };
	struct store_settings settings = {
		.driver = "sqlite", .dbname = argv[1], .sql = argc > 3 ? argv[3] : NULL, .busy_timeout_ms = 2000 };

	if (strncmp(argv[1], "pgsql:", 6) == 0) {
		settings = (struct store_settings){ .driver = "pgsql", .conninfo = argv[1] + 6, .busy_timeout_ms = 2000, .threads = 4 };
	} else if (sscanf(argv[1], "mysql:%199[^:]:%199[^:]:%199[^:]:%199s", parts[0], parts[1], parts[2], parts[3]) >= 3) {
		settings = (struct store_settings){ .driver = "mysql", .host = parts[0], .dbname = parts[1], .user = parts[2],
			.pass = *parts[3] ? parts[3] : NULL, .busy_timeout_ms = 2000, .threads = 4 };
	}
	bool file = strcmp(settings.driver, "sqlite") == 0;

	if (file)
		forget(argv[1]);
	struct store *store = store_open_settings(&settings, 1, 2);

	if (!store || !mailbox_init(&answers, "micro_store"))
		return 1;
	memset(message, 'x', sizeof(message));
	measure(store, "puts, all at once", n, n, send_put);
	measure(store, "puts, 100 at a time", n, 100, send_put);
	measure(store, "puts, one by one", n < 2000 ? n : 2000, 1, send_put);
	measure(store, "loads of 7 tables, 100 at a time", n, 100, send_load);
	measure(store, "loads of 7 tables, one by one", n, 1, send_load);
	store_close(&store);
	mailbox_fini(&answers);
	if (file)
		forget(argv[1]);
	return 0;
}
