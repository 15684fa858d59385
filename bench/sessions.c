/* sessions.c - the population: names, ids, and what is said in a session's name.
 * Threads: the one thread of the program.
 * Owns: see sessions.h.
 * Source: jabberd2 session protocol 1.0.
 */
#include "sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "shardsm/route.h"

#define PRESENT_ID "present"

void sessions_init(struct sessions *s, struct peers *peers, struct report *report, uint32_t n)
{
	size_t each = strlen(peers->opt->domain) + 18, used = 0;
	uint32_t run;

	*s = (struct sessions){.peers = peers, .report = report, .n = n};
	s->v = bench_calloc(n, sizeof *s->v);
	s->text = bench_calloc(n, each);
	for (uint32_t i = 0; i < n; i++) {
		int len = snprintf(s->text + used, each, "user%u@%s/r", i + 1, peers->opt->domain);
		s->v[i].jid = (uint32_t)used;
		s->v[i].jid_len = (uint16_t)len;
		s->v[i].bare_len = (uint16_t)(len - 2);
		used += (size_t)len;
	}
	if (getrandom(&run, sizeof run, 0) != sizeof run)
		bench_die("the kernel gives no random bytes (%m)");
	text_hex8(s->run, run);
}

void sessions_free(struct sessions *s)
{
	free(s->v);
	free(s->text);
	*s = (struct sessions){0};
}

bool session_of(const struct sessions *s, const struct frame *f, uint32_t *i)
{
	struct span c2s = tag_session(&f->payload, "c2s");
	uint64_t v = 0;

	for (uint32_t k = 0; k < c2s.n; k++) {
		if (c2s.p[k] < '0' || c2s.p[k] > '9' || v > UINT32_MAX)
			return false;
		v = v * 10 + (uint64_t)(c2s.p[k] - '0');
	}
	if (v == 0 || v > s->n)
		return false;
	*i = (uint32_t)(v - 1);
	return true;
}

bool session_is(const struct sessions *s, unsigned link, const struct frame *f, uint32_t i)
{
	uint32_t at;
	return session_of(s, f, &at) && at == i && link == session_link(s, i) &&
	       span_eq(tag_session(&f->payload, "sm"), session_sm(s, i));
}

static void render_heads(struct sessions *s)
{
	for (unsigned i = 0; i < s->peers->n; i++) {
		int n = snprintf(s->heads[i], sizeof s->heads[i], "<route xmlns='" NS_COMPONENT "' to='%s' from='%s'>",
			s->sm_name, s->peers->links[i].name);
		if (n < 0 || (size_t)n >= sizeof s->heads[i])
			bench_die("component names too long");
		s->head_len[i] = (uint32_t)n;
	}
}

char *stanza_open(const struct sessions *s, char *p, uint32_t i, struct span name)
{
	unsigned link = session_link(s, i);

	p = text_put(p, span_of(s->heads[link], s->head_len[link]));
	*p++ = '<';
	p = text_put(p, name);
	p = text_put(p, SPAN(" xmlns='" NS_CLIENT "' xmlns:sc='" NS_SESSION "' sc:c2s='"));
	p = text_uint(p, i + 1);
	p = text_put(p, SPAN("' sc:sm='"));
	p = text_put(p, session_sm(s, i));
	*p++ = '\'';
	return p;
}

char *stanza_id(const struct sessions *s, char *p, char kind, uint32_t op)
{
	p = text_put(p, SPAN(" id='"));
	*p++ = kind;
	p = text_put(p, span_of(s->run, HEX8));
	p = text_hex8(p, op);
	*p++ = '\'';
	return p;
}

bool stanza_id_is(const struct sessions *s, struct span id, char kind, uint32_t *op)
{
	return id.n == STANZA_ID && id.p[0] == kind && memcmp(id.p + 1, s->run, HEX8) == 0 &&
	       text_unhex8(id.p + 1 + HEX8, op);
}

