/* park.c - packets whose handler waits for the store, by token: an answer carries ids, never pointers.
 * Threads: the shard's own.
 * Owns: a park owns its kept packet and its handler's state, and pins its user.
 */
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

#define PARKS_FIRST 64u
#define ROWS_MAX 64u /* of event_rows()'s calls, one write's */

static bool grow(struct shard *shard)
{
	uint32_t n = shard->nparks ? shard->nparks * 2 : PARKS_FIRST;
	struct parked **parks = realloc(shard->parks, n * sizeof(*parks));

	if (parks)
		shard->parks = parks;
	uint32_t *next = realloc(shard->park_next, n * sizeof(*next));

	if (next)
		shard->park_next = next;
	uint32_t *gen = realloc(shard->park_gen, n * sizeof(*gen));

	if (gen)
		shard->park_gen = gen;
	if (!parks || !next || !gen)
		return false;
	for (uint32_t i = n; i-- > shard->nparks;) {
		parks[i] = NULL;
		gen[i] = 1;
		next[i] = shard->free_parks;
		shard->free_parks = i + 1;
	}
	shard->nparks = n;
	return true;
}

/* What one costs besides its bytes, about: the park, its request to the store, the user that is being loaded. */
#define WAITING_MORE 2560u

struct packet *packet_hold(struct shard *shard, const struct packet *p, bool anyway)
{
	uint64_t share = shard->server->set.tuning.waiting_bytes / shard->server->set.nshards;
	struct packet *held;

	/* What nobody can be told of goes on for as much again. */
	if (share && !anyway && shard->waiting_bytes > share * (packet_refusable(p) ? 1 : 2)) {
		stat_inc(STAT_LIMIT_WAITING);
		return NULL;
	}
	held = packet_keep(p);
	if (held)
		shard->waiting_bytes += held->size + WAITING_MORE;
	return held;
}

void packet_unhold(struct shard *shard, const struct packet *held)
{
	shard->waiting_bytes -= held->size + WAITING_MORE;
}

static void block(struct user *u, struct parked *park)
{
	struct shard *shard = u->owner;

	assert(!u->parked);
	u->parked = park;
	park->blocked_next = shard->blocked;
	park->blocked_at = &shard->blocked;
	if (park->blocked_next)
		park->blocked_next->blocked_at = &park->blocked_next;
	shard->blocked = park;
}

static void unblock(struct parked *park)
{
	park->user->parked = NULL;
	*park->blocked_at = park->blocked_next;
	if (park->blocked_next)
		park->blocked_next->blocked_at = park->blocked_at;
}

static struct parked *park_of_size(struct shard *shard, struct user *u, bool blocks, size_t size)
{
	struct parked *park = calloc(1, size);

	if (!park || (!shard->free_parks && !grow(shard))) {
		free(park);
		return NULL;
	}
	uint32_t i = shard->free_parks - 1;

	shard->free_parks = shard->park_next[i];
	shard->parks[i] = park;
	park->token = (uint64_t)shard->park_gen[i] << 32 | i;
	park->user = u;
	park->blocks = blocks;
	if (u)
		u->pins++;
	if (u && blocks)
		block(u, park);
	atomic_fetch_add_explicit(&shard->open_parks, 1, memory_order_relaxed);
	return park;
}

struct parked *park_new(struct shard *shard, struct user *u, bool blocks)
{
	return park_of_size(shard, u, blocks, sizeof(struct parked));
}

struct parked *park_load(struct shard *shard, struct user *u)
{
	struct parked *park = park_of_size(shard, u, true, sizeof(struct parked) + MODULES_MAX * sizeof(int));

	if (park)
		park->is_load = true;
	return park;
}

struct parked *park_take(struct shard *shard, uint64_t token)
{
	uint32_t i = (uint32_t)token;

	if (i >= shard->nparks || !shard->parks[i] || shard->parks[i]->token != token) {
		log_error("%s: a store answer that nobody asked for", shard->name);
		return NULL;
	}
	struct parked *park = shard->parks[i];

	shard->parks[i] = NULL;
	shard->park_gen[i]++;
	shard->park_next[i] = shard->free_parks;
	shard->free_parks = i + 1;
	if (park->user && park->blocks)
		unblock(park);
	if (park->packet)
		packet_unhold(shard, park->packet);
	return park;
}

void park_free(struct shard *shard, struct parked **park)
{
	struct parked *p = *park;

	*park = NULL;
	if (p->user)
		p->user->pins--;
	packet_drop(&p->packet);
	free(p->state);
	free(p);
	atomic_fetch_sub_explicit(&shard->open_parks, 1, memory_order_relaxed);
}

