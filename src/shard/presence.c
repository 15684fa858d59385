/* presence.c - who sees whom: the presence tracker that the modules presence, roster and session share.
 * Threads: the owning shard's.
 * Owns: nothing; a session owns its last presence and its two sets.
 * Source: RFC 6121 section 4.
 */
#include <stdio.h>
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/log.h"

SHARD_THREAD_BEGIN

bool from_stranger(const struct event *ev)
{
	return ev->chain == CHAIN_PKT_USER && !roster_lets_see(ev->user, &ev->packet->from);
}

bool presence_worth_sending(struct shard *shard, const struct jid *to)
{
	/* With the detour, another sm behind the router may hold the user: only the router can tell. */
	if (shard->server->set.detour || !serves_domain(shard, jid_domain(to)) || !to->node_len)
		return true;
	return online_any(shard->server, hash_bytes(jid_bare(to)));
}

void send_presence(struct shard *shard, const char *type, const struct jid *from, const struct jid *to)
{
	send_stanza(shard, &(struct stanza){ .tag = "presence", .type = type, .from = from, .to = to });
}

void presence_send(struct session *s, const struct jid *to, bool stamped)
{
	struct shard *shard = s->user->owner;
	const struct presence *p = s->presence;
	struct jid from = session_jid(s);
	struct buf *content = &shard->wire;

	if (!p)
		return;
	buf_clear(content);
	if (stamped) {
		buf_str(content, "<delay xmlns='urn:xmpp:delay'");
		buf_attr(content, "from", jid_full(&from));
		buf_str(content, " stamp='");
		buf_utc(content, p->stamp);
		buf_str(content, "'/>");
	}
	buf_put(content, span_of(p->text + p->attrs_len, p->content_len));
	if (!content->failed)
		send_stanza(shard, &(struct stanza){ .tag = "presence", .attrs = span_of(p->text, p->attrs_len),
			.content = buf_span(content), .from = &from, .to = to, .sure = true });
}

void presence_send_all(struct user *u, const struct jid *to)
{
	for (struct session *s = u->sessions; s; s = s->next)
		if (session_available(s) && !s->fake)
			presence_send(s, to, true); /* it is not from now */
}

void presence_send_unavailable_all(struct user *u, const struct jid *to)
{
	for (struct session *s = u->sessions; s; s = s->next) {
		struct jid from = session_jid(s);

		if (session_available(s) && !s->fake)
			send_presence(u->owner, "unavailable", &from, to);
	}
}

/* What the contacts behind the one in hand will need: of a large roster nothing is in the caches. */
#define ITEMS_AHEAD 8u
static inline void prefetch_ahead(struct shard *shard, const struct roster *r, uint32_t i)
{
	if (i + 2 * ITEMS_AHEAD < r->n)
		__builtin_prefetch(r->items[i + 2 * ITEMS_AHEAD]);
	if (i + ITEMS_AHEAD < r->n)
		online_prefetch(shard->server, r->items[i + ITEMS_AHEAD]->hash);
}

/* To everyone who may see this user, but for those whose server bounced this session's presence. */
static void to_subscribers(struct shard *shard, struct session *s, struct packet *p)
{
	const struct roster *r = user_roster(s->user);

	for (uint32_t i = 0; i < r->n; i++) {
		const struct roster_item *item = r->items[i];

		prefetch_ahead(shard, r, i);
		if (!item->from || !item_address(item, &p->to) || session_bounced(s, &p->to))
			continue;
		p->hash = item->hash;
		fanout_add(shard, p);
	}
	p->hash = 0;
	if (!fanout_send(shard, p))
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": presence did not reach all contacts (out of memory)", SPAN_ARG(jid_full(&p->from)));
}

static void to_directed(struct shard *shard, struct session *s, struct packet *p)
{
	for (uint32_t i = 0; s->extra && i < s->extra->directed.n; i++) {
		const struct jid_text *t = &s->extra->directed.jids[i];

		p->to = (struct jid){ t->s, t->node_len, t->bare_len, t->len };
		if (!roster_lets_see(s->user, &p->to))
			pass_on(shard, p);
	}
}

