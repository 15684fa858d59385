/* store.c - the store's queues and threads: group commit, reads beside it, one answer for every request.
 * Threads: any thread submits. One writer thread carries out whatever writes, in the order submitted; reader threads the
 *          rest. None of them is an RCU reader.
 * Owns: the store, its connections and threads, from store_open() to store_close(); a request from store_submit() until
 *       its answer is posted.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/log.h"
#include "store/engine.h"
#include "store/request.h"
#include "store/store_internal.h"

/* How often a transaction is tried that meets a lock, each time for busy_timeout_ms, before its requests are given up. */
#define BUSY_ATTEMPTS 3

/* A thread and its queue. */
struct lane {
	struct mailbox mailbox;
	_Atomic uint32_t requests;   /* admitted and not answered */
	_Atomic size_t bytes;        /* theirs */

	struct store *store;         /* from here on fixed before the thread starts */
	void *connection;            /* its thread's */
	pthread_t thread;
	bool ready, started;         /* the mailbox is; the thread is */
	struct letter stop;
	char name[16];
};

struct store {
	const struct engine *engine;
	struct store_settings settings;
	unsigned nlanes;
	struct lane lanes[];         /* the first writes */
};

static bool lane_admit(struct lane *lane, struct store_req *req)
{
	req->queued_bytes = req->arena.bytes;
	uint32_t requests = atomic_fetch_add_explicit(&lane->requests, 1, memory_order_relaxed);
	size_t bytes = atomic_fetch_add_explicit(&lane->bytes, req->queued_bytes, memory_order_relaxed);

	if (requests < STORE_QUEUE_REQUESTS && bytes + req->queued_bytes <= STORE_QUEUE_BYTES)
		return true;
	atomic_fetch_sub_explicit(&lane->requests, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&lane->bytes, req->queued_bytes, memory_order_relaxed);
	return false;
}

static void lane_dismiss(struct lane *lane, const struct store_req *req)
{
	atomic_fetch_sub_explicit(&lane->requests, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&lane->bytes, req->queued_bytes, memory_order_relaxed);
}

static void lane_post(struct lane *lane, struct store_req *req)
{
	struct letter *letter = &req->letter;

	mailbox_post(&lane->mailbox, &letter);
}

/* The reader with the least before it. */
static struct lane *pick_reader(struct store *store)
{
	struct lane *best = &store->lanes[1];

	for (unsigned i = 2; i < store->nlanes; i++) {
		struct lane *lane = &store->lanes[i];

		if (atomic_load_explicit(&lane->requests, memory_order_relaxed) <
			atomic_load_explicit(&best->requests, memory_order_relaxed))
			best = lane;
	}
	return best;
}

static void post_answer(struct store_req *req)
{
	struct letter *letter = &req->letter;

	mailbox_post(req->to, &letter);
}

static void answer(struct lane *lane, struct store_req *req)
{
	lane_dismiss(lane, req);
	post_answer(req);
}

void store_submit(struct store *store, struct store_req **reqp, struct mailbox *to, uint64_t token, unsigned flags)
{
	struct store_req *req = *reqp;
	bool behind_writes = req->writes || (flags & STORE_AFTER_WRITES);
	struct lane *lane = behind_writes ? &store->lanes[0] : pick_reader(store);

	*reqp = NULL;
	req->to = to;
	req->token = token;
	if (req->error) {
		req->status = STORE_FAILED;
		post_answer(req);
		return;
	}
	req_seal(req);
	if (!lane_admit(lane, req)) {
		req_fail(req, STORE_FULL, "the store's queue is full");
		post_answer(req);
		return;
	}
	lane_post(lane, req);
}

static void mark_failed(struct store_req *req, enum engine_result result, const char *why)
{
	req_reset(req);
	/* A lock that stays is as passing a thing as a full disk: the sender may try again. */
	req_fail(req, result == ENGINE_FAILED ? STORE_FAILED : STORE_FULL, why);
}

static enum engine_result transaction_once(struct lane *lane, struct store_req **reqs, unsigned n)
{
	const struct engine *engine = lane->store->engine;
	enum engine_result result = engine->begin(lane->connection);

	for (unsigned i = 0; i < n && result == ENGINE_OK; i++) {
		if (reqs[i]->writes) {
			req_reset(reqs[i]);
			result = engine->run(lane->connection, reqs[i]);
		}
	}
	if (result == ENGINE_OK)
		result = engine->commit(lane->connection);
	if (result != ENGINE_OK)
		engine->rollback(lane->connection);
	return result;
}

/* Runs those of the requests that write in one transaction: all of them or none. */
static enum engine_result transaction(struct lane *lane, struct store_req **reqs, unsigned n)
{
	enum engine_result result;

	for (int attempt = 1;; attempt++) {
		result = transaction_once(lane, reqs, n);
		if (result != ENGINE_BUSY || attempt == BUSY_ATTEMPTS)
			return result;
		log_limited(LOG_LEVEL_WARNING, "store: a group of %u waits (%s)", n,
			lane->store->engine->error(lane->connection));
	}
}

/* After a group failed: each request by itself, so that only those fail that must. */
static void one_by_one(struct lane *lane, struct store_req **reqs, unsigned n)
{
	bool busy = false;

	for (unsigned i = 0; i < n; i++) {
		if (!reqs[i]->writes)
			continue;
		/* Whoever holds the lock won't be faster for the next one: the rest doesn't wait for it again. */
		enum engine_result result = busy ? ENGINE_BUSY : transaction(lane, &reqs[i], 1);

		busy = result == ENGINE_BUSY;
		if (result != ENGINE_OK)
			mark_failed(reqs[i], result, lane->store->engine->error(lane->connection));
	}
}

