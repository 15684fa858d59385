/* threads.c - many threads on one store: order, what reads see, every answer once. Runs under ThreadSanitizer too.
 * Threads: WRITERS posters with a mailbox each, and the store's.
 * Owns: a directory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

#define WRITERS 4
#define PUTS 600
#define WINDOW 50

static struct db db;

#define CHECK(cond, ...) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			abort(); \
		} \
	} while (0)

struct poster {
	pthread_t thread;
	struct mailbox answers;
	unsigned number;
	char owner[32];
	unsigned sent, answered;     /* puts */
	unsigned waiting;            /* answers of any kind */
	uint64_t seen;               /* of the token of the last answered put */
};

enum { PUT, READ_AFTER, READ_PLAIN };

static uint64_t token_of(unsigned kind, unsigned n)
{
	return (uint64_t)kind << 32 | n;
}

static void send_put(struct poster *p)
{
	char xml[64];
	struct value v[] = { { 0 } };
	struct store_req *req = store_req_new(span_str(p->owner));

	snprintf(xml, sizeof(xml), "%u %u", p->number, ++p->sent);
	v[0] = value_text(span_str(xml));
	store_put(req, T_QUEUE, v);
	store_owner(req, SPAN("everybody"));
	store_put(req, T_QUEUE, v);
	store_submit(db.store, &req, &p->answers, token_of(PUT, p->sent), p->sent % 4 ? STORE_QUIET : 0);
	p->waiting++;
}

/* The token carries how many puts the answer must show at least. */
static void send_read(struct poster *p, unsigned kind)
{
	struct store_req *req = store_req_new(span_str(p->owner));
	unsigned n = kind == READ_AFTER ? p->sent : p->answered;

	store_get(req, T_QUEUE, STORE_ALL, value_null());
	store_count(req, T_QUEUE, STORE_ALL, value_null());
	store_submit(db.store, &req, &p->answers, token_of(kind, n), kind == READ_AFTER ? STORE_AFTER_WRITES : 0);
	p->waiting++;
}

static void check_read(const struct poster *p, const struct store_req *req)
{
	unsigned least = (unsigned)store_token(req);
	uint32_t rows = store_rows(req, 0);

	CHECK(rows >= least && rows <= p->sent, "%u rows, %u puts before", rows, least);
	CHECK(store_value(req, 1, 0, 0).i == rows, "two statements of one read saw different states");
	for (uint32_t i = 0; i < rows; i++) {
		char want[64];

		snprintf(want, sizeof(want), "%u %u", p->number, i + 1);
		CHECK(span_is(store_value(req, 0, i, 0).s, want), "row %u is " SPAN_FMT, i, SPAN_ARG(store_value(req, 0, i, 0).s));
	}
}

static void take_answers(struct poster *p)
{
	struct letter *last, *next;

	mailbox_wait(&p->answers, -1);
	for (struct letter *l = mailbox_take(&p->answers, &last); l; l = next) {
		next = mailbox_next(l, last);
		struct store_req *req = (struct store_req *)l;

		CHECK(store_status(req) == STORE_OK, "%s", store_error(req));
		if (store_token(req) >> 32 == PUT) {
			CHECK(store_token(req) == p->seen + 1, "writes answered out of order");
			p->seen = store_token(req);
			p->answered++;
		} else {
			check_read(p, req);
		}
		store_req_free(&req);
		p->waiting--;
	}
}

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	while (p->sent < PUTS) {
		send_put(p);
		if (p->sent % 7 == 0)
			send_read(p, READ_AFTER);
		if (p->sent % 11 == 0)
			send_read(p, READ_PLAIN);
		while (p->waiting > WINDOW)
			take_answers(p);
	}
	while (p->waiting)
		take_answers(p);
	return NULL;
}

/* What all wrote for one owner: each thread's in its order. */
static void check_shared(void)
{
	struct store_req *req = store_req_new(SPAN("everybody"));
	unsigned seen[WRITERS] = { 0 };

	store_get(req, T_QUEUE, STORE_ALL, value_null());
	req = db_ask(&db, req, 0);
	CHECK(store_rows(req, 0) == WRITERS * PUTS, "%u rows", store_rows(req, 0));
	for (uint32_t i = 0; i < store_rows(req, 0); i++) {
		struct span s = store_value(req, 0, i, 0).s;
		char text[64];
		unsigned number, n;

		snprintf(text, sizeof(text), SPAN_FMT, SPAN_ARG(s));
		CHECK(sscanf(text, "%u %u", &number, &n) == 2 && number < WRITERS, "%s", text);
		CHECK(n == ++seen[number], "%s comes before %u", text, seen[number]);
	}
	store_req_free(&req);
}

int main(void)
{
	static struct poster posters[WRITERS] __attribute__((aligned(64)));

	db_make(&db);
	db.sql = test_engine() == ON_SQLITE ? "PRAGMA synchronous = OFF" : NULL; /* not what this test is about */
	db_must_open(&db);
	for (unsigned i = 0; i < WRITERS; i++) {
		struct poster *p = &posters[i];

		p->number = i;
		snprintf(p->owner, sizeof(p->owner), "user%u@lab.test", i);
		CHECK(mailbox_init(&p->answers, p->owner), "no mailbox");
		CHECK(pthread_create(&p->thread, NULL, poster_main, p) == 0, "no thread");
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(posters[i].thread, NULL);
		CHECK(posters[i].answered == PUTS, "%u answers", posters[i].answered);
		mailbox_fini(&posters[i].answers);
	}
	check_shared();
	db_remove(&db);
	return 0;
}
