/* database.c - one database: queues and threads, group commit, reads beside it, a lost connection found again.
 * Threads: any thread submits. One writer thread carries out whatever writes, in the order submitted; reader threads the
 *          rest. None of them is an RCU reader.
 * Owns: its connections and threads, from open to close; a request from lane_post() until its answer is posted.
 *
 * A commit whose answer the connection took with it: the engine is asked what became of it. Where it cannot tell, the
 * requests are answered STORE_FAILED, "stored or not", and whoever repeats one may have it twice. It is never run again
 * by itself, and never answered STORE_OK on a guess.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shardsm/clock.h"
#include "shardsm/heart.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"
#include "store/answers.h"
#include "store/database.h"

/* How often a transaction is tried that meets a lock, each time for busy_timeout_ms, before its requests are given up. */
#define BUSY_ATTEMPTS 3
/* How often a transaction is begun anew because its connection was lost: something in it may be what breaks it. */
#define LOST_ATTEMPTS 5
/* Between two tries to connect. */
#define RECONNECT_PAUSE_MS 250
/* Reads that share a transaction: its cost is spread, and the first does not wait long for its answer. */
#define READS_MAX 32u
/* Between two transactions with nothing in them that anybody waits for. Each costs as much as tens of rows, and pages that rows share are
 * written once: under a load of presence a third of what the database costs. The first one after a pause begins at once. */
#define QUIET_PACE_MS 20
/* Requests at fault that are taken out of a group one after the other, before all run one by one. */
#define CULPRITS_MAX 8

/* A thread and its queue. */
struct lane {
	struct mailbox mailbox;
	_Atomic uint32_t requests;   /* admitted and not answered */
	_Atomic size_t bytes;        /* theirs */

	struct database *db;         /* from here on fixed before the thread starts */
	void *connection;            /* its thread's */
	pthread_t thread;
	bool ready, started;         /* the mailbox is; the thread is */
	struct letter stop;
	char name[16];

	struct store_req *group[STORE_GROUP_MAX]; /* its thread's: taken from the mailbox and not begun */
	unsigned n;
	bool urgent;                 /* somebody waits for one of them */
	uint64_t quiet_until;        /* monotonic ms */

	uint64_t down_since, next_try; /* its thread's; down_since 0: connected */
	bool gave_up;
	char error[400];             /* why the last group or read failed */
};

struct database {
	const struct engine *engine;
	struct store_settings settings;
	pthread_mutex_t mutex;       /* of hurry */
	pthread_cond_t hurried;
	bool hurry, ready;           /* ready: mutex and condition are */
	unsigned nlanes;
	struct lane lanes[];         /* the first writes */
};

bool lane_admit(struct lane *lane, struct store_req *req)
{
	req->queued_bytes = req->arena.bytes;
	uint32_t requests = atomic_fetch_add_explicit(&lane->requests, 1, memory_order_relaxed);
	size_t bytes = atomic_fetch_add_explicit(&lane->bytes, req->queued_bytes, memory_order_relaxed);

	if (requests < STORE_QUEUE_REQUESTS && bytes + req->queued_bytes <= STORE_QUEUE_BYTES)
		return true;
	lane_dismiss(lane, req);
	return false;
}

static void dismiss(struct lane *lane, uint32_t requests, size_t bytes)
{
	atomic_fetch_sub_explicit(&lane->requests, requests, memory_order_relaxed);
	atomic_fetch_sub_explicit(&lane->bytes, bytes, memory_order_relaxed);
}

void lane_dismiss(struct lane *lane, const struct store_req *req)
{
	dismiss(lane, 1, req->queued_bytes);
}

void lane_post(struct lane *lane, struct store_req *req)
{
	struct letter *letter = &req->letter;

	if (req->quiet)
		mailbox_post_quiet(&lane->mailbox, &letter);
	else
		mailbox_post(&lane->mailbox, &letter);
}

/* The reader with the least before it. */
static struct lane *pick_reader(struct database *db)
{
	struct lane *best = &db->lanes[1];

	for (unsigned i = 2; i < db->nlanes; i++) {
		struct lane *lane = &db->lanes[i];

		if (atomic_load_explicit(&lane->requests, memory_order_relaxed) <
			atomic_load_explicit(&best->requests, memory_order_relaxed))
			best = lane;
	}
	return best;
}

struct lane *database_lane(struct database *db, const struct store_req *req, unsigned flags)
{
	return req->writes || (flags & STORE_AFTER_WRITES) ? &db->lanes[0] : pick_reader(db);
}

