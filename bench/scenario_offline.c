/* scenario_offline.c - messages for users who are away, in bursts; then those users come, and each message must be
 * there, once and in order. Nothing tells a sender that a message is stored. So a burst has a fence behind it, a ping
 * to the same bare JID: what one session sends to one recipient is handled in the order sent, so that its answer, of
 * whatever kind, comes after the burst is dealt with. Threads: the one thread of the program. Owns: the loads, from
 * their new to their free.
 */
#include <stdlib.h>

#include "scenario.h"

#define BURST 10 /* the fence is a small part of it */

struct store {
	struct load load;
	struct plan plan;
	struct range away;
};

static void send_burst(struct load *l, uint32_t op, uint64_t due)
{
	struct store *t = (struct store *)l;
	struct sessions *s = t->plan.sessions;
	const struct message *m = &t->plan.messages[op * BURST];

	for (uint32_t i = 0; i < BURST; i++)
		plan_send(&t->plan, op * BURST + i, due);
	struct wire *w = session_wire(s, m->from);
	char *start = wire_reserve(w, STANZA_ROOM), *out = stanza_open(s, start, m->from, SPAN("iq"));
	out = text_put(out, SPAN(" type='get' to='"));
	out = text_put(out, session_bare(s, m->to));
	*out++ = '\'';
	out = stanza_id(s, out, 'f', op);
	out = text_put(out, SPAN("><ping xmlns='urn:xmpp:ping'/></iq></route>"));
	wire_advance(w, (size_t)(out - start));
}

static bool receive_fence(struct load *l, unsigned link, const struct frame *f)
{
	struct store *t = (struct store *)l;
	uint32_t op;

	if (plan_is_mine(&t->plan, f, &op)) {
		load_fault(l, span_is(tag_attr(&f->payload, "type"), "error") ? FAULT_BOUNCED : FAULT_MISDELIVERED, f);
		return true;
	}
	if (!tag_is(&f->payload, "iq") || !stanza_id_is(t->plan.sessions, tag_attr(&f->payload, "id"), 'f', &op) ||
		op >= l->sent)
		return false;
	if (!session_is(t->plan.sessions, link, f, t->plan.messages[op * BURST].from))
		load_fault(l, FAULT_MISDELIVERED, f);
	load_done(l, t->plan.messages[op * BURST].due_ns);
	return true;
}

struct load *store_new(struct sessions *s, struct range away, uint32_t bursts)
{
	static const struct load_ops ops = {"store", send_burst, receive_fence};
	struct store *t = bench_calloc(1, sizeof *t);
	uint64_t seed = s->peers->opt->seed ^ 0x6f66666cu;

	t->load.ops = &ops;
	t->load.n = bursts;
	t->load.each = BURST;
	t->away = away;
	plan_init(&t->plan, s, 'o', bursts * BURST);
	for (uint32_t i = 0; i < bursts; i++) {
		uint32_t from = bench_below(&seed, s->peers->opt->sessions), to = bench_below(&seed, away.n);
		for (uint32_t k = 0; k < BURST; k++)
			t->plan.messages[i * BURST + k] =
				(struct message){.from = from, .to = away.first + to, .bare = true};
	}
	plan_link(&t->plan);
	return &t->load;
}

void store_free(struct load *l)
{
	struct store *t = (struct store *)l;
	plan_free(&t->plan);
	free(t);
}

/* --- they come
 * ------------------------------------------------------------------------------------------------------------ */

struct flush {
	struct load load;
	struct plan *plan;
	uint32_t *missing; /* of each user's messages, and the answer to what is sent behind the presence */
	struct range away;
	uint32_t next;
};

static void send_arrival(struct load *l, uint32_t op, uint64_t due)
{
	struct flush *t = (struct flush *)l;
	struct sessions *s = t->plan->sessions;

	(void)op;
	while (!t->missing[t->next]) /* as many as operations have some */
		t->next++;
	uint32_t i = t->away.first + t->next++;
	s->v[i].sent_ns = due;
	s->v[i].waiting = true;
	session_send_presence(s, i);
}

static void arrived(struct flush *t, uint32_t user)
{
	if (--t->missing[user - t->away.first] == 0)
		load_done(&t->load, t->plan->sessions->v[user].sent_ns);
}

/* The answer may come in front of the messages, between them or behind. */
static bool receive_stored(struct load *l, unsigned link, const struct frame *f)
{
	struct flush *t = (struct flush *)l;
	struct sessions *s = t->plan->sessions;
	uint32_t i;

	if (plan_is_mine(t->plan, f, &i)) {
		if (plan_check(t->plan, l, link, f, i, true))
			arrived(t, t->plan->messages[i].to);
		return true;
	}
	if (session_read(s, link, f, &i) != ANSWER_PRESENT)
		return false;
	if (s->v[i].waiting)
		arrived(t, i);
	else
		load_fault(l, FAULT_TWICE, f);
	s->v[i].waiting = false;
	return true;
}

static bool flush(struct sessions *s, struct plan *p, struct range away)
{
	static const struct load_ops ops = {"flush", send_arrival, receive_stored};
	struct flush t = {.load.ops = &ops, .plan = p, .away = away};
	uint64_t wanted = p->n;

	t.missing = bench_calloc(away.n, sizeof *t.missing);
	for (uint32_t i = 0; i < p->n; i++)
		t.load.n += t.missing[p->messages[i].to - away.first]++ == 0;
	for (uint32_t i = 0; i < away.n; i++)
		t.missing[i] += t.missing[i] > 0;
	bool good = scenario_run_one(s, &t.load);
	struct phase *phase = t.load.phase;
	for (uint32_t i = 0; i < away.n; i++)
		wanted -= t.missing[i] - s->v[away.first + i].waiting;
	phase->ops = wanted; /* messages, not users */
	free(t.missing);
	for (uint32_t i = away.first; i < away.first + away.n; i++)
		s->v[i].state = SESSION_PRESENT;
	return good;
}

bool offline_arrive(struct sessions *s, struct load *l, struct range away)
{
	struct store *t = (struct store *)l;

	t->plan.n = l->sent * BURST; /* time may have been up */
	return sessions_start(s, away, "start-away") && flush(s, &t->plan, away) && sessions_end(s, away, "end-away");
}

static uint32_t offline_users(const struct options *o)
{
	return o->sessions * 2;
}

static void run_offline(struct sessions *s)
{
	const struct options *o = s->peers->opt;
	struct range away = {o->sessions, o->sessions};

	if (!scenario_begin(s, false))
		return;
	struct load *l = store_new(s, away, (uint32_t)((o->ops + BURST - 1) / BURST));
	bool good = scenario_run_one(s, l) && offline_arrive(s, l, away);
	store_free(l);
	if (good)
		scenario_end(s);
}

const struct scenario scenario_offline = {.name = "offline",
	.help = "messages stored for users who are away, and handed over when they come",
	.users = offline_users,
	.run = run_offline};