static void send_control(struct sessions *s, uint32_t i, const char *action, struct span target)
{
	struct peer_link *l = &s->peers->links[session_link(s, i)];

	wire_printf(&l->wire,
		"<route xmlns='" NS_COMPONENT "' to='%s' from='%s'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%u' action='%s' target='" SPAN_FMT "' id='b%u'/></route>",
		s->peers->opt->domain, l->name, i + 1, action, SPAN_ARG(target), i + 1);
}

void session_send_start(struct sessions *s, uint32_t i)
{
	send_control(s, i, "start", session_jid(s, i));
}

/* Not every server shows a session its own presence (jabberd2's does not), so a ping in the same route order says when
 * the presence was dealt with: what one session sends is handled in the order sent. */
void session_send_presence(struct sessions *s, uint32_t i)
{
	struct wire *w = session_wire(s, i);
	char *start = wire_reserve(w, 2 * STANZA_ROOM), *p = stanza_open(s, start, i, SPAN("presence"));

	p = text_put(p, SPAN("/></route>"));
	p = stanza_open(s, p, i, SPAN("iq"));
	p = text_put(p, SPAN(" type='get' id='" PRESENT_ID "' to='"));
	p = text_put(p, span_str(s->peers->opt->domain));
	p = text_put(p, SPAN("'><ping xmlns='urn:xmpp:ping'/></iq></route>"));
	wire_advance(w, (size_t)(p - start));
}

void session_send_end(struct sessions *s, uint32_t i)
{
	struct peer_link *l = &s->peers->links[session_link(s, i)];

	wire_printf(&l->wire,
		"<route xmlns='" NS_COMPONENT "' to='%s' from='%s'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%u' sc:sm='" SPAN_FMT "' action='end'/></route>",
		s->sm_name, l->name, i + 1, SPAN_ARG(session_sm(s, i)));
}

static void learn_sm(struct sessions *s, uint32_t i, const struct frame *f)
{
	struct span sm = tag_session(&f->payload, "sm"), from = tag_attr(&f->outer, "from");

	if (sm.n == 0 || sm.n > SM_ID_MAX)
		bench_die("a session was started with an sm id of %u bytes", sm.n);
	memcpy(s->v[i].sm, sm.p, sm.n);
	s->v[i].sm_len = (uint8_t)sm.n;
	if (!s->sm_name[0] && from.n && from.n < PEER_NAME) {
		snprintf(s->sm_name, PEER_NAME, SPAN_FMT, SPAN_ARG(from));
		render_heads(s);
	}
	if (!span_is(from, s->sm_name))
		bench_die("sessions are answered by both %s and " SPAN_FMT, s->sm_name, SPAN_ARG(from));
}

enum session_answer session_read(struct sessions *s, unsigned link, const struct frame *f, uint32_t *i)
{
	struct span action = tag_attr(&f->payload, "action");

	if (!session_of(s, f, i) || session_link(s, *i) != link)
		return ANSWER_NONE;
	if (tag_is(&f->payload, "iq") && span_is(tag_attr(&f->payload, "id"), PRESENT_ID))
		return ANSWER_PRESENT;
	if (!tag_is(&f->payload, "session"))
		return ANSWER_NONE;
	if (tag_session(&f->payload, "failed").p)
		return ANSWER_REFUSED;
	if (span_is(action, "started")) {
		learn_sm(s, *i, f);
		return ANSWER_STARTED;
	}
	return span_is(action, "ended") ? ANSWER_ENDED : span_is(action, "created") ? ANSWER_CREATED : ANSWER_NONE;
}

/* --- a step of many sessions
 * ---------------------------------------------------------------------------------------------- */

#define WINDOW_MAX 500 /* session control is served more slowly than messages: a longer queue shows nothing */

struct step {
	struct load load;
	struct sessions *s;
	enum session_state from, ok, refused;
	enum session_answer answer;
	uint32_t next; /* session to look at next */
};

static void send_create(struct sessions *s, uint32_t i)
{
	send_control(s, i, "create", session_bare(s, i));
}

