/* store.c - the store: finds the database of every statement, cuts requests that need several.
 * Threads: any thread submits; database.c has the threads that carry out.
 * Owns: the store and its databases, from store_open() to store_close(); a request from store_submit() until its answer.
 *
 * A request whose tables lie in several databases is cut into a part for each. All parts are queued before any is carried
 * out, so writes keep their order in every database; each part is atomic, the whole is not: when one part fails the
 * request is answered with that failure, and the others may have happened.
 */
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"
#include "store/database.h"

struct store {
	unsigned ndatabases;
	struct database *databases[STORE_DATABASES_MAX];
	uint8_t place[T_COUNT];      /* table -> database */
};

/* One database has it all: the usual case. */
static int only_place(const struct store *store, const struct store_req *req)
{
	unsigned place = req->nstmts ? store->place[req->stmts[0].table] : 0;

	for (uint32_t i = 1; i < req->nstmts; i++) {
		if (store->place[req->stmts[i].table] != place)
			return -1;
	}
	return (int)place;
}

/* The statements for one database, as a part of the request; *part NULL: there are none. */
static bool cut(const struct store *store, struct store_req *req, unsigned place, struct store_req **part)
{
	uint32_t n = 0;

	*part = NULL;
	for (uint32_t i = 0; i < req->nstmts; i++)
		n += store->place[req->stmts[i].table] == place;
	if (!n)
		return true;
	*part = req_part(req, n);
	if (!*part)
		return false;
	for (uint32_t i = 0; i < req->nstmts; i++) {
		if (store->place[req->stmts[i].table] != place)
			continue;
		struct stmt *s = &(*part)->stmts[(*part)->nstmts++];

		*s = req->stmts[i];
		s->position = i;
		if (verb_writes(s->verb))
			(*part)->writes = true;
		else
			(*part)->reads = true;
	}
	req_seal(*part);
	return true;
}

/* All parts of a request or none. */
static void submit_parts(struct store *store, struct store_req *req, unsigned flags)
{
	struct store_req *parts[STORE_DATABASES_MAX];
	struct lane *lanes[STORE_DATABASES_MAX];
	unsigned n = 0;

	/* As in one database: what a request reads comes behind all that was written before it. */
	if (req->writes)
		flags |= STORE_AFTER_WRITES;
	for (unsigned i = 0; i < store->ndatabases; i++) {
		if (!cut(store, req, i, &parts[n])) {
			req_fail(req, STORE_FAILED, "no memory");
			break;
		}
		if (!parts[n])
			continue;
		parts[n]->quiet = req->quiet;
		lanes[n] = database_lane(store->databases[i], parts[n], flags);
		if (!lane_admit(lanes[n], parts[n])) {
			req_fail(req, STORE_FULL, "the store's queue is full");
			break;
		}
		n++;
	}
	if (req->error) {
		while (n--)
			lane_dismiss(lanes[n], parts[n]);
		request_answer(req);
		return;
	}
	atomic_store_explicit(&req->open_parts, n, memory_order_release);
	for (unsigned i = 0; i < n; i++)
		lane_post(lanes[i], parts[i]);
}

void store_submit(struct store *store, struct store_req **reqp, struct mailbox *to, uint64_t token, unsigned flags)
{
	struct store_req *req = *reqp;

	*reqp = NULL;
	req->to = to;
	req->quiet = flags & STORE_QUIET;
	req->token = token;
	req->since_us = clock_mono_us();
	stat_inc(STAT_STORE_SUBMITTED);
	if (req->error) {
		req->status = STORE_FAILED;
		request_answer(req);
		return;
	}
	req_seal(req);
	int place = only_place(store, req);

	if (place < 0) {
		submit_parts(store, req, flags);
		return;
	}
	struct lane *lane = database_lane(store->databases[place], req, flags);

	if (!lane_admit(lane, req)) {
		req_fail(req, STORE_FULL, "the store's queue is full");
		request_answer(req);
		return;
	}
	lane_post(lane, req);
}

struct store *store_open_settings(const struct store_settings *settings, unsigned n, unsigned threads)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store) {
		log_error("store: cannot open (no memory)");
		return NULL;
	}
	for (unsigned i = 0; i < n && i < STORE_DATABASES_MAX; i++) {
		store->databases[i] = database_open(&settings[i], threads);
		if (!store->databases[i]) {
			store_close(&store);
			return NULL;
		}
		store->ndatabases++;
		for (unsigned t = 0; t < T_COUNT; t++) {
			if (settings_serve(&settings[i], t))
				store->place[t] = (uint8_t)i;
		}
	}
	return store;
}

void store_close(struct store **storep)
{
	struct store *store = *storep;

	if (!store)
		return;
	/* None of them waits for a lost connection while another one is being closed. */
	for (unsigned i = 0; i < store->ndatabases; i++)
		database_hurry(store->databases[i]);
	for (unsigned i = 0; i < store->ndatabases; i++)
		database_close(&store->databases[i]);
	free(store);
	*storep = NULL;
}

void store_describe(struct store *store, char *out, size_t cap)
{
	size_t used = 0;

	if (cap)
		*out = '\0';
	for (unsigned i = 0; i < store->ndatabases && used + 1 < cap; i++) {
		if (i)
			snprintf(out + used, cap - used, "; ");
		used += strlen(out + used);
		database_describe(store->databases[i], out + used, cap - used);
		used += strlen(out + used);
	}
}
