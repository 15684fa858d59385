/* sessions.c - session control in a window, one step at a time.
 * Threads: the one thread of the program.
 * Owns: see sessions.h.
 * Source: jabberd2 session protocol 1.0.
 */
#include "sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "shardsm/route.h"

#define QUIET_NS 100000000 /* no bytes for so long: settled */
#define WINDOW_MAX 500     /* session control is served more slowly than messages: a longer queue shows nothing */

struct step {
	const char *phase;
	const char *action, *answer; /* NULL: a stanza, not session control */
	enum session_state from, ok, refused;
};

static const struct step step_start = {"start", "start", "started", SESSION_NEW, SESSION_STARTED, SESSION_REFUSED};
static const struct step step_create = {
	"create", "create", "created", SESSION_REFUSED, SESSION_CREATED, SESSION_CREATED};
static const struct step step_restart = {
	"start", "start", "started", SESSION_CREATED, SESSION_STARTED, SESSION_REFUSED};
static const struct step step_presence = {"presence", NULL, NULL, SESSION_STARTED, SESSION_PRESENT, SESSION_STARTED};
static const struct step step_end = {"end", "end", "ended", SESSION_STARTED, SESSION_ENDED, SESSION_ENDED};

struct round {
	struct sessions *s;
	const struct step *step;
	struct phase *phase;
	uint32_t next, under_way;
};

