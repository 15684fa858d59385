/* shard.c - the worker threads: take letters in bursts, work, hand everything over, sleep.
 * Threads: shard_main() is the shard's own; server_*() are main's.
 * Owns: the shards and what is in them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shard/shard.h"
#include "shardsm/clock.h"
#include "shardsm/heart.h"
#include "shardsm/log.h"
#include "shardsm/room.h"
#include "shardsm/standstill.h"
#include "shardsm/stats.h"

#define STOP_BURST 256u    /* sessions */
#define GONE_BURST 64u     /* of a c2s that went away, in one turn: what others sent meanwhile waits no longer than for these */

SHARD_THREAD_BEGIN

/* Once for each packet, however often it has to wait. */
static void count_in(const struct packet *p)
{
	if (p->stage != STAGE_IN)
		return;
	stat_inc(STAT_IN + p->route.payload);
	if (unlikely(p->route.payload == PL_SESSION || p->route.payload == PL_SESSIONS))
		control_count(p);
}

static void on_batch(struct shard *shard, struct letter *l, struct ahead *ahead)
{
	struct batch *b = (struct batch *)l;

	for (struct packet *p = batch_first(b); p; p = batch_next(b, p)) {
		ahead_step(ahead);
		count_in(p);
		if (!defer(shard, p))
			dispatch(shard, p);
	}
	batch_free(&b);
}

static void on_peer(struct shard *shard, struct letter *l)
{
	struct peer_gone *gone = (struct peer_gone *)l;

	if (l->kind == LETTER_PEER_GONE) {
		struct span name = span_of(gone->name, gone->name_len);

		defer_end(shard, gone->link);
		user_peer_lost(shard, name, gone->link);
		sessions_peer_gone(shard, name, gone->link);
	}
	chain_component(shard, span_of(gone->name, gone->name_len), gone->link, l->kind == LETTER_PEER_HERE);
	if (gone->link)
		outbox_unref(&gone->link);
	free(gone);
}

/* A note from an outbox: what when_written() asked for. */
struct written {
	struct out_note note;
	struct shard *shard;
	struct user *user; /* pinned; NULL: nobody */
	written_fn *fn;
	uint64_t arg;
};

bool link_when_written(struct shard *shard, struct outbox *link, struct user *u, written_fn *fn, uint64_t arg)
{
	struct written *w = malloc(sizeof(*w));

	if (!w)
		return false;
	*w = (struct written){ .note.letter.kind = LETTER_WRITTEN, .note.to = &shard->box, .shard = shard, .user = u,
		.fn = fn, .arg = arg };
	struct out_note *note = &w->note;

	if (!out_note(shard->out, link, &note)) {
		free(w);
		return false;
	}
	if (u)
		u->pins++;
	atomic_fetch_add_explicit(&shard->open_parks, 1, memory_order_relaxed);
	return true;
}

bool when_written(struct session *s, written_fn *fn, uint64_t arg)
{
	return link_when_written(s->user->owner, s->peer->link, s->user, fn, arg);
}

static void on_written(struct shard *shard, struct letter *l)
{
	struct written *w = (struct written *)l;
	struct user *u = w->user;

	atomic_fetch_sub_explicit(&shard->open_parks, 1, memory_order_relaxed);
	w->fn(shard, u, w->note.written, w->arg);
	free(w);
	if (u) {
		u->pins--;
		user_settle(u);
	}
}

/* A function that another shard wants to be run here. */
struct job {
	struct letter letter;
	void (*fn)(struct shard *here, struct span data);
	uint32_t n;
	char data[];
};

static bool on_shard(struct shard *shard, uint32_t i, void (*fn)(struct shard *here, struct span data), struct span data)
{
	struct job *job = malloc(sizeof(*job) + data.n);

	if (!job)
		return false;
	*job = (struct job){ .letter.kind = LETTER_JOB, .fn = fn, .n = data.n };
	if (data.n)
		memcpy(job->data, data.p, data.n);
	struct letter *l = &job->letter;

	dispatch_tray_post_one(&shard->tray, i);
	mailbox_post(shard->server->boxes[i], &l);
	return true;
}

bool on_every_shard(struct shard *shard, void (*fn)(struct shard *here, struct span data), struct span data)
{
	for (uint32_t i = 0; i < shard->server->set.nshards; i++)
		if (!on_shard(shard, i, fn, data))
			return false;
	return true;
}

bool on_next_shard(struct shard *shard, void (*fn)(struct shard *here, struct span data), struct span data)
{
	return on_shard(shard, (shard->index + 1) % shard->server->set.nshards, fn, data);
}

static void on_job(struct shard *shard, struct letter *l)
{
	struct job *job = (struct job *)l;

	job->fn(shard, span_of(job->data, job->n));
	free(job);
}

