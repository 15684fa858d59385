/* world_check.c - what the links of the world were told, held against what may be told to them.
 * Threads: one.
 * Owns: nothing.
 *
 * Every byte passes the gate. A route for a session goes to the link and the c2s that hold it, names a session that was started there,
 * comes before its end, and is addressed to its user. What a client asked is answered once, and by nobody twice.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/link.h"
#include "memory_store.h"
#include "scarce.h"
#include "shard/shard.h"
#include "shardsm/room.h"
#include "world_internal.h"

SHARD_THREAD_BEGIN /* the one thread here is every shard's */

static const char *const user_names[WORLD_USERS] = { "alice", "bob", "carol", "admin" };

static struct seat *seat_of(struct span sm)
{
	for (unsigned i = 0; i < world.nseats; i++)
		if (world.seats[i].sm[0] && span_is(sm, world.seats[i].sm))
			return &world.seats[i];
	return NULL;
}

/* Session control: a start is answered with the session's id, an end with its end. */
static void control_told(struct fake_link *link, const struct route *r, struct span frame)
{
	struct span action = slice_of(frame.p, r->action), c2s = slice_of(frame.p, r->c2s), sm = slice_of(frame.p, r->sm);

	for (unsigned i = 0; i < world.nseats; i++) {
		struct seat *s = &world.seats[i];

		if (!span_is(c2s, s->c2s) || &world.links[s->link] != link)
			continue;
		if (span_is(action, "started") && !s->started && sm.n == SM_ID_HEX && !(r->flags & ROUTE_FAILED)) {
			if (seat_of(sm))
				broken("two sessions have one id");
			memcpy(s->sm, sm.p, SM_ID_HEX);
			s->started = true;
		} else if (span_is(action, "start") && (r->flags & ROUTE_FAILED)) {
			s->lost = true;
		} else if ((span_is(action, "ended") || span_is(action, "replaced")) && span_is(sm, s->sm)) {
			s->ended = true;
		}
	}
}

static void session_told(struct fake_link *link, const struct route *r, struct span frame)
{
	struct span to = slice_of(frame.p, r->stanza_to), sm = slice_of(frame.p, r->sm);
	struct seat *s = seat_of(sm);
	char room[JID_MAX + 1], want[64];
	struct jid jid;

	/* An answer to somebody whose session is unknown: it goes back to where it came from with the ids that it had. */
	if (!s) {
		if (!span_is(slice_of(frame.p, r->stanza_type), "error"))
			broken("a stanza for a session that nobody has: " SPAN_FMT, SPAN_ARG(frame));
		return;
	}
	if (&world.links[s->link] != link)
		broken("a stanza on another link than its session's: " SPAN_FMT, SPAN_ARG(frame));
	if (!span_is(slice_of(frame.p, r->to), link->name))
		broken("a stanza for another c2s than its session's: " SPAN_FMT, SPAN_ARG(frame));
	if (s->ended && !span_is(slice_of(frame.p, r->stanza_type), "error"))
		broken("a stanza behind the end of its session: " SPAN_FMT, SPAN_ARG(frame));
	snprintf(want, sizeof(want), "%s@" WORLD_DOMAIN, user_names[s->user]);
	if ((r->flags & ROUTE_TO) && !world.foreign && !(jid_prep(&jid, to, room) && span_is(jid_bare(&jid), want)))
		broken("a stanza for somebody else: " SPAN_FMT, SPAN_ARG(frame));
}

/* A message goes to a session once, or is stored, or comes back. Who fails to take it out of the store may repeat it. */
static void message_told(struct due *due, const struct route *r, struct span frame)
{
	const struct seat *s = seat_of(slice_of(frame.p, r->sm));
	uint64_t bit = s ? UINT64_C(1) << (s - world.seats) : 0;

	if (span_is(slice_of(frame.p, r->stanza_type), "error")) {
		due->bounced |= s == due->from;
		return;
	}
	if ((due->told & bit) && world.strict && !world.faults)
		broken("told twice: " SPAN_FMT, SPAN_ARG(frame));
	due->told |= bit;
}

static void due_told(const struct route *r, struct span frame)
{
	struct span id = slice_of(frame.p, r->id);

	for (unsigned i = 0; i < world.ndues; i++) {
		struct due *due = &world.dues[i];

		if (!span_is(id, due->id))
			continue;
		if (due->iq && ++due->seen > 1)
			broken("told twice: " SPAN_FMT, SPAN_ARG(frame));
		due->seen += due->message;
		if (due->message)
			message_told(due, r, frame);
	}
}

