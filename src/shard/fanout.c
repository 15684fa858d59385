/* fanout.c - one presence to many of our users: a list of addressees for each shard, and one copy of the stanza with it.
 * Threads: the owning shard's.
 * Owns: the lists of the shard, empty outside of a broadcast.
 *
 * Each addressee still has the stanza to itself: its shard looks it up, runs its chains, asks its privacy lists. What they share is the way
 * there, and the bytes that are the same for all, written once (emit.c). Who is not available hears nothing: whoever comes asks, and what
 * the sender is by then was said before (presence_become()).
 */
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/log.h"

SHARD_THREAD_BEGIN

#define LIST_MOST (32u * 1024) /* bytes; a longer one goes in pieces */
#define FRAME_BYTES 256        /* of what goes to a client, besides its content, about */
#define LIST_FIRST 4096u       /* more than an addressee takes */
_Static_assert(LIST_FIRST > JID_MAX + 64, "room for one");

struct addressee {
	uint64_t hash; /* of the bare JID */
	uint16_t node_len, bare_len, len;
	char text[];
};

static size_t addressee_size(uint32_t len)
{
	return (offsetof(struct addressee, text) + len + 7) & ~(size_t)7;
}

bool fanout_init(struct shard *shard)
{
	shard->lists = calloc(shard->server->set.nshards, sizeof(*shard->lists));
	buf_init(&shard->shared.opening);
	buf_init(&shard->shared.closing);
	buf_init(&shard->shared.head);
	return shard->lists != NULL;
}

void fanout_fini(struct shard *shard)
{
	for (uint32_t i = 0; shard->lists && i < shard->server->set.nshards; i++)
		buf_free(&shard->lists[i]);
	free(shard->lists);
	buf_free(&shard->shared.opening);
	buf_free(&shard->shared.closing);
	buf_free(&shard->shared.head);
}

/* --- from the sender's shard --------------------------------------------------------------------------------------------- */

static bool send_list(struct shard *shard, uint32_t i, struct packet *p)
{
	struct outbox *link = p->link;
	uint8_t stage = p->stage;
	bool ok;

	p->link = NULL;
	p->stage = STAGE_DELIVER;
	ok = tray_packet_to_many(&shard->tray, i, p, buf_span(&shard->lists[i]));
	p->link = link;
	p->stage = stage;
	buf_clear(&shard->lists[i]);
	return ok;
}

/* By itself: what the lists cannot take, and what is not for a user of this server or has to be asked about first. */
static bool alone(const struct shard *shard, const struct jid *to)
{
	const struct user *sender = shard->now ? shard->now->user : NULL;

	return shard->server->set.detour || !to->node_len || !serves_domain(shard, jid_domain(to)) || (sender && sender->privacy);
}

void fanout_count(struct shard *shard, const struct packet *p)
{
	shard->fanned_out += p->route.content.len + p->to.len + FRAME_BYTES;
}

void fanout_add(struct shard *shard, struct packet *p)
{
	struct addressee *a;
	struct buf *list;
	uint64_t hash;
	uint32_t i;

	if (alone(shard, &p->to)) {
		if (presence_worth_sending(shard, &p->to))
			pass_on(shard, p);
		return;
	}
	hash = p->hash ? p->hash : hash_bytes(jid_bare(&p->to));
	if (!online_any(shard->server, hash))
		return;
	i = shard_of_tag(hash_tag(hash), shard->server->set.nshards);
	list = &shard->lists[i];
	size_t size = addressee_size(p->to.len);

	if ((list->n + size > LIST_MOST && list->n && !send_list(shard, i, p)) ||
		(list->cap - list->n < size && !buf_grow(list, LIST_FIRST))) {
		pass_on(shard, p);
		return;
	}
	a = (struct addressee *)(void *)(list->p + list->n);
	*a = (struct addressee){ hash, p->to.node_len, p->to.bare_len, p->to.len };
	memcpy(a->text, p->to.s, p->to.len);
	list->n += (uint32_t)size;
	fanout_count(shard, p);
}

bool fanout_send(struct shard *shard, struct packet *p)
{
	bool ok = true;

	for (uint32_t i = 0; i < shard->server->set.nshards; i++)
		if (shard->lists[i].n)
			ok &= send_list(shard, i, p);
	return ok;
}

/* --- on the addressees' shard --------------------------------------------------------------------------------------------- */

/* u: who was found by the hash alone; NULL: nobody. */
static void deliver_one(struct event *ev, const struct addressee *a, struct user *u)
{
	struct shard *shard = ev->shard;
	struct packet *p = ev->packet;

	if (u && !span_eq(user_bare(u), span_of(a->text, a->bare_len))) /* seldom: another one with that hash stood before it */
		u = user_find(shard, span_of(a->text, a->bare_len), a->hash);
	if (!u || !u->available)
		return;
	p->hash = a->hash;
	p->to = (struct jid){ a->text, a->node_len, a->bare_len, a->len };
	dispatch_to_user(ev, u);
}

void fanout_deliver(struct shard *shard, struct packet *p)
{
	struct span list = packet_list(p);
	const struct addressee *group[BURST_MAX];
	const char *at = list.p, *end = list.p + list.n;
	struct jid from = p->from;
	struct event first;

	event_init(&first, shard, p);
	p->many = 0;
	shard->shared.packet = p;
	buf_clear(&shard->shared.opening);
	while (at < end) {
		uint64_t hashes[BURST_MAX];
		struct user *users[BURST_MAX];
		uint32_t n = 0;

		for (; n < BURST_MAX && at < end; n++) {
			group[n] = (const struct addressee *)(const void *)at;
			hashes[n] = group[n]->hash;
			at += addressee_size(group[n]->len);
		}
		prefetch_users(shard, hashes, users, n);
		for (uint32_t i = 0; i < n; i++) {
			struct event ev = first;

			p->from = from;
			deliver_one(&ev, group[i], users[i]);
		}
		out_relieve(shard->out);
	}
	shard->shared.packet = NULL;
}

SHARD_THREAD_END
