/* scenario_chat.c - one-to-one messages between random pairs; every one must arrive once, unchanged, at the right
 * session, and in the order in which its sender wrote to its recipient (RFC 6120 10.1). Threads: the one thread of the
 * program. Owns: the plan of all messages, for the run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "scenario.h"
#include "sessions.h"
#include "shardsm/route.h"

#define NONE UINT32_MAX
#define ID_HEX 8
#define ID_LEN (1 + 2 * ID_HEX) /* b, the run, the message */
#define UNSENT_MAX (256u << 20) /* bytes queued at an open-loop rate before we call it a failure */

enum { SENT = 1, DELIVERED = 2 };

/* Everything is decided before the clock starts. */
struct message {
	uint32_t from, to;
	uint32_t previous; /* the last message before it from `from` to `to` */
	uint8_t state;
	bool bare;
	uint64_t due_ns; /* closed loop: when it was written; open loop: when it should have been */
};

struct faults {
	uint64_t duplicate, misdelivered, wrong_from, altered, disorder, bounced;
	char first[256];
};

struct chat {
	struct sessions sessions;
	const struct options *opt;
	struct phase *phase;
	struct message *plan;
	uint32_t n, sent, delivered;
	char run[ID_HEX + 1]; /* tells this run's messages from any other's */
	char *body;
	char heads[PEER_LINKS][256]; /* per link: all bytes before the recipient */
	uint32_t head_len[PEER_LINKS];
	uint64_t strays;
	struct faults faults;
};

static void hex8(char *out, uint32_t v)
{
	for (int i = ID_HEX - 1; i >= 0; i--, v >>= 4)
		out[i] = "0123456789abcdef"[v & 15];
}

static bool unhex8(const char *p, uint32_t *out)
{
	uint32_t v = 0;
	for (int i = 0; i < ID_HEX; i++) {
		unsigned c = (unsigned char)p[i], d = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : 16;
		if (d > 15)
			return false;
		v = v << 4 | d;
	}
	*out = v;
	return true;
}

/* Finds for each message the one before it of the same pair. */
static void link_pairs(struct chat *c)
{
	uint64_t slots = 16;
	while (slots < (uint64_t)c->n * 2)
		slots *= 2;
	uint32_t *last = bench_calloc(slots, sizeof *last); /* message + 1 */

	for (uint32_t i = 0; i < c->n; i++) {
		struct message *m = &c->plan[i];
		uint64_t key = ((uint64_t)m->from << 32 | m->to), at = bench_random(&key) & (slots - 1);
		while (last[at] && (c->plan[last[at] - 1].from != m->from || c->plan[last[at] - 1].to != m->to))
			at = (at + 1) & (slots - 1);
		m->previous = last[at] ? last[at] - 1 : NONE;
		last[at] = i + 1;
	}
	free(last);
}

static void make_plan(struct chat *c)
{
	const struct options *o = c->opt;
	uint64_t seed = o->seed;
	uint32_t n = o->sessions, reach = n - 1;

	if (o->partners && o->partners < reach)
		reach = o->partners;
	c->n = (uint32_t)o->messages;
	c->plan = bench_calloc(c->n, sizeof *c->plan);
	for (uint32_t i = 0; i < c->n; i++) {
		struct message *m = &c->plan[i];
		m->from = bench_below(&seed, n);
		m->to = reach ? (uint32_t)(((uint64_t)m->from + 1 + bench_below(&seed, reach)) % n) : m->from;
		m->bare = o->address == ADDRESS_BARE || (o->address == ADDRESS_MIXED && bench_below(&seed, 2));
	}
	link_pairs(c);
}

static void prepare(struct chat *c, const struct options *opt)
{
	uint32_t run;

	c->opt = opt;
	if (getrandom(&run, sizeof run, 0) != sizeof run)
		bench_die("the kernel gives no random bytes (%m)");
	hex8(c->run, run);
	make_plan(c);
	c->body = bench_calloc(opt->body + 1, 1);
	for (uint32_t i = 0; i < opt->body; i++)
		c->body[i] = (char)('a' + i % 26);
}

static void render_heads(struct chat *c)
{
	for (unsigned i = 0; i < c->sessions.peers->n; i++) {
		int n = snprintf(c->heads[i], sizeof c->heads[i],
			"<route xmlns='" NS_COMPONENT "' to='%s' from='%s'><message xmlns='" NS_CLIENT
			"' xmlns:sc='" NS_SESSION "' type='chat' to='",
			c->sessions.sm_name, c->sessions.peers->links[i].name);
		if (n < 0 || (size_t)n >= sizeof c->heads[i])
			bench_die("component names too long");
		c->head_len[i] = (uint32_t)n;
	}
}