/* Ids of our own making (16 characters) and of sessions differ from one run to the next. */
static void summarise(const struct fake_link *link, const struct route *r, struct span frame)
{
	struct span id = slice_of(frame.p, r->id);

	buf_str(&world.summary, link->name);
	buf_fmt(&world.summary, " %u ", r->payload);
	buf_put(&world.summary, slice_of(frame.p, r->stanza_type));
	buf_put(&world.summary, slice_of(frame.p, r->action));
	buf_str(&world.summary, " ");
	buf_put(&world.summary, id.n == 16 ? SPAN("ours") : id);
	buf_str(&world.summary, " ");
	buf_put(&world.summary, slice_of(frame.p, r->stanza_to));
	buf_fmt(&world.summary, " %u\n", r->content.len);
}

static void told(struct fake_link *link, struct route *r, struct span frame)
{
	struct buf odd;

	if (r->element == EL_REFUSED)
		broken("%s was told what the gate refuses (%s): " SPAN_FMT, link->name, link->out.error, SPAN_ARG(frame));
	buf_init(&odd);
	if (r->flags & ROUTE_ODD) {
		uint32_t cap = 2 * r->len + 256;

		buf_put(&odd, frame);
		if (!buf_grow(&odd, cap) || !route_mxml(r, odd.p, odd.p + frame.n, cap))
			broken("what %s was told cannot be read: " SPAN_FMT, link->name, SPAN_ARG(frame));
		frame.p = odd.p;
	}
	summarise(link, r, frame);
	if (r->payload == PL_SESSION || r->payload == PL_SESSIONS)
		control_told(link, r, frame);
	else if (r->flags & ROUTE_HAS_SM)
		session_told(link, r, frame);
	if (!(r->error))
		due_told(r, frame);
	buf_free(&odd);
}

void check_told(void)
{
	scarce_pause++;
	for (unsigned i = 0; i < WORLD_LINKS; i++) {
		struct fake_link *link = &world.links[i];
		struct route r;
		size_t used, at = 0;

		for (; at < link->n; at += used) {
			if (route_next(&link->out, link->text + at, link->n - at, &r, &used) != ROUTE_OK)
				broken("%s was told what is no frame (%s): %.*s", link->name, link->out.error ? link->out.error : "unfinished",
					(int)(link->n - at < 2000 ? link->n - at : 2000), link->text + at);
			if (getenv("WORLD_PRINT"))
				fprintf(stderr, "%s < %.*s\n", link->name, (int)r.len, link->text + at + used - r.len);
			told(link, &r, span_of(link->text + at + used - r.len, r.len));
		}
		link->n = 0;
	}
	scarce_pause--;
}

static void stays_loaded(void *item, void *arg)
{
	const struct user *u = item;

	broken("%s: %.*s stays loaded", ((struct shard *)arg)->name, SPAN_ARG(user_bare(u)));
}

static void stays_online(void *item, void *arg)
{
	(void)item;
	broken("%s: somebody stays online", ((struct shard *)arg)->name);
}

static void shard_is_clean(struct shard *shard)
{
	if (shard->open_parks || shard->blocked)
		broken("%s: %u answers are due for ever", shard->name, shard->open_parks);
	index_each(&shard->own_users, stays_loaded, shard);
	index_each(&shard->online, stays_online, shard);
	if (mailbox_load(&shard->box))
		broken("%s: %llu bytes of packets are not accounted for", shard->name, (unsigned long long)mailbox_load(&shard->box));
}

/* Exactly one of: handed to a link, stored, come back. */
static void is_one(const struct due *due)
{
	bool stored = due->message && memory_store_holding(T_QUEUE, span_str(due->id));

	if (due->bounced && (due->told || stored))
		broken("the message %s came back, and is there", due->id);
	if (due->told && stored && world.strict && !world.faults)
		broken("the message %s was handed over, and is stored", due->id);
}

void check_answers(void)
{
	for (unsigned i = 0; i < world.ndues && world.strict; i++) {
		const struct due *due = &world.dues[i];

		if (due->seen || due->from->lost || due->from->ended)
			continue;
		if (due->iq && !(due->addressed && world.deaf))
			broken("the request %s was never answered", due->id);
		if (due->message && !world.faults && !world.deaf && !memory_store_holding(T_QUEUE, span_str(due->id)))
			broken("the message %s is gone", due->id);
	}
}

void check_end(void)
{
	for (unsigned i = 0; i < WORLD_SHARDS; i++)
		shard_is_clean(world.server->shards[i]);
	for (unsigned i = 0; i < WORLD_LINKS; i++)
		if (world.links[i].ob.queued)
			broken("%s: %llu bytes stay in its outbox", world.links[i].name, (unsigned long long)world.links[i].ob.queued);
	for (unsigned i = 0; i < world.ndues; i++)
		is_one(&world.dues[i]);
}

SHARD_THREAD_END