bool mail_send(struct shard *shard, struct mail **mail, void (*failed)(struct shard *here, const struct mail *mail))
{
	(*mail)->back = &shard->box;
	(*mail)->failed = failed;
	return mailer_post(shard->server->mailer, mail);
}

static void on_mail(struct shard *shard, struct letter *l)
{
	struct mail *mail = (struct mail *)l;

	mail->failed(shard, mail);
	free(mail);
}

static bool count_left(struct session *s, void *arg)
{
	(void)arg;
	atomic_fetch_add_explicit(&s->user->owner->server->sessions_left, 1, memory_order_relaxed);
	return true;
}

/* A burst of sessions at a time: what they cause in other shards, and the database's answers, come between. */
static void on_stop(struct shard *shard, struct letter *l)
{
	const bool more = sessions_end_some(shard, STOP_BURST);

	if (more && deadline_left(shard->server->stop, ENDED_PERCENT)) {
		mailbox_post(&shard->box, &l);
		return;
	}
	free(l);
	if (more)
		each_session(shard, count_left, NULL);
}

static void on_letter(struct shard *shard, struct letter *l, struct ahead *ahead)
{
	switch (l->kind) {
	case LETTER_BATCH:
		on_batch(shard, l, ahead);
		break;
	case LETTER_STORE:
		dispatch_resume(shard, store_token((struct store_req *)l), (struct store_req *)l);
		break;
	case LETTER_WRITTEN:
		on_written(shard, l);
		break;
	case LETTER_PEER_GONE:
	case LETTER_PEER_HERE:
		on_peer(shard, l);
		break;
	case LETTER_ASK:
		inspect(shard, l);
		break;
	case LETTER_HALT:
		standstill_here(l);
		break;
	case LETTER_JOB:
		on_job(shard, l);
		break;
	case LETTER_ROUND:
		on_round(shard, l);
		break;
	case LETTER_MAIL:
		on_mail(shard, l);
		break;
	case LETTER_STOP:
		on_stop(shard, l);
		break;
	case LETTER_EXIT:
		shard->leaving = true;
		free(l);
		break;
	default:
		log_error("%s: letter of unknown kind %u", shard->name, l->kind);
	}
}

void shard_post_out(struct shard *shard)
{
	rows_flush(shard);
	/* Its own first: what another shard answers to what it is sent now comes behind it. */
	dispatch_tray_post_one(&shard->tray, shard->index);
	dispatch_tray_post(&shard->tray);
	out_flush(shard->out);
}

bool shard_turn(struct shard *shard)
{
	struct letter *last, *l = mailbox_take(&shard->box, &last);
	/* Little is not worth a look at the clock. */
	const uint64_t began = mailbox_load(&shard->box) >= SHARE_LEAST / 2 ? clock_mono_us() : 0;
	uint64_t bytes = 0;
	struct ahead ahead;
	uint32_t packets = 0;

	if (!l && !shard->gone_peers)
		return false;
	ahead_begin(&ahead, shard, l, last);
	while (l) {
		struct letter *next = mailbox_next(l, last);

		if (l->kind == LETTER_BATCH) {
			packets += ((struct batch *)l)->count;
			bytes += ((struct batch *)l)->used;
		}
		on_letter(shard, l, &ahead);
		out_relieve(shard->out);
		l = next;
	}
	stat_burst(packets);
	/* As many as could have been started meanwhile, or they would add up. */
	if (unlikely(shard->gone_peers))
		sessions_end_gone(shard, GONE_BURST + packets);
	shard_post_out(shard);
	shard->fanned_out = 0;
	shard->keeps_up = NULL;
	if (began && bytes)
		mailbox_pace(&shard->box, bytes, clock_mono_us() - began);
	sessions_free_gone(shard);
	users_free_gone(shard);
	atomic_fetch_add_explicit(&shard->turns, 1, memory_order_release);
	rcu_quiet();
	return true;
}

static void *shard_main(void *arg)
{
	struct shard *shard = arg;

	rcu_thread_start();
	stats_thread_start();
	xml_thread_init();
	heart_start(shard->name);
	while (!shard->leaving) {
		heart_beat();
		if (shard_turn(shard))
			continue;
		stat_inc(STAT_SHARD_SLEEPS);
		rcu_sleep();
		mailbox_wait(&shard->box, HEART_MS);
		rcu_wake();
	}
	heart_end();
	rcu_thread_end();
	return NULL;
}

SHARD_THREAD_END

void shard_scanner_ready(struct shard *shard)
{
	/* What is our own was bounded where it came in; a roster of ten thousand items is one stanza all the same. */
	const struct route_limits limits = { .frame_bytes = 1u << 30, .depth = shard->server->set.tuning.limits.depth,
		.attributes = shard->server->set.tuning.limits.attributes, .elements = 1u << 30 };

	route_scanner_begin(&shard->scanner, &limits, false);
}