/* What is to be answered now that this is done: the request, or the whole that it is the last open part of, counted. NULL: nothing yet. */
static struct store_req *concluded(struct store_req *req, uint64_t now_us)
{
	if (req->whole) {
		req = req->whole;
		if (atomic_fetch_sub_explicit(&req->open_parts, 1, memory_order_acq_rel) > 1)
			return NULL;
		req_join(req);
	}
	stat_inc((req->writes ? STAT_STORE_WRITES : STAT_STORE_READS) + req->status);
	stat_latency(now_us - req->since_us);
	return req;
}

void request_answer(struct store_req *req)
{
	struct store_req *done = concluded(req, clock_mono_us());
	struct letter *letter = &done->letter;

	if (done)
		mailbox_post(done->to, &letter);
}

/* Requests of this lane that are done. */
static void answer(struct lane *lane, struct store_req **reqs, unsigned n)
{
	struct answers answers = { .n = 0 };
	uint64_t now_us = clock_mono_us();
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += reqs[i]->queued_bytes;
	dismiss(lane, n, bytes);
	for (unsigned i = 0; i < n; i++) {
		struct store_req *done = concluded(reqs[i], now_us);

		if (done)
			answers_add(&answers, done);
	}
	answers_post(&answers);
}

static void mark_failed(struct store_req *req, enum engine_result result, const char *why)
{
	req_reset(req);
	/* A lock that stays and a database that is away are as passing a thing as a full disk: the sender may try again. */
	req_fail(req, result == ENGINE_FAILED || result == ENGINE_UNKNOWN ? STORE_FAILED : STORE_FULL, why);
}

/* Waits a little. False: there is no time for it any more. */
static bool pause_until(struct database *db, uint64_t mono_ms)
{
	pthread_mutex_lock(&db->mutex);
	for (uint64_t now = clock_mono_ms(); !db->hurry && now < mono_ms; now = clock_mono_ms()) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += (time_t)((mono_ms - now) / 1000);
		until.tv_nsec += (long)((mono_ms - now) % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&db->hurried, &db->mutex, &until);
	}
	bool go_on = !db->hurry;

	pthread_mutex_unlock(&db->mutex);
	return go_on;
}

void database_hurry(struct database *db)
{
	pthread_mutex_lock(&db->mutex);
	db->hurry = true;
	pthread_cond_broadcast(&db->hurried);
	pthread_mutex_unlock(&db->mutex);
}

static uint64_t reach_ms(const struct database *db)
{
	return db->settings.reach_ms ? (uint64_t)db->settings.reach_ms : STORE_REACH_MS;
}

static const char *engine_error(const struct lane *lane)
{
	return lane->db->engine->error(lane->connection);
}

static void went_down(struct lane *lane)
{
	if (lane->down_since)
		return;
	lane->down_since = lane->next_try = clock_mono_ms();
	lane->gave_up = false;
	log_limited(LOG_LEVEL_WARNING, "%s: connection to the database lost (%s)", lane->name, engine_error(lane));
}

/* One try to connect. */
static bool come_up(struct lane *lane)
{
	if (!lane->db->engine->reconnect(lane->connection)) {
		lane->next_try = clock_mono_ms() + RECONNECT_PAUSE_MS;
		snprintf(lane->error, sizeof(lane->error), "the database cannot be reached: %s", engine_error(lane));
		return false;
	}
	log_notice("%s: connected to the database again", lane->name);
	lane->down_since = 0;
	return true;
}

/* Waits for a connection, for a bounded time. False: there is none; lane->error says why. */
static bool connected(struct lane *lane)
{
	if (!lane->down_since)
		return true;
	if (lane->gave_up)
		return clock_mono_ms() >= lane->next_try && come_up(lane);
	while (pause_until(lane->db, lane->next_try)) {
		if (come_up(lane))
			return true;
		if (clock_mono_ms() - lane->down_since >= reach_ms(lane->db))
			break;
	}
	lane->gave_up = true;
	/* Whoever closes the store in a hurry has not heard of a try yet. */
	if (come_up(lane))
		return true;
	log_error("%s: %s: requests are refused until it is back", lane->name, lane->error);
	return false;
}

/* What became of a commit whose answer was lost: ENGINE_OK, ENGINE_LOST (nothing, and never will) or ENGINE_UNKNOWN. */
static enum engine_result settle(struct lane *lane)
{
	uint64_t end = clock_mono_ms() + reach_ms(lane->db);

