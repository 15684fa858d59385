/* emit.c - the last steps of a packet: a new start tag around bytes that are passed on as they came.
 * Threads: the owning shard's.
 * Owns: nothing; bytes go straight into the tray of the link.
 */
#include "shard/put.h"
#include "shard/shard.h"
#include "shardsm/log.h"
#include "shardsm/room.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

#define ESCAPED_MAX 6u /* the longest of & < > ' " as an entity */

static char *put_escaped(char *at, struct span s)
{
	if (likely(text_plain(s)))
		return put(at, s);
	for (uint32_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '&':
			at = PUT(at, "&amp;");
			break;
		case '<':
			at = PUT(at, "&lt;");
			break;
		case '>':
			at = PUT(at, "&gt;");
			break;
		case '\'':
			at = PUT(at, "&apos;");
			break;
		case '"':
			at = PUT(at, "&quot;");
			break;
		default:
			*at++ = s.p[i];
		}
	}
	return at;
}

static char *put_text(char *at, struct span s, bool plain)
{
	return plain ? put(at, s) : put_escaped(at, s);
}

static char *put_attrs(char *at, const struct packet *p)
{
	for (int i = 0; i < p->route.nattrs; i++) {
		const struct route_attr *a = &p->route.attrs[i];

		*at++ = ' ';
		at = put(at, packet_slice(p, a->name));
		*at++ = '=';
		*at++ = a->quote;
		at = put(at, packet_slice(p, a->value));
		*at++ = a->quote;
	}
	return at;
}

static size_t attrs_size(const struct packet *p)
{
	size_t n = 0;

	for (int i = 0; i < p->route.nattrs; i++)
		n += p->route.attrs[i].name.len + p->route.attrs[i].value.len + 4u;
	return n;
}

static bool declares(const struct packet *p, struct span prefix)
{
	struct packet_attrs at = { 0 };
	struct route_attr a;
	struct span declared;

	while (packet_next_attr(p, &at, &a))
		if (packet_attr_declares(p, &a, &declared) && span_eq(declared, prefix))
			return true;
	return false;
}

/* The prefix under which this stanza may carry session attributes: the one that it came with, else one that it does not use. */
static struct span session_prefix(const struct packet *p)
{
	/* Longer than a stanza can have declarations: one of its beginnings is free. */
	static const char run[] = "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss";
	struct span came = packet_slice(p, p->route.session_prefix), prefix = SPAN("sm");

	if (came.n)
		return came;
	for (uint32_t n = 1; unlikely(declares(p, prefix)) && n < sizeof(run); n++)
		prefix = span_of(run, n);
	return prefix;
}

static char *put_jid_attr(char *at, struct span name, const struct jid *j)
{
	if (!j || !j->s)
		return at;
	at = put(at, name);
	at = put_escaped(at, jid_full(j));
	*at++ = '\'';
	return at;
}

static void log_one(struct outbox *ob, void *arg)
{
	const struct { struct shard *shard; struct span rest; } *copy = arg;
	static const struct span head = { "<route type='log'", 17 };
	char *at = out_reserve(copy->shard->out, ob, head.n + copy->rest.n);

	if (!at)
		return;
	put(put(at, head), copy->rest);
	out_commit(copy->shard->out, ob, head.n + copy->rest.n);
}

/* Log sinks of a network that we route for get a copy of every route: those that come in from the acceptors, those that go out here. */
COLD static void copy_to_logs(struct shard *shard, const char *start, size_t n)
{
	struct { struct shard *shard; struct span rest; } copy = { shard, span_of(start + 6, n - 6) }; /* behind "<route" */

	names_logs_rcu(shard->server->set.names, log_one, &copy);
}

static void sent(struct shard *shard, struct outbox *ob, const char *start, size_t n)
{
	out_commit(shard->out, ob, n); /* the bytes stay where they are until the burst ends */
	rcu_enter();
	if (unlikely(names_have_logs_rcu(shard->server->set.names)) && !ob->accept)
		copy_to_logs(shard, start, n);
	rcu_leave();
}