SHARD_THREAD_BEGIN

struct span fresh_id(struct shard *shard)
{
	struct buf *b = &shard->fresh_id;
	const uint64_t nth[] = { shard->index, ++shard->fresh };

	/* By a key that nobody knows: who has seen one id cannot forge the answer to another. */
	buf_clear(b);
	buf_fmt(b, "%016llx", (unsigned long long)hash_bytes(span_of((const char *)nth, sizeof(nth))));
	return buf_span(b);
}

struct buf *scratch(struct shard *shard, int i)
{
	buf_clear(&shard->scratch[i]);
	return &shard->scratch[i];
}

SHARD_THREAD_END

bool serves_domain(const struct shard *shard, struct span domain)
{
	const struct server_settings *set = &shard->server->set;

	for (uint32_t i = 0; i < set->ndomains; i++)
		if (span_eq(set->domains[i], domain))
			return true;
	return false;
}

bool for_server(const struct shard *shard, const struct jid *to)
{
	return !to->node_len && (serves_domain(shard, jid_domain(to)) || span_eq(jid_domain(to), server_id(shard)));
}

bool shard_is_home(const struct shard *shard, struct span name)
{
	return shard_of(name, shard->server->set.nshards) == shard->index;
}

struct span server_id(const struct shard *shard) { return shard->server->set.id; }
int64_t server_uptime(const struct shard *shard) { return (int64_t)((clock_mono_ms() - shard->server->started_ms) / 1000); }
uint32_t server_shards(const struct shard *shard) { return shard->server->set.nshards; }

static bool shard_init(struct shard *shard, struct server *server, uint32_t i)
{
	no_shard_runs();
	shard->index = i;
	shard->server = server;
	snprintf(shard->name, sizeof(shard->name), "shard %u", i);
	for (int k = 0; k < SCRATCHES; k++)
		buf_init(&shard->scratch[k]);
	buf_init(&shard->wire);
	buf_init(&shard->render);
	buf_init(&shard->reply);
	buf_init(&shard->fresh_id);
	shard->online.shared = true;
	shard->out = out_tray_new();
	shard_scanner_ready(shard);
	return shard->out && fanout_init(shard) &&
		hash_random(&shard->fresh, sizeof(shard->fresh)) && mailbox_init(&shard->box, shard->name);
}

static bool read_options_first(struct server *server)
{
	struct change *change = change_new();
	bool ok = change && server_read_options(server->set.config, change);

	if (ok)
		change_apply(change);
	change_free(&change);
	return ok;
}

void server_retune(struct server *server, const struct server_tuning *tuning)
{
	server->set.tuning = *tuning;
	for (uint32_t i = 0; i < server->set.nshards; i++)
		shard_scanner_ready(server->shards[i]);
}

struct server *server_new(const struct server_settings *settings)
{
	struct server *server = calloc(1, sizeof(*server));
	uint32_t n = settings->nshards;

	if (!server)
		return NULL;
	server->set = *settings;
	server->started_ms = clock_mono_ms();
	server->shards = calloc(n, sizeof(*server->shards));
	server->boxes = calloc(n, sizeof(*server->boxes));
	if (!server->shards || !server->boxes || !read_options_first(server))
		goto fail;
	chains_read(server);
	for (uint32_t i = 0; i < n; i++) {
		server->shards[i] = aligned_alloc(64, (sizeof(struct shard) + 63) & ~(size_t)63);
		if (!server->shards[i])
			goto fail;
		memset(server->shards[i], 0, sizeof(struct shard));
		if (!shard_init(server->shards[i], server, i))
			goto fail;
		server->boxes[i] = &server->shards[i]->box;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!dispatch_tray_init(&server->shards[i]->tray, server->boxes, n))
			goto fail;
	if (chains_mail(server) && !(server->mailer = mailer_open(settings->config, settings->domains[0])))
		server_free(&server); /* why was told */
	return server;
fail:
	log_error("server: cannot start %u shards (out of memory or file descriptors: fewer <workers>, or a higher limit)", n);
	return NULL; /* the process ends: nothing is worth taking apart */
}

bool server_start(struct server *server)
{
	for (uint32_t i = 0; i < server->set.nshards; i++) {
		int error = pthread_create(&server->shards[i]->thread, NULL, shard_main, server->shards[i]);

		if (error) {
			log_error("%s: cannot start its thread (%s)", server->shards[i]->name, strerror(error));
			return false;
		}
		pthread_setname_np(server->shards[i]->thread, server->shards[i]->name);
		heart_await_start();
	}
	return !server->mailer || mailer_start(server->mailer);
}