	went_down(lane);
	while (connected(lane)) {
		switch (lane->db->engine->outcome(lane->connection)) {
		case OUTCOME_COMMITTED:
			return ENGINE_OK;
		case OUTCOME_NOTHING:
			return ENGINE_LOST;
		case OUTCOME_UNKNOWN:
			return ENGINE_UNKNOWN;
		case OUTCOME_LOST:
			went_down(lane);
			break;
		case OUTCOME_OPEN:
			if (clock_mono_ms() >= end || !pause_until(lane->db, clock_mono_ms() + RECONNECT_PAUSE_MS))
				return ENGINE_UNKNOWN;
			break;
		}
	}
	return ENGINE_UNKNOWN;
}

/* Runs requests that write in one transaction, again where that is safe. Failed: lane->error says why. */
static enum engine_result transaction(struct lane *lane, struct store_req **reqs, unsigned n, unsigned *culprit)
{
	int busy = 0, lost = 0;
	enum engine_result result;

	*culprit = n;
	for (;;) {
		if (!connected(lane))
			return ENGINE_LOST;
		for (unsigned i = 0; i < n; i++)
			req_reset(reqs[i]);
		result = lane->db->engine->write(lane->connection, reqs, n, culprit);
		if (result == ENGINE_OK) {
			stat_inc(STAT_STORE_COMMITS);
			stat_add(STAT_STORE_COMMITTED, n);
			return result;
		}
		snprintf(lane->error, sizeof(lane->error), "%s", engine_error(lane));
		if (result == ENGINE_UNKNOWN) {
			result = settle(lane);
			if (result == ENGINE_OK)
				return result;
			if (result == ENGINE_UNKNOWN) {
				snprintf(lane->error, sizeof(lane->error),
					"the connection to the database broke at the commit: stored or not, nobody knows");
				return result;
			}
			continue;
		}
		if (result == ENGINE_LOST) {
			went_down(lane);
			if (++lost == LOST_ATTEMPTS)
				return result;
		} else if (result != ENGINE_BUSY || ++busy == BUSY_ATTEMPTS) {
			return result;
		} else {
			log_limited(LOG_LEVEL_WARNING, "%s: a group of %u waits (%s)", lane->name, n, lane->error);
		}
	}
}

/* After a group failed: each request by itself, so that only those fail that must. */
static void one_by_one(struct lane *lane, struct store_req **reqs, unsigned n)
{
	bool stuck = false;
	enum engine_result result = ENGINE_OK;

	for (unsigned i = 0; i < n; i++) {
		unsigned culprit;

		/* Whoever holds the lock won't be faster for the next one: the rest doesn't wait for it again. */
		if (!stuck)
			result = transaction(lane, &reqs[i], 1, &culprit);
		stuck = result == ENGINE_BUSY || result == ENGINE_LOST;
		if (result != ENGINE_OK)
			mark_failed(reqs[i], result, lane->error);
	}
}