static void send_step(struct load *l, uint32_t op, uint64_t due)
{
	struct step *t = (struct step *)l;
	struct sessions *s = t->s;

	(void)op;
	while (s->v[t->next].state != t->from) /* as many as operations are in it */
		t->next++;
	uint32_t i = t->next++;
	switch (t->answer) {
	case ANSWER_STARTED:
		session_send_start(s, i);
		break;
	case ANSWER_CREATED:
		send_create(s, i);
		break;
	case ANSWER_PRESENT:
		session_send_presence(s, i);
		break;
	default:
		session_send_end(s, i);
	}
	s->v[i].waiting = true;
	s->v[i].sent_ns = due;
}

static bool receive_step(struct load *l, unsigned link, const struct frame *f)
{
	struct step *t = (struct step *)l;
	struct sessions *s = t->s;
	uint32_t i;
	enum session_answer a = session_read(s, link, f, &i);

	if (a == ANSWER_NONE) {
		if (tag_is(&f->payload, "session") || tag_attr(&f->outer, "error").p)
			load_fault(l, tag_attr(&f->outer, "error").p ? FAULT_BOUNCED : FAULT_MISDELIVERED, f);
		return false;
	}
	if (!s->v[i].waiting || (a != t->answer && a != ANSWER_REFUSED)) {
		load_fault(l, FAULT_TWICE, f);
		return true;
	}
	s->v[i].waiting = false;
	s->v[i].state = (uint8_t)(a == ANSWER_REFUSED ? t->refused : t->ok);
	l->phase->failed += a == ANSWER_REFUSED;
	load_done(l, s->v[i].sent_ns);
	return true;
}

static uint32_t count_state(const struct sessions *s, struct range r, enum session_state state)
{
	uint32_t n = 0;
	for (uint32_t i = r.first; i < r.first + r.n; i++)
		n += s->v[i].state == state;
	return n;
}

static bool run_step(struct sessions *s, struct range r, const char *phase, struct step t)
{
	const struct options *opt = s->peers->opt;
	const struct load_ops ops = {phase, send_step, receive_step};
	struct load *loads[] = {&t.load};

	t.s = s;
	t.next = r.first;
	t.load.ops = &ops;
	t.load.n = count_state(s, r, t.from);
	struct flow f = {.name = phase,
		.peers = s->peers,
		.report = s->report,
		.loads = loads,
		.nloads = 1,
		.window = opt->window < WINDOW_MAX ? opt->window : WINDOW_MAX,
		.rate = opt->login_rate};
	return flow_run(&f);
}

bool sessions_start(struct sessions *s, struct range r, const char *phase)
{
	struct step start = {
		.from = SESSION_NEW, .ok = SESSION_STARTED, .refused = SESSION_REFUSED, .answer = ANSWER_STARTED};
	struct step create = {
		.from = SESSION_REFUSED, .ok = SESSION_CREATED, .refused = SESSION_CREATED, .answer = ANSWER_CREATED};

	if (!phase)
		phase = "start";
	for (uint32_t i = r.first; i < r.first + r.n; i++)
		s->v[i].state = SESSION_NEW;
	if (!run_step(s, r, phase, start))
		return false;
	if (count_state(s, r, SESSION_REFUSED)) {
		start.from = SESSION_CREATED;
		if (!run_step(s, r, "create", create) || !run_step(s, r, phase, start))
			return false;
	}
	uint32_t missing = r.n - count_state(s, r, SESSION_STARTED);
	if (missing)
		report_fail(s->report, "start: %u of %u sessions refused, with their users created", missing, r.n);
	return missing == 0;
}

bool sessions_presence(struct sessions *s, struct range r, const char *phase)
{
	return run_step(s, r, phase ? phase : "presence",
		(struct step){.from = SESSION_STARTED,
			.ok = SESSION_PRESENT,
			.refused = SESSION_STARTED,
			.answer = ANSWER_PRESENT});
}

bool sessions_end(struct sessions *s, struct range r, const char *phase)
{
	for (uint32_t i = r.first; i < r.first + r.n; i++)
		if (s->v[i].state == SESSION_PRESENT)
			s->v[i].state = SESSION_STARTED;
	return run_step(s, r, phase ? phase : "end",
		(struct step){.from = SESSION_STARTED,
			.ok = SESSION_ENDED,
			.refused = SESSION_ENDED,
			.answer = ANSWER_ENDED});
}