void server_describe(const struct server *server, char *out, size_t cap)
{
	char mail[512];

	out[0] = '\0';
	if (server->mailer) {
		mailer_describe(server->mailer, mail, sizeof(mail));
		snprintf(out, cap, "mail: %s\n", mail);
	}
}

struct mailbox *const *server_mailboxes(const struct server *server)
{
	return server->boxes;
}

static void post_all(struct server *server, enum letter_kind kind)
{
	for (uint32_t i = 0; i < server->set.nshards; i++) {
		struct letter *l = malloc(sizeof(*l));

		if (!l)
			abort(); /* at the very end, nothing else can be promised */
		l->kind = kind;
		mailbox_post(server->boxes[i], &l);
	}
}

/* True when every shard sleeps with nothing on the way to it and no answer owed to it. turns: how often they had worked. */
static bool all_idle(struct server *server, uint64_t *turns)
{
	*turns = 0;
	for (uint32_t i = 0; i < server->set.nshards; i++) {
		struct shard *shard = server->shards[i];

		*turns += atomic_load_explicit(&shard->turns, memory_order_acquire);
		if (!atomic_load(&shard->box.sleeping) || mailbox_load(&shard->box) ||
			atomic_load_explicit(&shard->open_parks, memory_order_acquire))
			return false;
	}
	return true;
}

/* A shard may hand work to another one while we look: only when nobody worked between two looks is all of it done. */
static bool wait_idle(struct server *server, unsigned percent)
{
	uint64_t before, after;

	while (!all_idle(server, &before) || !all_idle(server, &after) || before != after) {
		if (!deadline_left(server->stop, percent))
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return true;
}

bool server_stop(struct server *server, const struct deadline *deadline)
{
	uint32_t left;
	bool done;

	server->stop = deadline;
	done = wait_idle(server, WORKED_OFF_PERCENT);
	if (!done)
		log_warning("shutting down: not all that was queued could be worked off in time");
	if (server->mailer)
		mailer_stop(server->mailer);
	post_all(server, LETTER_STOP);
	if (!wait_idle(server, ENDED_PERCENT)) {
		log_warning("shutting down: not all that the end of sessions causes could be worked off in time");
		done = false;
	}
	post_all(server, LETTER_EXIT);
	for (uint32_t i = 0; i < server->set.nshards; i++)
		pthread_join(server->shards[i]->thread, NULL);
	if (server->mailer)
		mailer_close(&server->mailer);
	left = atomic_load(&server->sessions_left);
	if (left)
		log_warning("shutting down: %u sessions were not ended in time, their c2s sees the link close", left);
	return done && !left;
}

/* What nobody came for: letters that were posted after the end, answers of a store that was slower than the stop. */
static void drop_letters(struct mailbox *mb)
{
	struct letter *last, *l = mailbox_take(mb, &last), *next;

	for (; l; l = next) {
		next = mailbox_next(l, last);
		if (l->kind == LETTER_STORE) {
			struct store_req *req = (struct store_req *)l;

			store_req_free(&req);
		} else if (l->kind == LETTER_PEER_GONE || l->kind == LETTER_PEER_HERE) {
			struct peer_gone *gone = (struct peer_gone *)l;

			if (gone->link)
				outbox_unref(&gone->link);
			free(gone);
		} else {
			free(l);
		}
	}
}

static void shard_free(struct shard *shard)
{
	no_shard_runs();
	drop_letters(&shard->box);
	deferrals_free(shard);
	users_free(shard);
	peers_free(shard);
	dispatch_tray_fini(&shard->tray);
	out_tray_free(&shard->out);
	drop_letters(&shard->box);
	mailbox_fini(&shard->box);
	for (int k = 0; k < SCRATCHES; k++)
		buf_free(&shard->scratch[k]);
	buf_free(&shard->wire);
	buf_free(&shard->render);
	buf_free(&shard->reply);
	buf_free(&shard->except);
	buf_free(&shard->fresh_id);
	fanout_fini(shard);
	index_fini(&shard->own_users);
	index_fini(&shard->own_sessions);
	index_fini(&shard->online);
	free(shard->parks);
	free(shard->park_next);
	free(shard->park_gen);
}

void server_free(struct server **serverp)
{
	struct server *server = *serverp;

	*serverp = NULL;
	rcu_thread_start();
	for (uint32_t i = 0; i < server->set.nshards; i++)
		shard_free(server->shards[i]);
	rcu_settle(); /* what still waits for its grace period */
	rcu_thread_end();
	for (uint32_t i = 0; i < server->set.nshards; i++)
		free(server->shards[i]);
	free(server->shards);
	free(server->boxes);
	free(server);
}