bool emit_route(struct shard *shard, struct outbox *ob, struct span route)
{
	char *at = out_reserve(shard->out, ob, route.n);

	if (!at)
		return false;
	put(at, route);
	sent(shard, ob, at, route.n);
	return true;
}

static char *put_tail(char *at, const struct packet *p, struct span tag)
{
	*at++ = '>';
	at = put(at, packet_slice(p, p->route.content));
	at = PUT(at, "</");
	at = put(at, tag);
	*at++ = '>';
	return at;
}

/* A stanza to a session up to what is that session's own. */
static char *put_opening(char *at, const struct packet *p, struct span tag, struct span prefix)
{
	*at++ = '<';
	at = put(at, tag);
	at = PUT(at, " xmlns='" NS_CLIENT "' xmlns:");
	at = put(at, prefix);
	at = PUT(at, "='" NS_SESSION "'");
	at = put_attrs(at, p);
	return put_jid_attr(at, SPAN(" from='"), p->from.s ? &p->from : NULL);
}

static char *put_closing(char *at, const struct packet *p, struct span tag)
{
	at = put_tail(at, p, tag);
	return PUT(at, "</route>");
}

/* Bytes of both at most. */
static size_t stanza_size(const struct packet *p, struct span tag, struct span prefix)
{
	return attrs_size(p) + p->route.content.len + 2u * tag.n + prefix.n + ESCAPED_MAX * (p->from.s ? p->from.len : 0u) + 128;
}

/* --- to sessions --------------------------------------------------------------------------------------------------------- */

static bool piece_make(struct piece *piece, struct span prefix, struct span name)
{
	char *at = piece->text;

	if (prefix.n + name.n + 2 > sizeof(piece->text))
		return false;
	at = PUT(at, "' ");
	at = put(at, prefix);
	at = put(at, name);
	piece->n = (uint32_t)(at - piece->text);
	return true;
}

/* There must be room for the whole of its text. */
static char *put_piece(char *at, const struct piece *piece)
{
	memcpy(at, piece->text, sizeof(piece->text));
	return at + piece->n;
}

/* Makes what all addressees of a packet get; what depends on where it goes comes with the first of each. False: no memory, or a prefix
 * that is too long. */
static bool share(struct shared *shared, const struct packet *p)
{
	struct span tag = packet_slice(p, p->route.tag), prefix = session_prefix(p);
	size_t most = stanza_size(p, tag, prefix);
	char *at;

	shared->peer = NULL;
	buf_clear(&shared->closing);
	if (!piece_make(&shared->c2s, prefix, SPAN(":c2s='")) || !piece_make(&shared->sm, prefix, SPAN(":sm='")) ||
		!buf_grow(&shared->closing, most) || !buf_grow(&shared->opening, most))
		return false;
	at = PUT(shared->closing.p, "'");
	at = put_closing(at, p, tag);
	shared->closing.n = (uint32_t)(at - shared->closing.p);
	at = put_opening(shared->opening.p, p, tag, prefix);
	at = PUT(at, " to='");
	shared->opening.n = (uint32_t)(at - shared->opening.p);
	return true;
}

static bool is_domain(const struct session *s, struct span domain)
{
	struct jid me = session_jid(s);

	return span_eq(jid_domain(&me), domain);
}

/* The beginning of every stanza to sessions of that peer and domain. False: no memory. */
static bool share_head(struct shared *shared, const struct session *s)
{
	const struct peer *peer = s->peer;
	struct jid me = session_jid(s);
	struct span domain = jid_domain(&me);
	struct buf *b = &shared->head;
	char *at;

	shared->peer = NULL;
	buf_clear(b);
	if (!buf_grow(b, peer->head_len + ESCAPED_MAX * domain.n + shared->opening.n + 2))
		return false;
	at = put(b->p, span_of(peer->text + peer->name_len, peer->head_len));
	shared->domain = (struct slice){ (uint32_t)(at - b->p), domain.n };
	at = put_text(at, domain, s->plain);
	at = PUT(at, "'>");
	at = put(at, buf_span(&shared->opening));
	b->n = (uint32_t)(at - b->p);
	if (s->plain) /* else the domain is not to be found in it again */
		shared->peer = peer;
	return true;
}

