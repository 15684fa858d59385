/* scenario_chat.c - one-to-one messages between random pairs of sessions.
 * Threads: the one thread of the program.
 * Owns: the load, from chat_new() to chat_free().
 */
#include <stdio.h>
#include <stdlib.h>

#include "scenario.h"

struct chat {
	struct load load;
	struct plan plan;
};

static void send_chat(struct load *l, uint32_t i, uint64_t due)
{
	plan_send(&((struct chat *)l)->plan, i, due);
}

static void send_relayed(struct load *l, uint32_t i, uint64_t due)
{
	plan_send_relayed(&((struct chat *)l)->plan, i, due);
}

static bool receive_chat(struct load *l, unsigned link, const struct frame *f)
{
	struct plan *p = &((struct chat *)l)->plan;
	uint32_t i;

	if (!plan_is_mine(p, f, &i))
		return false;
	if (i >= l->sent)
		load_fault(l, FAULT_TWICE, f); /* before it was sent once */
	else if (plan_check(p, l, link, f, i, false))
		load_done(l, p->messages[i].due_ns);
	return true;
}

static void choose(struct plan *p, const struct options *o)
{
	uint64_t seed = o->seed;
	uint32_t n = o->sessions, reach = n - 1;

	if (o->partners && o->partners < reach)
		reach = o->partners;
	for (uint32_t i = 0; i < p->n; i++) {
		struct message *m = &p->messages[i];
		m->from = bench_below(&seed, n);
		m->to = reach ? (uint32_t)(((uint64_t)m->from + 1 + bench_below(&seed, reach)) % n) : m->from;
		m->bare = o->address == ADDRESS_BARE || (o->address == ADDRESS_MIXED && bench_below(&seed, 2));
	}
	plan_link(p);
}

struct load *chat_new(struct sessions *s, uint32_t n)
{
	static const struct load_ops ops = {"chat", send_chat, receive_chat};
	static const struct load_ops relayed = {"chat", send_relayed, receive_chat};
	struct chat *c = bench_calloc(1, sizeof *c);

	c->load.ops = s->peers->opt->relay ? &relayed : &ops;
	c->load.n = n;
	plan_init(&c->plan, s, 'b', n);
	choose(&c->plan, s->peers->opt);
	return &c->load;
}

void chat_free(struct load *l)
{
	struct chat *c = (struct chat *)l;
	plan_free(&c->plan);
	free(c);
}

/* A relay has no sessions: they get ids of the usual length. */
static void pretend(struct sessions *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		char text[48];
		int n = snprintf(text, sizeof text, "%040x", i);
		memcpy(s->v[i].sm, text, (size_t)n);
		s->v[i].sm_len = (uint8_t)n;
	}
}

static void run_chat(struct sessions *s)
{
	const struct options *o = s->peers->opt;

	if (o->relay)
		pretend(s);
	else if (!scenario_begin(s, false))
		return;
	struct load *l = chat_new(s, (uint32_t)o->ops);
	if (scenario_run_one(s, l) && !o->relay)
		scenario_end(s);
	chat_free(l);
}

const struct scenario scenario_chat = {
	.name = "chat", .help = "messages between random pairs of sessions", .run = run_chat};