void park_submit(struct shard *shard, const struct parked *park, struct store_req **req, unsigned flags)
{
	rows_flush(shard);
	store_submit(shard->server->set.store, req, &shard->box, park->token, flags);
}

/* The event, kept as it is. NULL: no memory, or more waits than may. */
static struct parked *park_event(const struct event *ev, resume_fn *fn, bool blocks)
{
	struct shard *shard = ev->shard;
	struct user *u = ev->user;
	struct parked *park = NULL;
	struct packet *kept = NULL;

	if ((ev->packet && !(kept = packet_hold(shard, ev->packet, u && u->draining))) || !(park = park_new(shard, u, blocks))) {
		if (kept)
			packet_unhold(shard, kept);
		packet_drop(&kept);
		return NULL;
	}
	park->packet = kept;
	park->fn = fn;
	park->chain = ev->chain;
	park->at = ev->at;
	park->type = ev->type;
	park->to_self = ev->to_self;
	park->has_session = ev->session != NULL;
	if (ev->session)
		park->session = ev->session->id;
	return park;
}

enum verdict event_ask(struct event *ev, struct store_req **req, resume_fn *fn, unsigned flags, void *state)
{
	struct shard *shard = ev->shard;
	struct parked *park = *req ? park_event(ev, fn, !(flags & ASK_FREE)) : NULL;

	if (!park) {
		store_req_free(req);
		free(state);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	park->state = state;
	park_submit(shard, park, req, (flags & ASK_AFTER_WRITES ? STORE_AFTER_WRITES : 0u) | (flags & ASK_QUIET ? STORE_QUIET : 0u));
	return V_PARKED;
}

/* A note's token is a park like a store answer's. */
static void on_room(struct shard *shard, struct user *u, bool written, uint64_t token)
{
	(void)u, (void)written;
	dispatch_resume(shard, token, NULL);
}

/* Until what was sent to s is written. False: no memory, the park is gone. */
static bool park_until_written(struct session *s, struct parked *park)
{
	struct shard *shard = s->user->owner;

	if (when_written(s, on_room, park->token))
		return true;
	park_take(shard, park->token);
	park_free(shard, &park);
	return false;
}

enum verdict event_await_written(struct event *ev, resume_fn *fn)
{
	struct parked *park = park_event(ev, fn, true);

	return park && park_until_written(ev->session, park) ? V_PARKED : event_error(ev, SE_RESOURCE_CONSTRAINT);
}

static enum verdict go_on(struct event *ev, struct store_req *answer)
{
	(void)ev, (void)answer;
	return V_HANDLED; /* the user's packets do */
}

void user_await_written(struct session *s)
{
	struct parked *park = park_new(s->user->owner, s->user, true);

	if (park) {
		park->fn = go_on;
		(void)park_until_written(s, park);
	}
}

static enum verdict on_quiet_write(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a row could not be written, nor those of others with it (%s)",
			SPAN_ARG(store_req_owner(answer)), store_error(answer));
	(void)ev;
	return V_HANDLED;
}

static void write_for_nobody(struct shard *shard, struct user *u, struct store_req **req, unsigned flags)
{
	struct event ev = { .shard = shard, .user = u };

	if (*req && event_ask(&ev, req, on_quiet_write, ASK_FREE | flags, NULL) != V_PARKED)
		log_limited(LOG_LEVEL_ERROR, "%s: a row could not be written (out of memory)", shard->name);
}

void store_write(struct shard *shard, struct store_req **req)
{
	write_for_nobody(shard, NULL, req, 0);
}

void store_write_of(struct user *u, struct store_req **req)
{
	write_for_nobody(u->owner, u, req, 0);
}

struct store_req *event_rows(struct event *ev)
{
	struct shard *shard = ev->shard;
	struct span owner = user_bare(ev->user);

	if (shard->nrows == ROWS_MAX)
		rows_flush(shard);
	if (shard->rows)
		store_owner(shard->rows, owner);
	else
		shard->rows = store_req_new(owner);
	shard->nrows += shard->rows != NULL;
	return shard->rows;
}

void rows_flush(struct shard *shard)
{
	struct store_req *rows = shard->rows;

	shard->rows = NULL;
	shard->nrows = 0;
	write_for_nobody(shard, NULL, &rows, ASK_QUIET);
}

enum verdict event_store_error(struct event *ev, const struct store_req *answer, const char *what)
{
	log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": %s (%s)", SPAN_ARG(store_req_owner(answer)), what, store_error(answer));
	return event_error(ev, store_status(answer) == STORE_FULL ? SE_RESOURCE_CONSTRAINT : SE_INTERNAL_SERVER_ERROR);
}

SHARD_THREAD_END