/* By way of the queue like everything else: what one has sent to one's own sessions before must not be overtaken. */
static void to_own(struct shard *shard, struct session *s, struct packet *p)
{
	for (struct session *other = s->user->sessions; other; other = other->next) {
		if (!session_available(other) || other->fake || (other == s && s->ended))
			continue;
		p->to = session_jid(other);
		fanout_count(shard, p);
		pass_on(shard, p);
	}
}

void presence_leave(struct session *s, struct span attrs, struct span content)
{
	struct shard *shard = s->user->owner;
	struct jid from = session_jid(s);
	struct packet p;

	if (!session_available(s) && !(s->extra && s->extra->directed.n))
		return;
	if (!packet_of_stanza(shard, &(struct stanza){ .tag = "presence", .type = "unavailable", .attrs = attrs, .content = content,
			.from = &from, .to = &from, .sure = true }, &p)) {
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": unavailable presence could not be sent (out of memory)",
			SPAN_ARG(jid_full(&from)));
		return;
	}
	if (session_available(s) && !s->fake) {
		to_own(shard, s, &p); /* itself included: RFC 6121 section 4.5.2 */
		to_subscribers(shard, s, &p);
	}
	to_directed(shard, s, &p);
	if (session_available(s)) {
		free(s->presence);
		s->presence = NULL;
		user_one_unavailable(s->user);
	}
	s->greeted = false;
	if (s->extra) {
		jid_set_fini(&s->extra->directed);
		jid_set_fini(&s->extra->bounced);
	}
}

/* The pass-through attributes of a stanza as raw XML, without type and id. */
static void keep_attrs(struct buf *out, const struct packet *p)
{
	struct packet_attrs at = { 0 };
	struct route_attr a;

	while (packet_next_attr(p, &at, &a)) {
		struct span name = packet_slice(p, a.name);

		if (!span_is(name, "type") && !span_is(name, "id"))
			packet_put_attr(out, p, &a);
	}
}

bool presence_become(struct session *s, struct packet *p, int8_t priority, int64_t now)
{
	struct buf *attrs = &s->user->owner->wire;
	struct span content = packet_slice(p, p->route.content);

	buf_clear(attrs);
	keep_attrs(attrs, p);
	struct presence *mine = attrs->failed ? NULL : malloc(sizeof(*mine) + attrs->n + content.n);

	if (!mine)
		return false;
	*mine = (struct presence){ .stamp = now, .attrs_len = attrs->n, .content_len = content.n };
	if (attrs->n)
		memcpy(mine->text, attrs->p, attrs->n);
	if (content.n)
		memcpy(mine->text + attrs->n, content.p, content.n);
	if (!s->presence && !user_one_available(s->user)) {
		free(mine);
		return false;
	}
	free(s->presence);
	s->presence = mine;
	s->priority = priority;
	return true;
}

void presence_broadcast(struct session *s, struct packet *p)
{
	struct shard *shard = s->user->owner;

	p->from = session_jid(s);
	if (s->fake)
		return;
	to_own(shard, s, p);
	to_subscribers(shard, s, p);
}

bool presence_priority(struct event *ev, int8_t *priority)
{
	struct buf *text = &ev->shard->wire;
	char number[20], *end;
	bool found;
	long v;

	*priority = 0;
	buf_clear(text);
	if (!event_child_text(ev, "priority", text, &found))
		return false;
	if (!found || text->n >= sizeof(number))
		return true;
	memcpy(number, text->p, text->n);
	number[text->n] = '\0';
	v = strtol(number, &end, 10);
	*priority = (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
	return true;
}

void server_presence(struct event *ev, const char *resource)
{
	const struct packet *p = ev->packet;
	char text[JID_MAX + 1];
	struct jid from;
	int n;

	if (!event_is(ev, PL_PRESENCE) || (ev->type != ST_PROBE && ev->type != ST_SUBSCRIBE) ||
		!serves_domain(ev->shard, jid_domain(&p->to)))
		return;
	n = snprintf(text, sizeof(text), SPAN_FMT "/%s", SPAN_ARG(jid_domain(&p->to)), resource);
	if (n > 0 && (size_t)n < sizeof(text) && jid_split(&from, span_of(text, (size_t)n)))
		send_presence(ev->shard, NULL, &from, &p->from);
}

SHARD_THREAD_END
