/* session.c - sessions: started, found by their random id, ended on every way of leaving.
 * Threads: the owning shard's.
 * Owns: sessions, and the peers (c2s by name and link) that hold them.
 */
#include <stdlib.h>

#include "shard/embedded.h"
#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

struct session *session_find(struct shard *shard, const struct sm_id *id)
{
	const struct index_slot *at = NULL;
	struct session *s;

	while ((s = index_next(&shard->own_sessions, id->random[0], &at)))
		if (sm_id_same(&s->id, id)) /* every bit is compared, whatever the first ones say */
			break;
	return s && unlikely(shard->gone_peers) && s->peer->gone ? NULL : s;
}

bool peer_is(const struct peer *peer, struct span name, const struct outbox *link)
{
	return peer->link == link && span_eq(span_of(peer->text, peer->name_len), name);
}

static struct peer *peer_of(struct shard *shard, struct span name, struct outbox *link)
{
	struct peer *peer = shard->peers;
	struct buf head;

	while (peer && (peer->gone || !peer_is(peer, name, link)))
		peer = peer->next;
	if (peer)
		return peer;
	buf_init(&head);
	buf_str(&head, "<route xmlns='" NS_COMPONENT "'");
	buf_attr(&head, "to", name);
	buf_str(&head, " from='");
	peer = head.failed ? NULL : malloc(sizeof(*peer) + name.n + head.n);
	if (peer) {
		*peer = (struct peer){ .next = shard->peers, .link = link, .name_len = name.n, .head_len = head.n };
		memcpy(peer->text, name.p, name.n);
		memcpy(peer->text + name.n, head.p, head.n);
		outbox_ref(link);
		shard->peers = peer;
	}
	buf_free(&head);
	return peer;
}

static void peer_free(struct peer **at)
{
	struct peer *peer = *at;

	*at = peer->next;
	outbox_unref(&peer->link);
	free(peer);
}

static void lifecycle(struct shard *shard, struct session *s, enum chain chain)
{
	const struct chain_list *list = &shard->server->chains[chain];
	struct event ev = { .shard = shard, .user = s->user, .session = s, .chain = chain };

	for (int i = 0; i < list->n; i++) {
		void (*hook)(struct event *) = chain == CHAIN_SESS_START ? list->modules[i]->sess_start : list->modules[i]->sess_end;

		if (hook)
			hook(&ev);
	}
	event_fini(&ev);
}

/* In its user's memory, if there is room for so much text and no session is there. */
static struct session *allocate(struct user *u, size_t text)
{
	struct session *s = user_embedded(u);

	if (u->embedded_used || text > u->embedded_room) {
		s = calloc(1, sizeof(*s) + text);
	} else {
		embedded_open(s);
		memset(s, 0, offsetof(struct session, text)); /* its text begins with the user's */
		s->embedded = u->embedded_used = true;
	}
	if (s)
		s->user = u;
	return s;
}

static void session_free(struct session *s)
{
	if (!s)
		return;
	free(s->presence);
	session_extra_free(s);
	if (s->embedded) {
		s->user->embedded_used = false;
		embedded_close(s);
	} else {
		free(s);
	}
}

static struct session *session_new(struct shard *shard, struct user *u, const struct packet *p)
{
	struct span c2s = packet_slice(p, p->route.c2s);
	struct peer *peer = peer_of(shard, packet_slice(p, p->route.from), p->link);
	struct session *s = peer ? allocate(u, p->to.len + c2s.n) : NULL;

	if (!s || !sm_id_new(&s->id, hash_tag(u->hash)) || !index_add(&shard->own_sessions, s->id.random[0], s)) {
		session_free(s);
		return NULL;
	}
	s->peer = peer;
	s->jid_len = p->to.len;
	s->c2s_len = (uint8_t)c2s.n;
	memcpy(s->text, p->to.s, p->to.len);
	memcpy(s->text + p->to.len, c2s.p, c2s.n);
	s->plain = text_plain(span_of(s->text, s->jid_len + c2s.n));
	s->fake = c2s.n >= 3 && memcmp(c2s.p, "PBX", 3) == 0;
	return s;
}

struct session *session_start(struct shard *shard, struct user *u, const struct packet *p)
{
	struct session *s = session_new(shard, u, p), **at = &u->sessions;

