/* user.c - users: found, loaded part by part, made to wait in order, let go when nobody needs them.
 * Threads: the owning shard's; online_any() any thread that is registered with RCU.
 * Owns: users, and the packets that wait for them.
 */
#include <stdlib.h>

#include "shard/embedded.h"
#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

struct user *user_find(struct shard *shard, struct span bare, uint64_t hash)
{
	const struct index_slot *at = NULL;
	struct user *u;

	while ((u = index_next(&shard->own_users, hash, &at)))
		if (span_eq(user_bare(u), bare))
			break;
	return u;
}

bool online_any(struct server *server, uint64_t hash)
{
	bool online;

	rcu_enter();
	online = index_has_any(&server->shards[shard_of_tag(hash_tag(hash), server->set.nshards)]->online, hash);
	rcu_leave();
	return online;
}

SHARD_THREAD_BEGIN

bool user_one_available(struct user *u)
{
	if (!u->available && !index_add(&u->owner->online, u->hash, u))
		return false;
	u->available++;
	u->turns++;
	return true;
}

void user_one_unavailable(struct user *u)
{
	u->available--;
	u->turns++;
	if (!u->available)
		index_remove(&u->owner->online, u->hash, u);
}

/* p: what it is needed for; a session that is to start gets its place with its user, if no packet came before. */
static struct user *user_new(struct shard *shard, const struct jid *jid, uint64_t hash, const struct packet *p)
{
	uint32_t most = shard->server->set.tuning.users;
	uint32_t room = p->route.payload == PL_SESSION && jid_has_resource(jid) && p->route.c2s.len <= C2S_ID_MAX ? jid->len + p->route.c2s.len : 0;
	struct user *u;

	if (unlikely(most && stat_left(STAT_USERS_LOADED, STAT_USERS_UNLOADED) >= most)) {
		stat_inc(STAT_LIMIT_USERS);
		return NULL;
	}
	u = calloc(1, room ? sizeof(*u) + sizeof(struct session) + room : sizeof(*u) + jid->bare_len);
	if (!u || !index_add(&shard->own_users, hash, u)) {
		free(u);
		return NULL;
	}
	u->embedded_room = (uint16_t)room;
	u->text_at = (uint8_t)(sizeof(*u) + (room ? offsetof(struct session, text) : 0));
	memcpy((char *)u + u->text_at, jid->s, jid->bare_len);
	if (room)
		embedded_close(user_embedded(u));
	u->bare_len = jid->bare_len;
	u->node_len = jid->node_len;
	u->hash = hash;
	u->owner = shard;
	stat_inc(STAT_USERS_LOADED);
	return u;
}

void user_forget(struct user *u)
{
	roster_free(u);
	for (int i = 0; i < u->owner->server->chains[CHAIN_USER_LOAD].n; i++) {
		const struct module *m = u->owner->server->chains[CHAIN_USER_LOAD].modules[i];

		if (m->user_unload)
			m->user_unload(u);
	}
	free(u->vacation);
	u->vacation = NULL;
	u->parts = 0;
	u->needs = 0;
	u->exists = false;
	u->verified = false;
	u->queued = 0;
	u->flushed = 0;
}

static void user_retire(struct user *u)
{
	struct shard *shard = u->owner;

	index_remove(&shard->own_users, u->hash, u);
	if (u->available) /* there was no memory to say that they left */
		index_remove(&shard->online, u->hash, u);
	stat_inc(STAT_USERS_UNLOADED);
	user_forget(u);
	free(u->counts);
	u->gone_next = shard->gone_users;
	shard->gone_users = u;
}

