/* plan.c - rendering and checking of planned messages.
 * Threads: the one thread of the program.
 * Owns: see plan.h.
 */
#include "plan.h"

#include <stdlib.h>

#include "shardsm/route.h"

void plan_init(struct plan *p, struct sessions *s, char kind, uint32_t n)
{
	const struct options *opt = s->peers->opt;
	uint32_t longest = bodies_longest(&opt->bodies);

	*p = (struct plan){.sessions = s, .opt = opt, .kind = kind, .n = n};
	p->messages = bench_calloc(n, sizeof *p->messages);
	p->filler = bench_calloc(longest + 1, 1);
	for (uint32_t i = 0; i < longest; i++)
		p->filler[i] = (char)('a' + i % 26);
}

void plan_free(struct plan *p)
{
	free(p->messages);
	free(p->filler);
	*p = (struct plan){0};
}

void plan_link(struct plan *p)
{
	uint64_t slots = 16;
	while (slots < (uint64_t)p->n * 2)
		slots *= 2;
	uint32_t *last = bench_calloc(slots, sizeof *last); /* message + 1 */

	for (uint32_t i = 0; i < p->n; i++) {
		struct message *m = &p->messages[i];
		uint64_t key = ((uint64_t)m->from << 32 | m->to), at = bench_random(&key) & (slots - 1);
		while (last[at] && (p->messages[last[at] - 1].from != m->from || p->messages[last[at] - 1].to != m->to))
			at = (at + 1) & (slots - 1);
		m->previous = last[at] ? last[at] - 1 : PLAN_NONE;
		last[at] = i + 1;
	}
	free(last);
}

static char *put_body(const struct plan *p, char *out, uint32_t i)
{
	uint32_t n = bodies_length(&p->opt->bodies, p->opt->seed, i);

	out = text_put(out, SPAN("<body>"));
	memcpy(out, p->filler, n);
	if (n >= HEX8)
		text_hex8(out, i);
	return text_put(out + n, SPAN("</body></message></route>"));
}

static char *room(const struct plan *p, struct wire *w, uint32_t i)
{
	return wire_reserve(w, STANZA_ROOM + 64 + bodies_length(&p->opt->bodies, p->opt->seed, i));
}

void plan_send(struct plan *p, uint32_t i, uint64_t due_ns)
{
	struct message *m = &p->messages[i];
	const struct sessions *s = p->sessions;
	struct wire *w = session_wire(s, m->from);
	char *start = room(p, w, i), *out = stanza_open(s, start, m->from, SPAN("message"));

	out = text_put(out, SPAN(" type='chat' to='"));
	out = text_put(out, m->bare ? session_bare(s, m->to) : session_jid(s, m->to));
	*out++ = '\'';
	out = stanza_id(s, out, p->kind, i);
	*out++ = '>';
	wire_advance(w, (size_t)(put_body(p, out, i) - start));
	m->due_ns = due_ns;
}

void plan_send_relayed(struct plan *p, uint32_t i, uint64_t due_ns)
{
	struct message *m = &p->messages[i];
	const struct sessions *s = p->sessions;
	unsigned to = session_link(s, m->to);
	struct wire *w = &s->peers->links[s->peers->n - 1 - to].wire;
	char *start = room(p, w, i), *out = start;

	out = text_put(out, SPAN("<route xmlns='" NS_COMPONENT "' to='"));
	out = text_put(out, span_str(s->peers->links[to].name));
	out = text_put(
		out, SPAN("' from='localhost'><message xmlns='" NS_CLIENT "' xmlns:sm='" NS_SESSION "' sm:c2s='"));
	out = text_uint(out, m->to + 1);
	out = text_put(out, SPAN("' type='chat' to='"));
	out = text_put(out, session_jid(s, m->to));
	*out++ = '\'';
	out = stanza_id(s, out, p->kind, i);
	out = text_put(out, SPAN(" from='"));
	out = text_put(out, session_jid(s, m->from));
	out = text_put(out, SPAN("' sm:sm='"));
	out = text_put(out, session_sm(s, m->to));
	out = text_put(out, SPAN("'>"));
	wire_advance(w, (size_t)(put_body(p, out, i) - start));
	m->due_ns = due_ns;
}

bool plan_is_mine(const struct plan *p, const struct frame *f, uint32_t *i)
{
	return tag_is(&f->payload, "message") && stanza_id_is(p->sessions, tag_attr(&f->payload, "id"), p->kind, i) &&
	       *i < p->n;
}

static bool body_is(const struct plan *p, struct span content, uint32_t i, bool delayed)
{
	const struct span open = SPAN("<body>"), close = SPAN("</body>"), delay = SPAN("urn:xmpp:delay");
	uint32_t n = bodies_length(&p->opt->bodies, p->opt->seed, i), skip = n >= HEX8 ? HEX8 : 0, told;

	if (delayed) { /* the stamp stands before or behind it */
		const char *at = memmem(content.p, content.n, open.p, open.n);
		if (!at || !memmem(content.p, content.n, delay.p, delay.n))
			return false;
		content = span_of(at, (size_t)(content.p + content.n - at));
	}
	if (n == 0 && content.n == 0)
		return true; /* <body/>, or no content at all */
	if (content.n < open.n + n + close.n || (!delayed && content.n != open.n + n + close.n) ||
		memcmp(content.p, open.p, open.n) != 0 || memcmp(content.p + open.n + n, close.p, close.n) != 0)
		return n == 0 && span_is(content, "<body/>");
	const char *text = content.p + open.n;
	if (skip && (!text_unhex8(text, &told) || told != i))
		return false;
	return memcmp(text + skip, p->filler + skip, n - skip) == 0;
}

bool plan_check(struct plan *p, struct load *l, unsigned link, const struct frame *f, uint32_t i, bool delayed)
{
	struct message *m = &p->messages[i];
	const struct sessions *s = p->sessions;

	if (span_is(tag_attr(&f->payload, "type"), "error") || tag_attr(&f->outer, "error").p) {
		load_fault(l, FAULT_BOUNCED, f);
		return false;
	}
	if (m->delivered) {
		load_fault(l, FAULT_TWICE, f);
		return false;
	}
	if (!session_is(s, link, f, m->to) ||
		!span_eq(tag_attr(&f->payload, "to"), delayed ? session_bare(s, m->to) : session_jid(s, m->to))) {
		load_fault(l, FAULT_MISDELIVERED, f);
		return false;
	}
	if (!span_eq(tag_attr(&f->payload, "from"), session_jid(s, m->from)))
		load_fault(l, FAULT_FROM, f);
	if (!body_is(p, f->content, i, delayed) || !span_is(tag_attr(&f->payload, "type"), "chat"))
		load_fault(l, FAULT_ALTERED, f);
	if (m->previous != PLAN_NONE && !p->messages[m->previous].delivered)
		load_fault(l, FAULT_DISORDER, f);
	m->delivered = true;
	return true;
}