	if (!s)
		return NULL;
	while (*at)
		at = &(*at)->next;
	*at = s;
	s->peer_next = s->peer->sessions;
	s->peer_at = &s->peer->sessions;
	if (s->peer_next)
		s->peer_next->peer_at = &s->peer_next;
	s->peer->sessions = s;
	lifecycle(shard, s, CHAIN_SESS_START);
	stat_inc(STAT_SESSIONS_STARTED);
	return s;
}

/* Whoever is at work in this turn may still hold it. */
static void free_later(struct shard *shard, struct session *s)
{
	s->peer_next = shard->gone_sessions;
	shard->gone_sessions = s;
}

void sessions_free_gone(struct shard *shard)
{
	while (shard->gone_sessions) {
		struct session *s = shard->gone_sessions;

		shard->gone_sessions = s->peer_next;
		session_free(s);
	}
}

void session_end(struct shard *shard, struct session *s)
{
	struct user *u = s->user;
	struct session **at = &u->sessions;
	const struct event *before = shard->now, leaving = { .shard = shard, .user = u, .session = s };

	s->ended = true; /* its client is gone: it hears nothing more */
	shard->now = &leaving;
	presence_leave(s, (struct span){ 0 }, (struct span){ 0 });
	shard->now = before;
	lifecycle(shard, s, CHAIN_SESS_END);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next; /* s goes on pointing there for whoever walks them */
	*s->peer_at = s->peer_next;
	if (s->peer_next)
		s->peer_next->peer_at = s->peer_at;
	stat_inc(STAT_SESSIONS_ENDED);
	if (!s->replaced)
		log_notice("session ended: jid=" SPAN_FMT, (int)s->jid_len, s->text);
	if (!s->replaced && !u->sessions)
		log_notice("user unloaded jid=" SPAN_FMT, SPAN_ARG(user_bare(u)));
	index_remove(&shard->own_sessions, s->id.random[0], s);
	free_later(shard, s);
}

void session_drop(struct shard *shard, struct session *s)
{
	s->user->sessions = s->next;
	index_remove(&shard->own_sessions, s->id.random[0], s);
	free_later(shard, s);
}

static void end_one(struct shard *shard, struct session *s, bool tell)
{
	struct user *u = s->user;

	if (tell)
		control_ended(shard, s, "ended");
	session_end(shard, s);
	user_settle(u);
}

void sessions_peer_gone(struct shard *shard, struct span name, struct outbox *link)
{
	for (struct peer *peer = shard->peers; peer; peer = peer->next) {
		if (peer->gone || peer->link != link || (name.n && !peer_is(peer, name, link)))
			continue;
		peer->gone = true;
		shard->gone_peers++;
	}
}

void sessions_end_gone(struct shard *shard, uint32_t n)
{
	struct peer **at = &shard->peers;

	while (*at) {
		struct peer *peer = *at;

		for (; peer->gone && peer->sessions && n; n--)
			end_one(shard, peer->sessions, false);
		if (peer->gone && !peer->sessions) {
			shard->gone_peers--;
			peer_free(at);
		} else {
			at = &peer->next;
		}
	}
}

void sessions_reap(struct user *u)
{
	struct session *next;

	for (struct session *s = u->sessions; s; s = next) {
		next = s->next;
		if (s->peer->gone)
			session_end(u->owner, s);
	}
}

bool sessions_end_some(struct shard *shard, uint32_t n)
{
	for (struct peer *peer = shard->peers; peer; peer = peer->next) {
		while (peer->sessions && n) {
			end_one(shard, peer->sessions, true);
			n--;
		}
		if (peer->sessions)
			return true;
	}
	return false;
}

void peers_free(struct shard *shard)
{
	while (shard->peers)
		peer_free(&shard->peers);
}

uint64_t session_room(const struct session *s)
{
	return outbox_room(s->peer->link) / s->user->owner->server->set.nshards;
}

void each_session(struct shard *shard, bool (*fn)(struct session *s, void *arg), void *arg)
{
	for (struct peer *peer = shard->peers; peer; peer = peer->next)
		for (struct session *s = peer->gone ? NULL : peer->sessions; s; s = s->peer_next)
			if (!fn(s, arg))
				return;
}

SHARD_THREAD_END