void users_free_gone(struct shard *shard)
{
	while (shard->gone_users) {
		struct user *u = shard->gone_users;

		shard->gone_users = u->gone_next;
		if (u->embedded_room)
			embedded_open(user_embedded(u));
		free(u);
	}
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void push(struct user *u, struct waiting *w, bool front)
{
	if (u->last) {
		w->next = u->last->next;
		u->last->next = w;
	} else {
		w->next = w;
	}
	if (!front || !u->last)
		u->last = w;
	u->nwaiting++;
}

static struct waiting *take_first(struct user *u)
{
	struct waiting *w = u->last->next;

	if (w == u->last)
		u->last = NULL;
	else
		u->last->next = w->next;
	u->nwaiting--;
	return w;
}

static struct packet *pop(struct user *u)
{
	struct waiting *w = take_first(u);
	struct packet *p = w->packet;

	packet_unhold(u->owner, p);
	free(w);
	return p;
}

void user_wait(struct user *u, struct packet *p)
{
	uint32_t most = u->owner->server->set.tuning.user_queue;
	struct waiting *w = NULL;

	/* What nobody can be told of goes on for as much again. */
	if (u->draining || u->nwaiting / (packet_refusable(p) ? 1 : 2) < most)
		w = malloc(sizeof(*w));
	else
		stat_inc(STAT_LIMIT_USER_QUEUE);
	if (!w || !(w->packet = packet_hold(u->owner, p, u->draining))) {
		free(w);
		reply_condition(u->owner, p, SE_RESOURCE_CONSTRAINT);
		return;
	}
	push(u, w, u->draining); /* then it was at the front already: it stays there */
}

void user_settle(struct user *u)
{
	if (u->draining)
		return;
	while (u->last && !u->parked) {
		struct packet *p = pop(u);

		u->draining = true;
		u->pins++;
		dispatch(u->owner, p);
		u->pins--;
		u->draining = false;
		packet_drop(&p);
	}
	if (!u->sessions && !u->pins && !u->last)
		user_retire(u);
}

/* Packets of a c2s that is gone are forgotten, so that no session starts for nobody. */
void user_peer_lost(struct shard *shard, struct span name, const struct outbox *link)
{
	for (struct parked *park = shard->blocked; park; park = park->blocked_next) {
		struct user *u = park->user;

		if (park->packet && park->packet->stage == STAGE_IN && park->packet->link == link &&
			(!name.n || span_eq(packet_slice(park->packet, park->packet->route.from), name)))
			park->lost = true;
		for (uint32_t n = u->nwaiting; n; n--) {
			struct waiting *w = take_first(u);
			struct packet *p = w->packet;

			if (p->stage != STAGE_IN || p->link != link || !(p->route.flags & (ROUTE_HAS_C2S | ROUTE_HAS_SM)) ||
				(name.n && !span_eq(packet_slice(p, p->route.from), name))) {
				push(u, w, false);
				continue;
			}
			packet_unhold(shard, w->packet);
			packet_drop(&w->packet);
			free(w);
		}
	}
}

static void collect(void *item, void *arg)
{
	struct user *u = item, **list = arg;

	u->gone_next = *list;
	*list = u;
}

static void user_drop(struct shard *shard, struct user *u)
{
	while (u->last) {
		struct packet *p = pop(u);

		packet_drop(&p);
	}
	while (u->sessions)
		session_drop(shard, u->sessions);
	user_retire(u);
}

void users_free(struct shard *shard)
{
	struct user *all = NULL;

	for (uint32_t i = 0; i < shard->nparks; i++) {
		struct parked *park = shard->parks[i];

		if (park)
			park = park_take(shard, park->token);
		if (park)
			park_free(shard, &park);
	}
	index_each(&shard->own_users, collect, &all);
	while (all) {
		struct user *u = all;

		all = u->gone_next;
		user_drop(shard, u);
	}
	sessions_free_gone(shard);
	users_free_gone(shard);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static bool load(struct shard *shard, struct user *u, unsigned parts)
{
	const struct chain_list *list = &shard->server->chains[CHAIN_USER_LOAD];
	struct store_req *req = store_req_new(user_bare(u));
	struct parked *park = req ? park_load(shard, u) : NULL;

	if (!park) {
		store_req_free(&req);
		return false;
	}
	park->parts = (uint8_t)(parts & ~u->parts);
	for (int i = 0; i < list->n; i++) {
		const struct module *m = list->modules[i];

		park->first[i] = m->load_ask && (m->part & park->parts) ? m->load_ask(req) : -1;
	}
	park_submit(shard, park, &req, u->writes ? STORE_AFTER_WRITES : 0);
	return true;
}

/* A module that has to read once more. False: no memory. *more: it is under way. */
static bool load_second(struct shard *shard, const struct parked *park, const struct store_req *answer, bool *more)
{
	const struct chain_list *list = &shard->server->chains[CHAIN_USER_LOAD];
	const struct module *m = NULL;
	struct parked *second;
	struct store_req *req;
	int first = -1;

	for (int i = 0; i < list->n; i++)
		if (list->modules[i]->load_more && park->first[i] >= 0) {
			m = list->modules[i];
			first = park->first[i];
		}
	if (!m)
		return true;
	req = store_req_new(user_bare(park->user));
	if (!req)
		return false;
	void *state = m->load_more(park->user, answer, first, req);

	if (!state) {
		store_req_free(&req);
		return true;
	}
	second = park_load(shard, park->user);
	if (!second) {
		store_req_free(&req);
		free(state);
		return false;
	}
	second->parts = park->parts;
	second->second = m;
	second->state = state;
	*more = true;
	park_submit(shard, second, &req, 0);
	return true;
}

/* What the answer says, in the user. */
static bool load_take(struct shard *shard, struct parked *park, const struct store_req *answer, bool *more)
{
	const struct chain_list *list = &shard->server->chains[CHAIN_USER_LOAD];
	bool ok = true;

	if (park->second)
		return park->second->load_finish(park->user, answer, park->state);
	for (int i = 0; ok && i < list->n; i++)
		if (park->first[i] >= 0)
			ok = list->modules[i]->load_done(park->user, answer, park->first[i]);
	return ok && load_second(shard, park, answer, more);
}

void user_loaded(struct shard *shard, struct parked *park, const struct store_req *answer)
{
	struct user *u = park->user;
	bool more = false, ok = store_status(answer) == STORE_OK && load_take(shard, park, answer, &more);

	if (ok) {
		u->parts |= more ? 0 : park->parts;
		u->exists |= shard->server->everybody;
		return;
	}
	log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": could not be loaded (%s)", SPAN_ARG(user_bare(u)),
		store_status(answer) == STORE_OK ? "out of memory" : store_error(answer));
	/* Everybody who waited for it is told, and the next packet tries again. */
	while (u->last) {
		struct packet *p = pop(u);

		reply_condition(shard, p, store_status(answer) == STORE_FAILED ? SE_INTERNAL_SERVER_ERROR : SE_RESOURCE_CONSTRAINT);
		packet_drop(&p);
	}
}

struct user *user_for(struct shard *shard, const struct jid *jid, unsigned parts, struct packet *p)
{
	struct span bare = jid_bare(jid);
	uint64_t hash = p->hash && span_eq(bare, jid_bare(&p->to)) ? p->hash : hash_bytes(bare);
	struct user *u = user_find(shard, bare, hash);

	assert(hash == hash_bytes(bare));
	if (u && unlikely(shard->gone_peers))
		sessions_reap(u);
	if (u && user_has(u, parts))
		return u;
	if (!u && !(u = user_new(shard, jid, hash, p))) {
		reply_condition(shard, p, SE_RESOURCE_CONSTRAINT);
		return NULL;
	}
	if (!u->parked && (u->draining || !u->last) && !load(shard, u, parts)) {
		reply_condition(shard, p, SE_RESOURCE_CONSTRAINT);
		user_settle(u);
		return NULL;
	}
	user_wait(u, p);
	return NULL;
}

/* --- what modules ask ------------------------------------------------------------------------------------------------- */

struct session *user_session(const struct user *u, struct span resource)
{
	for (struct session *s = u->sessions; s; s = s->next) {
		struct jid j = session_jid(s);

		if (span_eq(jid_resource(&j), resource))
			return s;
	}
	return NULL;
}

struct session *user_top(const struct user *u)
{
	struct session *top = NULL;

	for (struct session *s = u->sessions; s; s = s->next)
		if (session_available(s) && !s->fake && s->priority >= 0 && (!top || s->priority > top->priority))
			top = s;
	return top;
}

SHARD_THREAD_END