static char *append(char *p, struct span s)
{
	memcpy(p, s.p, s.n);
	return p + s.n;
}

static char *append_uint(char *p, uint32_t v)
{
	char digits[10];
	unsigned n = 0;
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static char *append_body(const struct chat *c, char *p, uint32_t i)
{
	memcpy(p, c->body, c->opt->body);
	if (c->opt->body >= ID_HEX)
		hex8(p, i);
	return p + c->opt->body;
}

static void send_message(struct chat *c, uint32_t i, uint64_t due_ns)
{
	struct message *m = &c->plan[i];
	const struct sessions *s = &c->sessions;
	unsigned link = session_link(s, m->from);
	struct wire *w = &s->peers->links[link].wire;
	char *start = wire_reserve(w, 2048 + c->opt->body), *p = start;

	p = append(p, span_of(c->heads[link], c->head_len[link]));
	p = append(p, m->bare ? session_bare(s, m->to) : session_jid(s, m->to));
	p = append(p, SPAN("' id='b"));
	p = append(p, span_of(c->run, ID_HEX));
	hex8(p, i);
	p = append(p + ID_HEX, SPAN("' sc:c2s='"));
	p = append_uint(p, m->from + 1);
	p = append(p, SPAN("' sc:sm='"));
	p = append(p, session_sm(s, m->from));
	p = append(p, SPAN("'><body>"));
	p = append_body(c, p, i);
	p = append(p, SPAN("</body></message></route>"));
	wire_advance(w, (size_t)(p - start));
	m->state = SENT;
	m->due_ns = due_ns;
}

static void fault(struct chat *c, uint64_t *count, const char *what, const struct frame *f)
{
	if (!c->faults.first[0])
		snprintf(c->faults.first, sizeof c->faults.first, "%s: %.*s", what,
			(int)(f->whole.n < 220 ? f->whole.n : 220), f->whole.p);
	++*count;
}

static bool body_is(const struct chat *c, const struct frame *f, uint32_t i)
{
	const struct span open = SPAN("<body>"), close = SPAN("</body>");
	uint32_t n = c->opt->body, skip = n >= ID_HEX ? ID_HEX : 0, told;

	if (n == 0)
		return true; /* an empty body may come as <body/> */
	if (f->content.n != open.n + n + close.n || memcmp(f->content.p, open.p, open.n) != 0 ||
		memcmp(f->content.p + open.n + n, close.p, close.n) != 0)
		return false;
	const char *text = f->content.p + open.n;
	if (skip && (!unhex8(text, &told) || told != i))
		return false;
	return memcmp(text + skip, c->body + skip, n - skip) == 0;
}

/* One of our messages came back: is it what was sent, where it should be, and its turn? */
static void check_delivery(struct chat *c, unsigned link, const struct frame *f, uint32_t i)
{
	struct message *m = &c->plan[i];
	const struct sessions *s = &c->sessions;
	struct faults *x = &c->faults;
	uint32_t at;

	if (m->state == DELIVERED) {
		fault(c, &x->duplicate, "delivered twice", f);
		return;
	}
	if (!session_of(s, f, &at) || at != m->to || link != session_link(s, m->to) ||
		!span_eq(tag_session(&f->payload, "sm"), session_sm(s, m->to)) ||
		!span_eq(tag_attr(&f->payload, "to"), session_jid(s, m->to))) {
		fault(c, &x->misdelivered, "delivered to the wrong session", f);
		return;
	}
	if (!span_eq(tag_attr(&f->payload, "from"), session_jid(s, m->from)))
		fault(c, &x->wrong_from, "wrong from", f);
	if (!body_is(c, f, i) || !span_is(tag_attr(&f->payload, "type"), "chat"))
		fault(c, &x->altered, "altered", f);
	if (m->previous != NONE && c->plan[m->previous].state != DELIVERED)
		fault(c, &x->disorder, "overtook an earlier one of its pair", f);
	m->state = DELIVERED;
	c->delivered++;
	latency_add(&c->phase->latency, bench_now() - m->due_ns);
}

static void on_route(void *arg, unsigned link, const struct frame *f)
{
	struct chat *c = arg;
	struct span id = tag_attr(&f->payload, "id");
	uint32_t i;

	if (!tag_is(&f->payload, "message") || id.n != ID_LEN || memcmp(id.p + 1, c->run, ID_HEX) != 0 ||
		!unhex8(id.p + 1 + ID_HEX, &i) || i >= c->sent) {
		c->strays++;
		return;
	}
	if (span_is(tag_attr(&f->payload, "type"), "error") || tag_attr(&f->outer, "error").p)
		fault(c, &c->faults.bounced, "bounced", f);
	else
		check_delivery(c, link, f, i);
}

/* Sends what is due. Nanoseconds to wait for at most. */
static int64_t top_up(struct chat *c, uint64_t begin, uint64_t now)
{
	if (!c->opt->rate) {
		while (c->sent < c->n && c->sent - c->delivered < c->opt->window)
			send_message(c, c->sent, now), c->sent++;
		return 100000000;
	}
	for (; c->sent < c->n; c->sent++) {
		uint64_t due = begin + (uint64_t)((double)c->sent * 1e9 / (double)c->opt->rate);
		if (due > now)
			return due - now < 100000000 ? (int64_t)(due - now) : 100000000;
		send_message(c, c->sent, due);
	}
	return 100000000;
}

static void exchange(struct chat *c, struct report *report)
{
	struct peers *peers = c->sessions.peers;
	uint64_t begin = c->phase->begin_ns, now = begin, last = now, shown = now;

	while (c->delivered < c->n) {
		uint32_t before = c->delivered;
		int64_t wait = top_up(c, begin, now);
		if (peers_poll(peers, wait, on_route, c) < 0) {
			report_fail(report, "chat: a link was lost");
			return;
		}
		now = bench_now();
		if (c->delivered != before)
			last = now;
		if (now - last > (uint64_t)c->opt->timeout_s * 1000000000u)
			return;
		if (peers_pending(peers) > UNSENT_MAX) {
			report_fail(report, "chat: the sm does not keep up with %" PRIu64 " messages a second",
				c->opt->rate);
			return;
		}
		if (!c->opt->quiet && now - shown > 1000000000u) {
			fprintf(stderr, "chat: %u of %u delivered, %u under way\n", c->delivered, c->n,
				c->sent - c->delivered);
			shown = now;
		}
	}
}

static void judge(struct chat *c, struct report *report)
{
	const struct faults *x = &c->faults;
	uint64_t lost = c->sent - c->delivered;
	uint64_t wrong = x->duplicate + x->misdelivered + x->wrong_from + x->altered + x->disorder + x->bounced;

	c->phase->ops = c->delivered;
	c->phase->failed = lost + wrong;
	if (lost || wrong)
		report_fail(report,
			"chat: of %u sent %" PRIu64 " lost, %" PRIu64 " twice, %" PRIu64 " misdelivered, %" PRIu64
			" with a wrong from, %" PRIu64 " altered, %" PRIu64 " out of order, %" PRIu64
			" bounced; first: %s",
			c->sent, lost, x->duplicate, x->misdelivered, x->wrong_from, x->altered, x->disorder,
			x->bounced, x->first[0] ? x->first : "none");
	else if (c->delivered < c->n)
		report_fail(report, "chat: %u of %u messages were not sent", c->n - c->sent, c->n);
}

static void run_chat(struct peers *peers, struct report *report)
{
	struct chat *c = bench_calloc(1, sizeof *c);

	prepare(c, peers->opt);
	sessions_init(&c->sessions, peers, report, peers->opt->sessions);
	if (!sessions_start(&c->sessions))
		goto out;
	if (peers->opt->presence && !sessions_presence(&c->sessions))
		goto out;
	if (!sessions_settle(&c->sessions))
		goto out;
	render_heads(c);
	c->phase = report_begin(report, "chat");
	exchange(c, report);
	report_end(report);
	/* A moment more: a duplicate comes after its original. */
	if (c->delivered == c->n)
		while (peers_poll(peers, 100000000, on_route, c) > 0)
			;
	judge(c, report);
	if (peers->opt->end_sessions && !report->failure[0] && !sessions_end(&c->sessions))
		goto out;
	if (!peers->opt->quiet && c->strays + c->sessions.strays)
		fprintf(stderr, "shardsm-bench: %" PRIu64 " routes besides the messages\n",
			c->strays + c->sessions.strays);
out:
	sessions_free(&c->sessions);
	free(c->plan);
	free(c->body);
	free(c);
}

const struct scenario scenario_chat = {"chat", "messages between random pairs of sessions", run_chat};