/* The packet that goes to many: only what is the session's own is written anew. False: it has to be written whole. */
static bool emit_shared(struct shard *shard, struct session *s, const struct packet *p, const struct jid *to)
{
	struct shared *shared = &shard->shared;
	struct span c2s = session_c2s(s);
	char *start, *at;

	if (!to || !to->s || (!shared->opening.n && !share(shared, p)))
		return false;
	if (unlikely(shared->peer != s->peer || !s->plain ||
		(shard->server->set.ndomains > 1 && !is_domain(s, slice_of(shared->head.p, shared->domain)))) &&
		!share_head(shared, s))
		return false;
	start = out_reserve(shard->out, s->peer->link, shared->head.n + shared->closing.n + 2 * sizeof(shared->sm.text) + SM_ID_HEX +
		ESCAPED_MAX * (to->len + c2s.n));
	if (!start)
		return false;
	at = put(start, buf_span(&shared->head));
	at = put_text(at, jid_full(to), s->plain && to->s == s->text);
	at = put_piece(at, &shared->c2s);
	at = put_text(at, c2s, s->plain);
	at = put_piece(at, &shared->sm);
	sm_id_print(&s->id, at);
	at = put(at + SM_ID_HEX, buf_span(&shared->closing));
	sent(shard, s->peer->link, start, (size_t)(at - start));
	return true;
}

static bool emit_alone(struct shard *shard, struct session *s, const struct packet *p, const struct jid *to)
{
	struct jid me = session_jid(s);
	bool plain = s->plain;
	struct span domain = jid_domain(&me), c2s = session_c2s(s), tag = packet_slice(p, p->route.tag), prefix = session_prefix(p);
	size_t most = s->peer->head_len + stanza_size(p, tag, prefix) + 2u * prefix.n +
		ESCAPED_MAX * (domain.n + c2s.n + (to ? to->len : 0u)) + SM_ID_HEX + 128;
	char *start = out_reserve(shard->out, s->peer->link, most), *at = start;

	if (!start)
		return false;
	at = put(at, span_of(s->peer->text + s->peer->name_len, s->peer->head_len));
	at = put_text(at, domain, plain);
	at = PUT(at, "'>");
	at = put_opening(at, p, tag, prefix);
	if (to && to->s) {
		at = PUT(at, " to='");
		at = put_text(at, jid_full(to), plain && to->s == s->text);
		*at++ = '\'';
	}
	*at++ = ' ';
	at = put(at, prefix);
	at = PUT(at, ":c2s='");
	at = put_text(at, c2s, plain);
	at = PUT(at, "' ");
	at = put(at, prefix);
	at = PUT(at, ":sm='");
	sm_id_print(&s->id, at);
	at = PUT(at + SM_ID_HEX, "'");
	at = put_closing(at, p, tag);
	sent(shard, s->peer->link, start, (size_t)(at - start));
	return true;
}

void emit_to_session(struct shard *shard, struct session *s, const struct packet *p, const struct jid *to)
{
	bool shared = shard->shared.packet == p && emit_shared(shard, s, p, to);

	if (shared || emit_alone(shard, s, p, to))
		stat_inc(STAT_OUT + p->route.payload);
	else
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a stanza was lost (out of memory)", (int)s->jid_len, s->text);
}

