/* scenario_login.c - a storm of logins: every session starts, sends presence, and ends; and the same as one operation
 * of sessions in turn, while others are held. Threads: the one thread of the program. Owns: the load, from cycle_new()
 * to cycle_free().
 */
#include <stdlib.h>

#include "scenario.h"

struct cycle {
	struct load load;
	struct sessions *s;
	struct range who;
	uint32_t *idle, nidle; /* sessions that are offline now */
	uint64_t *due;         /* of each operation; those from `begun` on wait for a session */
	uint32_t begun;
};

static void begin_waiting(struct cycle *c, uint32_t asked)
{
	while (c->begun < asked && c->nidle) {
		uint32_t i = c->idle[--c->nidle];
		c->s->v[i].sent_ns = c->due[c->begun++];
		c->s->v[i].state = SESSION_NEW;
		session_send_start(c->s, i);
	}
}

static void send_cycle(struct load *l, uint32_t op, uint64_t due)
{
	struct cycle *c = (struct cycle *)l;
	c->due[op] = due;
	begin_waiting(c, op + 1);
}

static bool receive_cycle(struct load *l, unsigned link, const struct frame *f)
{
	struct cycle *c = (struct cycle *)l;
	struct sessions *s = c->s;
	uint32_t i;
	enum session_answer a = session_read(s, link, f, &i);

	if (a == ANSWER_NONE || i < c->who.first || i >= c->who.first + c->who.n)
		return false;
	struct session *v = &s->v[i];
	if (a == ANSWER_STARTED && v->state == SESSION_NEW) {
		v->state = SESSION_STARTED;
		session_send_presence(s, i);
	} else if (a == ANSWER_PRESENT && v->state == SESSION_STARTED) {
		v->state = SESSION_PRESENT;
		session_send_end(s, i);
	} else if (a == ANSWER_ENDED && v->state == SESSION_PRESENT) {
		v->state = SESSION_ENDED;
		load_done(l, v->sent_ns);
		c->idle[c->nidle++] = i;
		begin_waiting(c, l->sent);
	} else {
		load_fault(l, a == ANSWER_REFUSED ? FAULT_BOUNCED : FAULT_TWICE, f);
	}
	return true;
}

struct load *cycle_new(struct sessions *s, struct range who, uint32_t n)
{
	static const struct load_ops ops = {"login", send_cycle, receive_cycle};
	struct cycle *c = bench_calloc(1, sizeof *c);

	c->load.ops = &ops;
	c->load.n = n;
	c->s = s;
	c->who = who;
	c->idle = bench_calloc(who.n, sizeof *c->idle);
	c->due = bench_calloc(n, sizeof *c->due);
	while (c->nidle < who.n) {
		c->idle[c->nidle] = who.first + c->nidle;
		c->nidle++;
	}
	return &c->load;
}

void cycle_free(struct load *l)
{
	struct cycle *c = (struct cycle *)l;
	free(c->idle);
	free(c->due);
	free(c);
}

static void run_login(struct sessions *s)
{
	if (scenario_begin(s, true))
		scenario_end(s);
}

const struct scenario scenario_login = {
	.name = "login", .help = "sessions start, send presence, and end", .run = run_login};
