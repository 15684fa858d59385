/* inspect.c - what an operator asks the shards, and has them do: each answers for its own users.
 * Threads: inspect() is the owning shard's, server_*() any.
 * Owns: nothing; a question comes back as its own answer.
 */
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/room.h"

struct server_load server_load(const struct server *server, uint32_t shard)
{
	struct shard *s = server->shards[shard];

	return (struct server_load){ mailbox_load(&s->box), atomic_load_explicit(&s->open_parks, memory_order_relaxed) };
}

void server_drain(struct server *server)
{
	atomic_store_explicit(&server->draining, true, memory_order_relaxed);
}

static struct server_answer *question_new(const struct server_answer *q, const struct jid *jid)
{
	struct server_answer *a = malloc(sizeof(*a) + (jid ? jid->len : 0));

	if (!a)
		return NULL;
	*a = *q;
	a->letter.kind = LETTER_ASK;
	a->jid.s = NULL;
	buf_init(&a->text);
	if (jid) {
		memcpy(a->room, jid->s, jid->len);
		a->jid = *jid;
		a->jid.s = a->room;
	}
	return a;
}

uint32_t server_ask(struct server *server, const struct server_answer *question, const struct jid *jid)
{
	uint32_t n = server->set.nshards, first = jid ? shard_of(jid_bare(jid), n) : 0, last = jid ? first : n - 1, asked = 0;

	for (uint32_t i = first; i <= last; i++) {
		struct server_answer *a = question_new(question, jid);
		struct letter *l = &a->letter;

		if (!a)
			break; /* what was asked is answered */
		mailbox_post(server->boxes[i], &l);
		asked++;
	}
	return asked;
}

void server_answer_free(struct server_answer *answer)
{
	buf_free(&answer->text);
	free(answer);
}

SHARD_THREAD_BEGIN

static void put_session(struct buf *b, const struct session *s)
{
	buf_fmt(b, SPAN_FMT "  %s, priority %d, at " SPAN_FMT "\n", (int)s->jid_len, s->text,
		session_available(s) ? "available" : "not available", s->priority, (int)s->peer->name_len, s->peer->text);
}

static void list_one(struct session *s, struct server_answer *a)
{
	if (a->count == a->limit) {
		a->left_out++;
		return;
	}
	put_session(&a->text, s);
	a->count++;
}

static bool list(struct session *s, void *arg)
{
	list_one(s, arg);
	return true;
}

static void sessions(struct shard *shard, struct user *u, struct server_answer *a)
{
	if (!a->jid.s) {
		each_session(shard, list, a);
		return;
	}
	for (struct session *s = u ? u->sessions : NULL; s; s = s->next)
		list_one(s, a);
}

static uint32_t requests(const struct user *u)
{
	uint32_t n = 0;

	for (const struct pending *p = user_roster(u)->pending; p; p = p->next)
		n++;
	return n;
}

static void user(struct user *u, struct server_answer *a)
{
	struct buf *b = &a->text;

	if (!u)
		return;
	buf_fmt(b, "account: %s\n", !(u->parts & PART_ACCOUNT) ? "not looked up" : u->exists ? "yes" : "no");
	buf_fmt(b, "in memory:%s%s%s%s\n", u->parts & PART_ACCOUNT ? " account" : "", u->parts & PART_ROSTER ? " roster" : "",
		u->parts & PART_QUEUE ? " queue" : "", u->parts & PART_PRIVACY ? " privacy" : "");
	if (u->parts & PART_ROSTER)
		buf_fmt(b, "roster: %u contacts, %u requests to be answered\n", user_roster(u)->n, requests(u));
	if (u->parts & PART_QUEUE)
		buf_fmt(b, "stored messages: %u\n", u->queued);
	buf_fmt(b, "waiting packets: %u%s\n", u->nwaiting, u->parked ? ", behind one that waits for the database" : "");
	for (struct session *s = u->sessions; s; s = s->next) {
		buf_str(b, "session: ");
		put_session(b, s);
		a->count++;
	}
}

static void kick(struct shard *shard, struct user *u, struct server_answer *a)
{
	struct session *next;

	for (struct session *s = u ? u->sessions : NULL; s; s = next) {
		next = s->next;
		if (jid_has_resource(&a->jid) && !span_eq(span_of(s->text, s->jid_len), jid_full(&a->jid)))
			continue;
		log_notice("session kicked: jid=" SPAN_FMT, (int)s->jid_len, s->text);
		buf_fmt(&a->text, SPAN_FMT "\n", (int)s->jid_len, s->text);
		a->count++;
		control_ended(shard, s, "ended");
		session_end(shard, s);
	}
}

void inspect(struct shard *shard, struct letter *question)
{
	struct server_answer *a = (struct server_answer *)question;
	struct user *u = a->jid.s ? user_find(shard, jid_bare(&a->jid), hash_bytes(jid_bare(&a->jid))) : NULL;

	if (u && shard->gone_peers)
		sessions_reap(u);
	if (a->question == ASK_SESSIONS)
		sessions(shard, u, a);
	else if (a->question == ASK_USER)
		user(u, a);
	else
		kick(shard, u, a);
	if (u)
		user_settle(u);
	mailbox_post(a->to, &question);
}

SHARD_THREAD_END
