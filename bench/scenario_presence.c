/* scenario_presence.c - presence changes over a roster graph: each must come to every contact that is online, once, in
 * the order sent, and to nobody else. Threads: the one thread of the program. Owns: the load, from presence_new() to
 * presence_free().
 */
#include <stdlib.h>

#include "scenario.h"
#include "shardsm/route.h"

#define STATUS_LEN (2 * HEX8) /* the run, the operation */

struct change {
	uint32_t from;
	uint32_t previous; /* the sender's last one before it, PLAN_NONE */
	uint32_t seen;     /* contacts that it came to */
	bool own;          /* it came to the session itself */
	uint64_t due_ns;
};

struct presences {
	struct load load;
	struct sessions *s;
	const struct graph *g;
	struct change *v;
	uint64_t *bits; /* k for each change: the contacts that it came to */
};

static bool test_bit(const struct presences *p, uint32_t op, uint32_t contact)
{
	uint64_t at = (uint64_t)op * p->g->k + contact;
	return p->bits[at / 64] >> at % 64 & 1;
}

static void set_bit(struct presences *p, uint32_t op, uint32_t contact)
{
	uint64_t at = (uint64_t)op * p->g->k + contact;
	p->bits[at / 64] |= (uint64_t)1 << at % 64;
}

static void send_presence(struct load *l, uint32_t op, uint64_t due)
{
	struct presences *p = (struct presences *)l;
	struct sessions *s = p->s;
	struct wire *w = session_wire(s, p->v[op].from);
	char *start = wire_reserve(w, STANZA_ROOM), *out = stanza_open(s, start, p->v[op].from, SPAN("presence"));

	out = text_put(out, op % 2 ? SPAN("><show>away</show><status>") : SPAN("><status>"));
	out = text_put(out, span_of(s->run, HEX8));
	out = text_hex8(out, op);
	out = text_put(out, SPAN("</status></presence></route>"));
	wire_advance(w, (size_t)(out - start));
	p->v[op].due_ns = due;
}

/* Which change is it? */
static bool is_mine(const struct presences *p, const struct frame *f, uint32_t *op)
{
	const struct span open = SPAN("<status>");
	const char *at = f->content.n ? memmem(f->content.p, f->content.n, open.p, open.n) : NULL;

	return tag_is(&f->payload, "presence") && at && f->content.p + f->content.n - at >= open.n + STATUS_LEN &&
	       memcmp(at + open.n, p->s->run, HEX8) == 0 && text_unhex8(at + open.n + HEX8, op) && *op < p->load.sent;
}

static bool receive_presence(struct load *l, unsigned link, const struct frame *f)
{
	struct presences *p = (struct presences *)l;
	uint32_t op, at;

	if (!is_mine(p, f, &op))
		return false;
	struct change *c = &p->v[op];
	if (tag_attr(&f->outer, "error").p || span_is(tag_attr(&f->payload, "type"), "error")) {
		load_fault(l, FAULT_BOUNCED, f);
		return true;
	}
	if (!span_eq(tag_attr(&f->payload, "from"), session_jid(p->s, c->from)))
		load_fault(l, FAULT_FROM, f);
	if (session_is(p->s, link, f, c->from)) {
		if (c->own)
			load_fault(l, FAULT_TWICE, f);
		c->own = true; /* RFC 6121 4.4.2: the user's own sessions see it too, and not every server does that */
		return true;
	}
	uint32_t which =
		session_of(p->s, f, &at) && session_is(p->s, link, f, at) ? graph_find(p->g, c->from, at) : GRAPH_NONE;
	if (which == GRAPH_NONE) {
		load_fault(l, FAULT_MISDELIVERED, f);
		return true;
	}
	if (test_bit(p, op, which)) {
		load_fault(l, FAULT_TWICE, f);
		return true;
	}
	if (tag_attr(&f->payload, "type").p)
		load_fault(l, FAULT_ALTERED, f);
	if (c->previous != PLAN_NONE && !test_bit(p, c->previous, which))
		load_fault(l, FAULT_DISORDER, f);
	set_bit(p, op, which);
	if (++c->seen == p->g->k)
		load_done(l, c->due_ns);
	return true;
}

struct load *presence_new(struct sessions *s, const struct graph *g, uint32_t n)
{
	static const struct load_ops ops = {"presence-change", send_presence, receive_presence};
	struct presences *p = bench_calloc(1, sizeof *p);
	uint64_t seed = s->peers->opt->seed ^ 0x70726573u;
	uint32_t *last = bench_calloc(g->n, sizeof *last); /* change + 1 */

	p->load.ops = &ops;
	p->load.n = n;
	p->s = s;
	p->g = g;
	p->v = bench_calloc(n, sizeof *p->v);
	p->bits = bench_calloc(((uint64_t)n * g->k + 63) / 64, sizeof *p->bits);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = bench_below(&seed, g->n);
		p->v[i].from = from;
		p->v[i].previous = last[from] ? last[from] - 1 : PLAN_NONE;
		last[from] = i + 1;
	}
	free(last);
	return &p->load;
}

void presence_free(struct load *l)
{
	struct presences *p = (struct presences *)l;
	free(p->v);
	free(p->bits);
	free(p);
}

static void run_presence(struct sessions *s)
{
	struct graph g;

	if (!s->peers->opt->contacts)
		bench_die("--scenario presence: needs --contacts N, and users with rosters (--sql prints them)");
	if (!scenario_begin(s, true))
		return;
	graph_init(&g, s->peers->opt);
	struct load *l = presence_new(s, &g, (uint32_t)s->peers->opt->ops);
	if (scenario_run_one(s, l))
		scenario_end(s);
	presence_free(l);
	graph_free(&g);
}

const struct scenario scenario_presence = {
	.name = "presence", .help = "presence changes, each to all contacts of a roster graph", .run = run_presence};