/* Carries out requests that write, marks those that failed. */
static void write_group(struct lane *lane, struct store_req **reqs, unsigned n)
{
	enum engine_result result = ENGINE_OK;

	for (unsigned culprits = 0; n; culprits++) {
		unsigned culprit;

		result = transaction(lane, reqs, n, &culprit);
		if (result != ENGINE_FAILED || culprit >= n || culprits == CULPRITS_MAX)
			break;
		/* The one that the database refused is taken out, the others go on as one group. */
		mark_failed(reqs[culprit], result, lane->error);
		memmove(&reqs[culprit], &reqs[culprit + 1], (n - culprit - 1) * sizeof(struct store_req *));
		n--;
	}
	if (!n || result == ENGINE_OK)
		return;
	if (n > 1 && (result == ENGINE_FAILED || result == ENGINE_FULL)) {
		one_by_one(lane, reqs, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		mark_failed(reqs[i], result, lane->error);
}

/* A read that had to come behind the writes before it: they are committed now. It was admitted once already. */
static void hand_on(struct lane *lane, struct store_req *req)
{
	struct lane *reader = pick_reader(lane->db);

	lane_dismiss(lane, req);
	atomic_fetch_add_explicit(&reader->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader->bytes, req->queued_bytes, memory_order_relaxed);
	lane_post(reader, req);
}

static void run_group(struct lane *lane, struct store_req **reqs, unsigned n)
{
	struct store_req *writers[STORE_GROUP_MAX], *reads[STORE_GROUP_MAX];
	unsigned nwriters = 0, nreads = 0;

	for (unsigned i = 0; i < n; i++) {
		if (reqs[i]->writes)
			writers[nwriters++] = reqs[i];
	}
	write_group(lane, writers, nwriters);
	nwriters = 0;
	for (unsigned i = 0; i < n; i++) {
		if (reqs[i]->writes)
			writers[nwriters++] = reqs[i];
		else
			reads[nreads++] = reqs[i];
	}
	/* Before the reads: once they are handed on, their answers may come at any time. */
	answer(lane, writers, nwriters);
	for (unsigned i = 0; i < nreads; i++)
		hand_on(lane, reads[i]);
}

static void run_read(struct lane *lane, struct store_req *req)
{
	enum engine_result result = ENGINE_LOST;
	int busy = 0, lost = 0;

	while (connected(lane)) {
		req_reset(req);
		result = lane->db->engine->read(lane->connection, req);
		if (result == ENGINE_OK)
			break;
		snprintf(lane->error, sizeof(lane->error), "%s", engine_error(lane));
		if (result == ENGINE_LOST)
			went_down(lane);
		if ((result != ENGINE_BUSY || ++busy == BUSY_ATTEMPTS) && (result != ENGINE_LOST || ++lost == LOST_ATTEMPTS))
			break;
	}
	if (result != ENGINE_OK)
		mark_failed(req, result, lane->error);
}

/* Reads that were submitted before the first is begun: one transaction, where the engine has something of it, and answers
 * that come together, so that whoever waits for them wakes once. */
static void run_reads(struct lane *lane, struct store_req **reqs, unsigned n)
{
	const struct engine *engine = lane->db->engine;
	bool together = n > 1 && engine->reads_begin && engine->reads_begin(lane->connection) == ENGINE_OK;

	for (unsigned i = 0; i < n; i++)
		run_read(lane, reqs[i]);
	if (together)
		engine->reads_end(lane->connection);
	answer(lane, reqs, n);
}

static void run(struct lane *lane, bool writer)
{
	unsigned n = lane->n;

	lane->n = 0;
	lane->urgent = false;
	if (writer)
		run_group(lane, lane->group, n);
	else
		run_reads(lane, lane->group, n);
	lane->quiet_until = clock_mono_ms() + QUIET_PACE_MS;
}

/* How long what was taken may lie, ms; 0: it is to be run, or there is nothing. */
static int may_lie(const struct lane *lane)
{
	uint64_t now = lane->n && !lane->urgent ? clock_mono_ms() : UINT64_MAX;

	return now < lane->quiet_until ? (int)(lane->quiet_until - now) : 0;
}

/* Everything that is in the mailbox, cut into groups. False: a stop was among it. */
static bool lane_turn(struct lane *lane, bool writer)
{
	unsigned most = writer ? STORE_GROUP_MAX : READS_MAX;
	bool go_on = true;
	struct letter *last, *next;

	for (struct letter *l = mailbox_take(&lane->mailbox, &last); l; l = next) {
		struct store_req *req = (struct store_req *)l;

		next = mailbox_next(l, last);
		if (l->kind == LETTER_STOP) {
			go_on = false;
			continue;
		}
		lane->group[lane->n++] = req;
		lane->urgent |= !req->quiet;
		if (lane->n == most)
			run(lane, writer);
	}
	if (lane->n && (!go_on || !may_lie(lane)))
		run(lane, writer);
	return go_on;
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	bool writer = lane == &lane->db->lanes[0], go_on;

	stats_thread_start();
	heart_start(lane->name);
	do {
		if (lane->n)
			mailbox_doze(&lane->mailbox, may_lie(lane));
		else
			mailbox_wait(&lane->mailbox, HEART_MS);
		/* A database takes as long as it takes; whoever waits for it is told by its timeouts. */
		heart_rest();
		go_on = lane_turn(lane, writer);
		heart_wake();
	} while (go_on);
	heart_end();
	return NULL;
}

static bool lane_start(struct database *db, unsigned i)
{
	struct lane *lane = &db->lanes[i];
	sigset_t all, before;

	lane->db = db;
	snprintf(lane->name, sizeof(lane->name), "store %s %u", db->engine->name, i);
	lane->ready = mailbox_init(&lane->mailbox, lane->name);
	if (!lane->ready) {
		log_error("store: thread %u cannot start (no event descriptor left)", i);
		return false;
	}
	lane->connection = db->engine->open(&db->settings);
	if (!lane->connection)
		return false;
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	lane->started = pthread_create(&lane->thread, NULL, lane_main, lane) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!lane->started) {
		log_error("store: thread %u cannot start (no thread left)", i);
		return false;
	}
	pthread_setname_np(lane->thread, lane->name);
	heart_await_start();
	return true;
}

static void lane_stop(struct lane *lane)
{
	struct letter *stop = &lane->stop;

	if (!lane->started)
		return;
	stop->kind = LETTER_STOP;
	mailbox_post(&lane->mailbox, &stop);
	pthread_join(lane->thread, NULL);
	lane->started = false;
}

/* The settings that are text. */
static const size_t texts[] = {
	offsetof(struct store_settings, driver), offsetof(struct store_settings, dbname),
	offsetof(struct store_settings, sql), offsetof(struct store_settings, prefix),
	offsetof(struct store_settings, host), offsetof(struct store_settings, port),
	offsetof(struct store_settings, user), offsetof(struct store_settings, pass),
	offsetof(struct store_settings, conninfo), offsetof(struct store_settings, schema),
	offsetof(struct store_settings, ssl_ca), offsetof(struct store_settings, ssl_cert), offsetof(struct store_settings, ssl_key),
};
#define NTEXTS (sizeof(texts) / sizeof(texts[0]))

static char **text_of(struct store_settings *s, unsigned i)
{
	return (char **)((char *)s + texts[i]);
}

static bool settings_copy(struct store_settings *to, const struct store_settings *from)
{
	struct store_settings source = *from;
	bool ok = true;

	if (!source.prefix)
		source.prefix = "";
	*to = source;
	for (unsigned i = 0; i < NTEXTS; i++) {
		char *text = *text_of(&source, i);

		*text_of(to, i) = text ? strdup(text) : NULL;
		ok = ok && (!text || *text_of(to, i));
	}
	return ok;
}

void settings_free(struct store_settings *s)
{
	for (unsigned i = 0; i < NTEXTS; i++)
		free(*text_of(s, i));
}

static bool sync_init(struct database *db)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr))
		return false;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	db->ready = pthread_mutex_init(&db->mutex, NULL) == 0;
	if (db->ready && pthread_cond_init(&db->hurried, &attr)) {
		pthread_mutex_destroy(&db->mutex);
		db->ready = false;
	}
	pthread_condattr_destroy(&attr);
	return db->ready;
}