bool emit_to_link(struct shard *shard, struct outbox *ob, const struct packet *p)
{
	struct span tag = packet_slice(p, p->route.tag), domain = jid_domain(&p->to), id = shard->server->set.id;
	struct span prefix = packet_slice(p, p->route.session_prefix);
	size_t most = attrs_size(p) + p->route.content.len + 2u * tag.n + prefix.n +
		ESCAPED_MAX * (domain.n + id.n + p->from.len + p->to.len) + 256;
	char *start = out_reserve(shard->out, ob, most), *at = start;

	if (!start)
		return false;
	if (!ob->accept) {
		at = PUT(at, "<route xmlns='" NS_COMPONENT "' to='");
		at = put_escaped(at, domain);
		at = PUT(at, "' from='");
		at = put_escaped(at, id);
		at = PUT(at, "'>");
	}
	*at++ = '<';
	at = put(at, tag);
	if (!ob->accept)
		at = PUT(at, " xmlns='" NS_CLIENT "'");
	if (prefix.n && (p->route.flags & ROUTE_SESSION_PREFIX)) {
		at = PUT(at, " xmlns:");
		at = put(at, prefix);
		at = PUT(at, "='" NS_SESSION "'");
	}
	at = put_attrs(at, p);
	at = put_jid_attr(at, SPAN(" from='"), &p->from);
	at = put_jid_attr(at, SPAN(" to='"), &p->to);
	at = put_tail(at, p, tag);
	if (!ob->accept)
		at = PUT(at, "</route>");
	stat_inc(STAT_OUT + p->route.payload);
	sent(shard, ob, start, (size_t)(at - start));
	return true;
}

/* --- privacy lists: whoever has none pays a test of a pointer --------------------------------------------------------------- */

static bool passes(struct shard *shard, const struct packet *p, enum chain chain, struct user *u, struct session *s)
{
	struct event ev;
	enum verdict v;

	event_init(&ev, shard, (struct packet *)(uintptr_t)p);
	ev.user = u;
	ev.session = s;
	v = chain_run(&ev, chain, 0);
	event_fini(&ev);
	return v == V_PASS;
}

void event_except(struct event *ev, const struct jid *full)
{
	struct buf *b = &ev->shard->except;
	struct span resource = jid_resource(full);
	uint16_t n = (uint16_t)resource.n;

	buf_put(b, span_of((const char *)&n, sizeof(n)));
	buf_put(b, resource);
}

/* Half of what a link may have waiting is for what cannot be sent again: answers, and presence. */
static bool refuses(struct shard *shard, struct outbox *ob, const struct packet *p)
{
	return unlikely(out_is_behind(shard->out, ob)) && p->route.payload != PL_PRESENCE && packet_refusable(p);
}

bool session_refuses(const struct session *s, const struct packet *p)
{
	return refuses(s->user->owner, s->peer->link, p);
}

static bool is_excepted(const struct packet *p, const struct jid *full)
{
	uint16_t n;

	for (uint32_t at = 0; at < p->except.n; at += (uint32_t)sizeof(n) + n) {
		memcpy(&n, p->except.p + at, sizeof(n));
		if (span_eq(span_of(p->except.p + at + sizeof(n), n), jid_resource(full)))
			return true;
	}
	return false;
}

bool session_hears(struct shard *shard, struct session *s, const struct packet *p)
{
	return likely(!s->user->privacy) || !p->from.s || passes(shard, p, CHAIN_OUT_SESS, s->user, s);
}

/* What leaves the user whose chain runs: of its own accord, or because somebody asked it something. */
static bool may_leave(struct shard *shard, const struct packet *p)
{
	const struct event *now = shard->now;
	struct user *u = now->user;
	struct jid me = user_jid(u);

	return !jid_same_bare(&p->from, &me) ||
		passes(shard, p, CHAIN_OUT_ROUTER, u, jid_has_resource(&p->from) ? user_session(u, jid_resource(&p->from)) : now->session);
}

/* An answer may be to a stanza of ours that is still in hand, and in the render buffer: it has a buffer of its own. It is never answered itself. */
void send_answer(struct shard *shard, struct session *s, const struct stanza *st)
{
	struct packet p;

	if (!render(shard, &shard->reply, st, &p))
		log_limited(LOG_LEVEL_ERROR, "%s: an answer could not be sent (out of memory)", shard->name);
	else if (!s)
		pass_on(shard, &p);
	else if (session_hears(shard, s, &p))
		emit_to_session(shard, s, &p, st->to);
}

void send_stanza(struct shard *shard, const struct stanza *st)
{
	struct packet p;

	if (packet_of_stanza(shard, st, &p))
		pass_on(shard, &p);
	else
		log_limited(LOG_LEVEL_ERROR, "%s: a %s could not be sent (out of memory)", shard->name, st->tag);
}

