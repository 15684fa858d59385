/* scenario_roster.c - rosters asked for; every contact must be in the answer, once, and nobody else.
 * Threads: the one thread of the program.
 * Owns: the load, from roster_new() to roster_free().
 */
#include <stdlib.h>

#include "scenario.h"

struct request {
	uint32_t from;
	bool done;
	uint64_t due_ns;
};

struct rosters {
	struct load load;
	struct sessions *s;
	const struct graph *g;
	struct request *v;
	bool *listed; /* contacts in the answer at hand */
};

static void send_get(struct load *l, uint32_t op, uint64_t due)
{
	struct rosters *r = (struct rosters *)l;
	struct wire *w = session_wire(r->s, r->v[op].from);
	char *start = wire_reserve(w, STANZA_ROOM), *out = stanza_open(r->s, start, r->v[op].from, SPAN("iq"));

	out = text_put(out, SPAN(" type='get'"));
	out = stanza_id(r->s, out, 'r', op);
	out = text_put(out, SPAN("><query xmlns='jabber:iq:roster'/></iq></route>"));
	wire_advance(w, (size_t)(out - start));
	r->v[op].due_ns = due;
}

/* The session number in the jid attribute of the item whose text begins at p; GRAPH_NONE: not a user of ours. */
static uint32_t item_user(const struct rosters *r, const char *p, const char *end)
{
	const char *gt = memchr(p, '>', (size_t)(end - p));
	const char *jid = gt ? memmem(p, (size_t)(gt - p), " jid=", 5) : NULL;
	uint64_t n = 0;

	if (!jid || gt - jid < 11 || memcmp(jid + 6, "user", 4) != 0)
		return GRAPH_NONE;
	for (p = jid + 10; p < gt && *p >= '0' && *p <= '9' && n <= UINT32_MAX; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return *p == '@' && n > 0 && n <= r->s->n ? (uint32_t)(n - 1) : GRAPH_NONE;
}

static bool items_are_contacts(struct rosters *r, struct span content, uint32_t of)
{
	const char *p = content.p, *end = content.p + content.n;
	uint32_t n = 0;

	memset(r->listed, 0, r->g->k);
	while (p < end && (p = memmem(p, (size_t)(end - p), "<item ", 6))) {
		uint32_t who = item_user(r, p, end), which = who == GRAPH_NONE ? GRAPH_NONE : graph_find(r->g, of, who);
		if (which == GRAPH_NONE || r->listed[which])
			return false;
		r->listed[which] = true;
		n++;
		p += 6;
	}
	return n == r->g->k;
}

static bool receive_result(struct load *l, unsigned link, const struct frame *f)
{
	struct rosters *r = (struct rosters *)l;
	uint32_t op;

	if (!tag_is(&f->payload, "iq") || !stanza_id_is(r->s, tag_attr(&f->payload, "id"), 'r', &op) || op >= l->sent)
		return false;
	struct request *v = &r->v[op];
	if (v->done) {
		load_fault(l, FAULT_TWICE, f);
	} else if (!session_is(r->s, link, f, v->from)) {
		load_fault(l, FAULT_MISDELIVERED, f);
	} else if (!span_is(tag_attr(&f->payload, "type"), "result")) {
		load_fault(l, FAULT_BOUNCED, f);
	} else {
		if (!items_are_contacts(r, f->content, v->from))
			load_fault(l, FAULT_ALTERED, f);
		v->done = true;
		load_done(l, v->due_ns);
	}
	return true;
}

struct load *roster_new(struct sessions *s, const struct graph *g, uint32_t n)
{
	static const struct load_ops ops = {"roster-get", send_get, receive_result};
	struct rosters *r = bench_calloc(1, sizeof *r);
	uint64_t seed = s->peers->opt->seed ^ 0x726f7374u;

	r->load.ops = &ops;
	r->load.n = n;
	r->s = s;
	r->g = g;
	r->v = bench_calloc(n, sizeof *r->v);
	r->listed = bench_calloc(g->k, sizeof *r->listed);
	for (uint32_t i = 0; i < n; i++)
		r->v[i].from = bench_below(&seed, g->n);
	return &r->load;
}

void roster_free(struct load *l)
{
	struct rosters *r = (struct rosters *)l;
	free(r->v);
	free(r->listed);
	free(r);
}

static void run_roster(struct sessions *s)
{
	struct graph g;

	if (!scenario_begin(s, false))
		return;
	graph_init(&g, s->peers->opt);
	struct load *l = roster_new(s, &g, (uint32_t)s->peers->opt->ops);
	if (scenario_run_one(s, l))
		scenario_end(s);
	roster_free(l);
	graph_free(&g);
}

const struct scenario scenario_roster = {.name = "roster", .help = "rosters asked for", .run = run_roster};