struct database *database_open(const struct store_settings *settings, unsigned threads)
{
	unsigned nlanes = threads > settings->threads ? threads : settings->threads;

	if (nlanes < 2)
		nlanes = 2;
	size_t size = sizeof(struct database) + nlanes * sizeof(struct lane);
	struct database *db = aligned_alloc(_Alignof(struct database), size);

	if (!db) {
		log_error("store: cannot open (no memory)");
		return NULL;
	}
	memset(db, 0, size);
	db->nlanes = nlanes;
	db->engine = engine_find(span_str(settings->driver));
	bool ok = settings_copy(&db->settings, settings) && sync_init(db);

	if (!ok)
		log_error("store: cannot open (no memory)");
	if (ok && !db->engine) {
		log_error("store: unknown driver \"%s\" (there is: %s)", settings->driver, engine_names());
		ok = false;
	}
	ok = ok && db->engine->prepare(&db->settings);
	for (unsigned i = 0; ok && i < nlanes; i++)
		ok = lane_start(db, i);
	if (!ok)
		database_close(&db);
	return db;
}

void database_close(struct database **dbp)
{
	struct database *db = *dbp;

	if (!db)
		return;
	if (db->ready)
		database_hurry(db);
	/* The writer first: it hands reads on to the readers. */
	for (unsigned i = 0; i < db->nlanes; i++)
		lane_stop(&db->lanes[i]);
	for (unsigned i = 0; i < db->nlanes; i++) {
		struct lane *lane = &db->lanes[i];

		if (lane->connection)
			db->engine->close(lane->connection);
		if (lane->ready)
			mailbox_fini(&lane->mailbox);
	}
	if (db->ready) {
		pthread_cond_destroy(&db->hurried);
		pthread_mutex_destroy(&db->mutex);
	}
	settings_free(&db->settings);
	free(db);
	*dbp = NULL;
}

void database_describe(struct database *db, char *out, size_t cap)
{
	db->engine->describe(&db->settings, out, cap);
}
