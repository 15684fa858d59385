/* scenario_iq.c - pings: to the server, which answers, and to the full JID of another session, whose client we are.
 * Threads: the one thread of the program.
 * Owns: the load, from ping_new() to ping_free().
 */
#include <stdlib.h>

#include "scenario.h"

struct ping {
	uint32_t from, to;
	bool asked, done; /* the request reached its session; the answer came back */
	uint64_t due_ns;
};

struct pings {
	struct load load;
	struct sessions *s;
	enum iq_to to;
	char kind; /* of the ids */
	struct ping *v;
};

static void send_ping(struct load *l, uint32_t op, uint64_t due)
{
	struct pings *p = (struct pings *)l;
	struct sessions *s = p->s;
	struct wire *w = session_wire(s, p->v[op].from);
	char *start = wire_reserve(w, STANZA_ROOM), *out = stanza_open(s, start, p->v[op].from, SPAN("iq"));

	out = text_put(out, SPAN(" type='get' to='"));
	out = text_put(out, p->to == IQ_FULL ? session_jid(s, p->v[op].to) : span_str(s->peers->opt->domain));
	*out++ = '\'';
	out = stanza_id(s, out, p->kind, op);
	out = text_put(out, SPAN("><ping xmlns='urn:xmpp:ping'/></iq></route>"));
	wire_advance(w, (size_t)(out - start));
	p->v[op].due_ns = due;
}

/* The client of the session that was asked says that it is there. */
static void answer_ping(struct pings *p, unsigned link, const struct frame *f, uint32_t op)
{
	struct sessions *s = p->s;
	struct ping *v = &p->v[op];

	if (v->asked) {
		load_fault(&p->load, FAULT_TWICE, f);
		return;
	}
	if (!session_is(s, link, f, v->to)) {
		load_fault(&p->load, FAULT_MISDELIVERED, f);
		return;
	}
	if (!span_eq(tag_attr(&f->payload, "from"), session_jid(s, v->from)))
		load_fault(&p->load, FAULT_FROM, f);
	v->asked = true;
	struct wire *w = session_wire(s, v->to);
	char *start = wire_reserve(w, STANZA_ROOM), *out = stanza_open(s, start, v->to, SPAN("iq"));
	out = text_put(out, SPAN(" type='result' to='"));
	out = text_put(out, session_jid(s, v->from));
	*out++ = '\'';
	out = stanza_id(s, out, p->kind, op);
	out = text_put(out, SPAN("/></route>"));
	wire_advance(w, (size_t)(out - start));
}

static void check_answer(struct pings *p, unsigned link, const struct frame *f, uint32_t op)
{
	struct ping *v = &p->v[op];
	struct span from = tag_attr(&f->payload, "from");

	if (v->done) {
		load_fault(&p->load, FAULT_TWICE, f);
		return;
	}
	if (!session_is(p->s, link, f, v->from)) {
		load_fault(&p->load, FAULT_MISDELIVERED, f);
		return;
	}
	if (!span_is(tag_attr(&f->payload, "type"), "result")) {
		load_fault(&p->load, FAULT_BOUNCED, f);
		return;
	}
	if (!span_eq(from, p->to == IQ_FULL ? session_jid(p->s, v->to) : span_str(p->s->peers->opt->domain)))
		load_fault(&p->load, FAULT_FROM, f);
	if (p->to == IQ_FULL && !v->asked)
		load_fault(&p->load, FAULT_DISORDER, f); /* an answer to what was never asked */
	v->done = true;
	load_done(&p->load, v->due_ns);
}

static bool receive_ping(struct load *l, unsigned link, const struct frame *f)
{
	struct pings *p = (struct pings *)l;
	uint32_t op;

	if (!tag_is(&f->payload, "iq") || !stanza_id_is(p->s, tag_attr(&f->payload, "id"), p->kind, &op) ||
		op >= l->sent)
		return false;
	if (span_is(tag_attr(&f->payload, "type"), "get") && p->to == IQ_FULL)
		answer_ping(p, link, f, op);
	else
		check_answer(p, link, f, op);
	return true;
}

struct load *ping_new(struct sessions *s, uint32_t n, enum iq_to to)
{
	static const struct load_ops ops[] = {
		[IQ_SERVER] = {"ping", send_ping, receive_ping}, [IQ_FULL] = {"ping-full", send_ping, receive_ping}};
	const struct options *o = s->peers->opt;
	struct pings *p = bench_calloc(1, sizeof *p);
	uint64_t seed = o->seed ^ 0x70696e67u;

	p->load.ops = &ops[to];
	p->load.n = n;
	p->s = s;
	p->to = to;
	p->kind = to == IQ_FULL ? 'q' : 'p';
	p->v = bench_calloc(n, sizeof *p->v);
	for (uint32_t i = 0; i < n; i++) {
		p->v[i].from = bench_below(&seed, o->sessions);
		p->v[i].to = bench_below(&seed, o->sessions);
	}
	return &p->load;
}

void ping_free(struct load *l)
{
	free(((struct pings *)l)->v);
	free(l);
}

static void run_iq(struct sessions *s)
{
	if (!scenario_begin(s, false))
		return;
	for (enum iq_to to = IQ_SERVER; to <= IQ_FULL; to++) {
		struct load *l = ping_new(s, (uint32_t)s->peers->opt->ops, to);
		bool good = scenario_run_one(s, l);
		ping_free(l);
		if (!good)
			return;
	}
	scenario_end(s);
}

const struct scenario scenario_iq = {
	.name = "iq", .help = "pings to the server, then to other sessions", .run = run_iq};
