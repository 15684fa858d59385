/* outbox_threads.c - many threads append to one link that blocks, writes in pieces and goes away in the middle.
 * Threads: APPENDERS and one acceptor. A plain main(), so that ThreadSanitizer can watch it.
 * Owns: everything until the end of main.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "sink.h"

#define APPENDERS 4
#define LINES 20000
#define NOTE_EVERY 50

#define CHECK(ok, ...) \
	do { \
		if (!(ok)) { \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			exit(1); \
		} \
	} while (0)

static struct sink sink;
static sem_t armed;
static _Atomic bool over;
static _Atomic uint64_t appended;

struct appender {
	pthread_t thread;
	unsigned id;
	struct mailbox box;
	unsigned seed;
	unsigned notes, written, failed;
	uint64_t last_written; /* token */
};

static void on_arm(struct sink *s)
{
	(void)s;
	sem_post(&armed);
}

/* Tokens come back in order, each once, and after the first failure none is written. */
static void collect(struct appender *a)
{
	struct letter *last, *l = mailbox_take(&a->box, &last), *next;

	for (; l; l = next) {
		struct out_note *note = (struct out_note *)l;

		next = mailbox_next(l, last);
		CHECK(note->token == a->written + a->failed, "note %u out of turn", (unsigned)note->token);
		if (note->written) {
			CHECK(a->failed == 0, "a note was written behind a lost one");
			a->written++;
			a->last_written = note->token;
		} else {
			a->failed++;
		}
		free(note);
	}
}

static void *append(void *arg)
{
	struct appender *a = arg;
	struct out_tray *tray = out_tray_new();

	for (unsigned i = 0; i < LINES; i++) {
		char line[64];
		int n = snprintf(line, sizeof line, "%u:%u", a->id, i);

		/* In two pieces: nobody else's bytes may come between them. */
		CHECK(out_put(tray, &sink.ob, span_of(line, (size_t)n)) && out_put(tray, &sink.ob, SPAN("\n")), "no memory");
		atomic_fetch_add(&appended, 1);
		if (i % NOTE_EVERY == NOTE_EVERY - 1) {
			struct out_note *note = calloc(1, sizeof *note);

			note->to = &a->box;
			note->token = a->notes++;
			CHECK(out_note(tray, &sink.ob, &note), "no memory");
		}
		if (rand_r(&a->seed) % 37 == 0) {
			out_flush(tray);
			collect(a);
		}
	}
	out_tray_free(&tray);
	return NULL;
}

static void *acceptor(void *arg)
{
	const uint64_t *close_at = arg;
	bool closed = false;

	for (;;) {
		sem_wait(&armed);
		if (atomic_load(&over))
			return NULL;
		if (*close_at && !closed && atomic_load(&appended) >= *close_at) {
			outbox_close(&sink.ob);
			closed = true;
		}
		outbox_writable(&sink.ob);
	}
}

/* Every line whole, each appender's in order. Returns how many lines of each are there. */
static void check_bytes(unsigned seen[APPENDERS])
{
	const char *p = sink.bytes, *end = p + sink.n;

	memset(seen, 0, APPENDERS * sizeof seen[0]);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		unsigned id, line;
		char tail;

		if (!nl) /* cut off by the close */
			return;
		CHECK(sscanf(p, "%u:%u%c", &id, &line, &tail) == 3 && tail == '\n' && id < APPENDERS, "torn line %.*s", (int)(nl - p), p);
		CHECK(seen[id] == line, "appender %u: line %u where %u was due", id, line, seen[id]);
		seen[id]++;
		p = nl + 1;
	}
}

static void run(uint64_t close_at)
{
	struct appender a[APPENDERS] = { 0 };
	unsigned seen[APPENDERS];
	pthread_t acc;
	struct outbox *ob = &sink.ob;

	sink_init(&sink, UINT64_MAX);
	sink.piece = 7000;
	sink.every = 5;
	sink.on_arm = on_arm;
	sem_init(&armed, 0, 0);
	atomic_store(&over, false);
	atomic_store(&appended, 0);
	CHECK(pthread_create(&acc, NULL, acceptor, &close_at) == 0, "thread");
	for (unsigned i = 0; i < APPENDERS; i++) {
		a[i].id = i;
		a[i].seed = i + 1;
		CHECK(mailbox_init(&a[i].box, "appender"), "mailbox");
		CHECK(pthread_create(&a[i].thread, NULL, append, &a[i]) == 0, "thread");
	}
	for (unsigned i = 0; i < APPENDERS; i++)
		pthread_join(a[i].thread, NULL);
	for (unsigned i = 0; i < APPENDERS; i++) {
		while (a[i].written + a[i].failed < a[i].notes) {
			mailbox_wait(&a[i].box, 20000);
			collect(&a[i]);
		}
	}
	atomic_store(&over, true);
	sem_post(&armed);
	pthread_join(acc, NULL);
	outbox_close(&sink.ob);
	check_bytes(seen);
	for (unsigned i = 0; i < APPENDERS; i++) {
		if (!close_at)
			CHECK(seen[i] == LINES && a[i].failed == 0, "appender %u: %u lines, %u notes lost", i, seen[i], a[i].failed);
		CHECK(seen[i] >= a[i].written * NOTE_EVERY, "appender %u: a note came back before its bytes", i);
		mailbox_fini(&a[i].box);
	}
	CHECK(!close_at || sink.n < 4u * LINES * 7, "the close came too late to test anything");
	CHECK(sink.clashes == 0, "two threads wrote at once");
	CHECK(atomic_load(&sink.ob.queued) == 0, "bytes left in the count");
	outbox_unref(&ob);
	CHECK(sink.freed == 1, "not freed");
	sink_fini(&sink);
}

int main(void)
{
	run(0);
	run(LINES);
	return 0;
}