void sessions_init(struct sessions *s, struct peers *peers, struct report *report, uint32_t n)
{
	size_t each = strlen(peers->opt->domain) + 18, used = 0;

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

/* Not every server shows a session its own presence (jabberd2's does not), so a ping in the same route order says when
 * the presence was dealt with: what one session sends is handled in the order sent. */
static void send_presence(struct round *r, uint32_t i)
{
	struct sessions *s = r->s;
	struct peer_link *l = &s->peers->links[session_link(s, i)];
	struct span sm = session_sm(s, i);

	wire_printf(&l->wire,
		"<presence xmlns='" NS_CLIENT "' xmlns:sc='" NS_SESSION "' sc:c2s='%u' sc:sm='" SPAN_FMT "'/></route>",
		i + 1, SPAN_ARG(sm));
	wire_printf(&l->wire,
		"<route xmlns='" NS_COMPONENT "' to='%s' from='%s'><iq xmlns='" NS_CLIENT "' xmlns:sc='" NS_SESSION
		"' type='get' to='%s' id='present' sc:c2s='%u' sc:sm='" SPAN_FMT "'><ping xmlns='urn:xmpp:ping'/></iq>",
		s->sm_name, l->name, s->peers->opt->domain, i + 1, SPAN_ARG(sm));
}

static void send_step(struct round *r, uint32_t i)
{
	struct sessions *s = r->s;
	struct peer_link *l = &s->peers->links[session_link(s, i)];
	const char *domain = s->peers->opt->domain, *action = r->step->action;
	struct span target = r->step == &step_create ? session_bare(s, i) : session_jid(s, i);
	const char *to = r->step->from < SESSION_STARTED ? domain : s->sm_name;

	wire_printf(&l->wire, "<route xmlns='" NS_COMPONENT "' to='%s' from='%s'>", to, l->name);
	if (!action)
		send_presence(r, i);
	else if (r->step == &step_end)
		wire_printf(&l->wire,
			"<sc:session xmlns:sc='" NS_SESSION "' sc:c2s='%u' sc:sm='" SPAN_FMT "' action='end'/>", i + 1,
			SPAN_ARG(session_sm(s, i)));
	else
		wire_printf(&l->wire,
			"<sc:session xmlns:sc='" NS_SESSION "' sc:c2s='%u' action='%s' target='" SPAN_FMT
			"' id='b%u'/>",
			i + 1, action, SPAN_ARG(target), i + 1);
	wire_put(&l->wire, SPAN("</route>"));
	s->v[i].waiting = true;
	s->v[i].sent_ns = bench_now();
}

static void learn_sm(struct sessions *s, uint32_t i, const struct frame *f)
{
	struct span sm = tag_session(&f->payload, "sm"), from = tag_attr(&f->outer, "from");

	if (sm.n == 0 || sm.n > SM_ID_MAX)
		bench_die("a session was started with an sm id of %u bytes", sm.n);
	memcpy(s->v[i].sm, sm.p, sm.n);
	s->v[i].sm_len = (uint8_t)sm.n;
	if (!s->sm_name[0] && from.n && from.n < PEER_NAME)
		snprintf(s->sm_name, PEER_NAME, SPAN_FMT, SPAN_ARG(from));
	if (!span_is(from, s->sm_name))
		bench_die("sessions are answered by both %s and " SPAN_FMT, s->sm_name, SPAN_ARG(from));
}

/* Is this the answer that its session waits for? */
static bool answers(const struct round *r, const struct frame *f, bool *refused)
{
	const struct step *step = r->step;
	struct span action = tag_attr(&f->payload, "action");

	*refused = false;
	if (!step->action)
		return tag_is(&f->payload, "iq") && span_is(tag_attr(&f->payload, "id"), "present");
	if (!tag_is(&f->payload, "session"))
		return false;
	*refused = tag_session(&f->payload, "failed").p != NULL && span_is(action, step->action);
	return *refused || span_is(action, step->answer);
}

static void on_route(void *arg, unsigned link, const struct frame *f)
{
	struct round *r = arg;
	struct sessions *s = r->s;
	bool refused;
	uint32_t i;

	if (!session_of(s, f, &i) || session_link(s, i) != link || !s->v[i].waiting || !answers(r, f, &refused)) {
		s->strays++;
		return;
	}
	s->v[i].waiting = false;
	r->under_way--;
	latency_add(&r->phase->latency, bench_now() - s->v[i].sent_ns);
	r->phase->ops++;
	r->phase->failed += refused;
	s->v[i].state = (uint8_t)(refused ? r->step->refused : r->step->ok);
	if (s->v[i].state == SESSION_STARTED)
		learn_sm(s, i, f);
}

static void top_up(struct round *r, uint32_t window)
{
	struct sessions *s = r->s;

	for (; r->under_way < window && r->next < s->n; r->next++) {
		if (s->v[r->next].state != r->step->from)
			continue;
		send_step(r, r->next);
		r->under_way++;
	}
}

/* The answers that never came. -1: a link is lost. */
static long run_round(struct sessions *s, const struct step *step)
{
	const struct options *opt = s->peers->opt;
	struct round r = {.s = s, .step = step};
	uint32_t window = opt->window < WINDOW_MAX ? opt->window : WINDOW_MAX;
	uint64_t last = bench_now(), shown = last;
	long n = 0;

	r.phase = report_begin(s->report, step->phase);
	for (;;) {
		top_up(&r, window);
		if (r.under_way == 0 && r.next == s->n)
			break;
		n = peers_poll(s->peers, QUIET_NS, on_route, &r);
		uint64_t now = bench_now();
		if (n > 0)
			last = now;
		if (n < 0 || now - last > (uint64_t)opt->timeout_s * 1000000000u)
			break;
		if (!opt->quiet && now - shown > 1000000000u) {
			fprintf(stderr, "%s: %u of %u\n", step->phase, r.next - r.under_way, s->n);
			shown = now;
		}
	}
	report_end(s->report);
	if (n < 0)
		report_fail(s->report, "%s: a link was lost", step->phase);
	else if (r.under_way)
		report_fail(s->report, "%s: %u sessions got no answer within %u s", step->phase, r.under_way,
			opt->timeout_s);
	return n < 0 ? -1 : (long)r.under_way;
}

static uint32_t count_state(const struct sessions *s, enum session_state state)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n; i++)
		n += s->v[i].state == state;
	return n;
}

bool sessions_start(struct sessions *s)
{
	if (run_round(s, &step_start) != 0)
		return false;
	if (count_state(s, SESSION_REFUSED) && (run_round(s, &step_create) != 0 || run_round(s, &step_restart) != 0))
		return false;
	uint32_t missing = s->n - count_state(s, SESSION_STARTED);
	if (missing)
		report_fail(s->report, "start: %u of %u sessions refused, with their users created", missing, s->n);
	return missing == 0;
}

bool sessions_presence(struct sessions *s)
{
	return run_round(s, &step_presence) == 0;
}

bool sessions_end(struct sessions *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->v[i].state == SESSION_PRESENT)
			s->v[i].state = SESSION_STARTED;
	return run_round(s, &step_end) == 0;
}

static void count_stray(void *arg, unsigned link, const struct frame *f)
{
	struct sessions *s = arg;
	(void)link;
	(void)f;
	s->strays++;
}

bool sessions_settle(struct sessions *s)
{
	uint64_t before, after = 0;
	do {
		before = after;
		if (peers_poll(s->peers, QUIET_NS, count_stray, s) < 0)
			return false;
		after = 0;
		for (unsigned i = 0; i < s->peers->n; i++)
			after += s->peers->links[i].wire.bytes_in;
	} while (after != before);
	return true;
}