static void run_group(struct lane *lane, struct store_req **reqs, unsigned n)
{
	enum engine_result result = ENGINE_OK;
	unsigned writes = 0;

	for (unsigned i = 0; i < n; i++)
		writes += reqs[i]->writes;
	if (writes)
		result = transaction(lane, reqs, n);
	if (result == ENGINE_BUSY || (result != ENGINE_OK && writes == 1)) {
		for (unsigned i = 0; i < n; i++) {
			if (reqs[i]->writes)
				mark_failed(reqs[i], result, lane->store->engine->error(lane->connection));
		}
	} else if (result != ENGINE_OK) {
		one_by_one(lane, reqs, n);
	}
	for (unsigned i = 0; i < n; i++) {
		if (reqs[i]->writes) {
			answer(lane, reqs[i]);
			continue;
		}
		/* A read that had to come behind the writes before it: they are committed now. It was admitted once already. */
		struct lane *reader = pick_reader(lane->store);

		lane_dismiss(lane, reqs[i]);
		atomic_fetch_add_explicit(&reader->requests, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&reader->bytes, reqs[i]->queued_bytes, memory_order_relaxed);
		lane_post(reader, reqs[i]);
	}
}

static void run_read(struct lane *lane, struct store_req *req)
{
	const struct engine *engine = lane->store->engine;
	enum engine_result result = ENGINE_BUSY;

	for (int attempt = 0; attempt < BUSY_ATTEMPTS && result == ENGINE_BUSY; attempt++) {
		req_reset(req);
		result = engine->read(lane->connection, req);
	}
	if (result != ENGINE_OK)
		mark_failed(req, result, engine->error(lane->connection));
	answer(lane, req);
}

/* Everything that is in the mailbox, cut into groups. False: a stop was among it. */
static bool lane_turn(struct lane *lane, bool writer)
{
	struct store_req *group[STORE_GROUP_MAX];
	unsigned n = 0;
	bool go_on = true;
	struct letter *last, *next;

	for (struct letter *l = mailbox_take(&lane->mailbox, &last); l; l = next) {
		next = mailbox_next(l, last);
		if (l->kind == LETTER_STOP) {
			go_on = false;
			continue;
		}
		struct store_req *req = (struct store_req *)l;

		if (!writer) {
			run_read(lane, req);
			continue;
		}
		group[n++] = req;
		if (n == STORE_GROUP_MAX) {
			run_group(lane, group, n);
			n = 0;
		}
	}
	if (n)
		run_group(lane, group, n);
	return go_on;
}

static void *lane_main(void *arg)
{
	struct lane *lane = arg;
	bool writer = lane == &lane->store->lanes[0];

	do
		mailbox_wait(&lane->mailbox, -1);
	while (lane_turn(lane, writer));
	return NULL;
}

static bool lane_start(struct store *store, unsigned i)
{
	struct lane *lane = &store->lanes[i];
	sigset_t all, before;

	lane->store = store;
	snprintf(lane->name, sizeof(lane->name), "store %u", i);
	lane->ready = mailbox_init(&lane->mailbox, lane->name);
	if (!lane->ready) {
		log_error("store: thread %u cannot start (no event descriptor left)", i);
		return false;
	}
	lane->connection = store->engine->open(&store->settings);
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

static char *copy_text(const char *s)
{
	return s ? strdup(s) : NULL;
}

static bool settings_copy(struct store_settings *to, const struct store_settings *from)
{
	*to = (struct store_settings){
		.driver = copy_text(from->driver),
		.dbname = copy_text(from->dbname),
		.sql = copy_text(from->sql),
		.prefix = copy_text(from->prefix ? from->prefix : ""),
		.busy_timeout_ms = from->busy_timeout_ms,
	};
	return to->driver && to->dbname && to->prefix && (to->sql || !from->sql);
}

static void settings_free(struct store_settings *s)
{
	free((char *)s->driver);
	free((char *)s->dbname);
	free((char *)s->sql);
	free((char *)s->prefix);
}

struct store *store_open_settings(const struct store_settings *settings, unsigned threads)
{
	unsigned nlanes = threads < 2 ? 2 : threads;
	size_t size = sizeof(struct store) + nlanes * sizeof(struct lane);
	struct store *store = aligned_alloc(_Alignof(struct store), size);

	if (!store) {
		log_error("store: cannot open (no memory)");
		return NULL;
	}
	memset(store, 0, size);
	store->nlanes = nlanes;
	store->engine = engine_find(span_str(settings->driver));
	bool ok = settings_copy(&store->settings, settings);

	if (!ok)
		log_error("store: cannot open (no memory)");
	if (ok && !store->engine) {
		log_error("store: unknown driver \"%s\" (there is: %s)", settings->driver, engine_names());
		ok = false;
	}
	ok = ok && store->engine->prepare(&store->settings);
	for (unsigned i = 0; ok && i < nlanes; i++)
		ok = lane_start(store, i);
	if (!ok)
		store_close(&store);
	return store;
}

void store_close(struct store **storep)
{
	struct store *store = *storep;

	if (!store)
		return;
	/* The writer first: it hands reads on to the readers. */
	for (unsigned i = 0; i < store->nlanes; i++)
		lane_stop(&store->lanes[i]);
	for (unsigned i = 0; i < store->nlanes; i++) {
		struct lane *lane = &store->lanes[i];

		if (lane->connection)
			store->engine->close(lane->connection);
		if (lane->ready)
			mailbox_fini(&lane->mailbox);
	}
	settings_free(&store->settings);
	free(store);
	*storep = NULL;
}

void store_describe(struct store *store, char *out, size_t cap)
{
	store->engine->describe(&store->settings, out, cap);
}