void send_to_session(struct shard *shard, struct session *s, const struct stanza *st)
{
	struct packet p;

	if (!packet_of_stanza(shard, st, &p))
		log_limited(LOG_LEVEL_ERROR, "%s: a %s could not be sent (out of memory)", shard->name, st->tag);
	else if (session_hears(shard, s, &p))
		emit_to_session(shard, s, &p, st->to);
}

void pass_to_session(struct event *ev, struct session *s, const struct jid *to)
{
	struct jid full = session_jid(s);

	if (session_hears(ev->shard, s, ev->packet) && !is_excepted(ev->packet, &full))
		emit_to_session(ev->shard, s, ev->packet, to ? to : &full);
}

/* The link that leads to a domain which is not ours, or that is to be reached the long way. */
static struct outbox *link_to(struct shard *shard, const struct jid *to, bool ours)
{
	struct names *names = shard->server->set.names;
	struct outbox *ob = ours ? NULL : names_find_rcu(names, jid_domain(to), to);

	if (!ob && !ours)
		ob = names_default_rcu(names);
	return ob ? ob : names_router_rcu(names);
}

/* Links are read more slowly before a shard has that much before it; what shards send each other ends here. */
static bool overrun(const struct shard *shard, uint32_t to, const struct packet *p)
{
	uint64_t most = shard->server->set.tuning.shard_bytes;

	return unlikely(mailboxes_full()) && most && mailbox_load(shard->server->boxes[to]) / 2 > most && packet_refusable(p);
}

static uint32_t shard_for(const struct shard *shard, const struct packet *p)
{
	return p->hash ? shard_of_tag(hash_tag(p->hash), shard->server->set.nshards) : shard->index;
}

/* To the addressee's shard: a copy that has no link any more. The packet in hand keeps its own, and a kept one its reference. */
static bool hand_over(struct shard *shard, struct packet *p)
{
	struct outbox *link = p->link;
	uint8_t stage = p->stage;
	uint64_t hash = p->hash;
	bool ok;

	p->hash = p->to.node_len ? hash_bytes(jid_bare(&p->to)) : 0;
	if (overrun(shard, shard_for(shard, p), p)) {
		p->hash = hash;
		stat_inc(STAT_LIMIT_BETWEEN_SHARDS);
		reply_condition(shard, p, SE_RESOURCE_CONSTRAINT);
		return true;
	}
	p->link = NULL;
	p->stage = STAGE_DELIVER;
	ok = tray_packet(&shard->tray, shard_for(shard, p), p);
	p->link = link;
	p->stage = stage;
	p->hash = hash;
	return ok;
}

void pass_on(struct shard *shard, struct packet *p)
{
	bool ours = serves_domain(shard, jid_domain(&p->to)), slow, sent;
	bool direct = ours && (!shard->server->set.detour || !p->to.node_len);
	struct outbox *ob;

	buf_clear(&shard->except);
	if (unlikely(shard->now && shard->now->user && shard->now->user->privacy) && !may_leave(shard, p))
		return;
	rcu_enter();
	ob = direct ? NULL : link_to(shard, &p->to, ours);
	slow = ob && refuses(shard, ob, p);
	if (ob && !slow)
		sent = emit_to_link(shard, ob, p);
	rcu_leave();
	if (slow) {
		stat_inc(STAT_LIMIT_SLOW_LINK);
		reply_condition(shard, p, SE_RESOURCE_CONSTRAINT);
		return;
	}
	if (!ob && !ours) {
		reply_condition(shard, p, SE_REMOTE_SERVER_NOT_FOUND);
		return;
	}
	if (!ob) {
		p->except = buf_span(&shard->except);
		sent = !shard->except.failed && hand_over(shard, p);
		p->except.n = 0;
	}
	if (!sent)
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a stanza was lost on its way here (out of memory)", SPAN_ARG(jid_full(&p->to)));
}

SHARD_THREAD_END
