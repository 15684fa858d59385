/* vacation.c - automated replies while somebody is away: http://jabber.org/protocol/vacation, XEP-0109 0.2.
 * Threads: shards; the table of who was told is shared, single words that nobody waits for.
 * Owns: a user's settings (struct user.vacation, one block); the user frees them.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "shardsm/clock.h"
#include "shardsm/datetime.h"
#include "shardsm/log.h"
#include "shardsm/module.h"

#define NS_VACATION "http://jabber.org/protocol/vacation"
#define MESSAGE_MAX 8191u /* it is in memory with the user */

struct vacation {
	int64_t start, end; /* unix seconds; 0: open */
	uint32_t len;
	char message[];
};

static struct vacation *vacation_new(int64_t begin, int64_t end, struct span message)
{
	struct vacation *v = malloc(sizeof(*v) + message.n);

	if (v) {
		*v = (struct vacation){ .start = begin, .end = end, .len = message.n };
		memcpy(v->message, message.p, message.n);
	}
	return v;
}

static int load_ask(struct store_req *req)
{
	return store_get(req, T_VACATION, STORE_ALL, value_null());
}

static bool load_done(struct user *u, const struct store_req *req, int first)
{
	struct span message;

	free(u->vacation);
	u->vacation = NULL;
	if (!store_rows(req, first))
		return true;
	message = store_value(req, first, 0, VACATION_MESSAGE).s;
	/* A column did not come through the gate. */
	if (!message.n || !xml_text_ok(message))
		return true;
	u->vacation = vacation_new(store_value(req, first, 0, VACATION_START).i, store_value(req, first, 0, VACATION_END).i, message);
	return u->vacation != NULL;
}

/* --- settings ------------------------------------------------------------------------------------------------------------- */

static void put_time(struct buf *b, const char *name, int64_t t)
{
	buf_fmt(b, "<%s>", name);
	if (t)
		buf_utc(b, t);
	buf_fmt(b, "</%s>", name);
}

static enum verdict get(struct event *ev)
{
	const struct vacation *v = ev->user->vacation;
	struct buf *b = scratch(ev->shard, 0);

	if (v) {
		buf_str(b, "<query xmlns='" NS_VACATION "'><message>");
		buf_text(b, span_of(v->message, v->len));
		buf_str(b, "</message>");
		put_time(b, "end", v->end);
		put_time(b, "start", v->start);
		buf_str(b, "</query>");
	}
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

static enum verdict on_committed(struct event *ev, struct store_req *answer)
{
	struct vacation *kept = ev->state, *copy = NULL;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "vacation settings could not be written");
	if (kept && !(copy = vacation_new(kept->start, kept->end, span_of(kept->message, kept->len))))
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": vacation settings not kept in memory (out of memory)",
			SPAN_ARG(store_req_owner(answer)));
	free(ev->user->vacation);
	ev->user->vacation = copy;
	reply_result(ev, (struct span){ 0 });
	return V_HANDLED;
}

/* Takes v. NULL: no vacation any more. */
static enum verdict write_settings(struct event *ev, struct vacation *v)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req)
		store_delete(req, T_VACATION, STORE_ALL, value_null());
	if (req && v)
		store_put(req, T_VACATION, (struct value[]){ [VACATION_START] = value_int(v->start),
			[VACATION_END] = value_int(v->end), [VACATION_MESSAGE] = value_text(span_of(v->message, v->len)) });
	return event_ask(ev, &req, on_committed, 0, v);
}

/* The text of the only child with that name, appended. False: it is not there, or twice. */
static bool one_child(const struct xml *query, const char *name, struct buf *out)
{
	struct xml *child = xml_child(query, NS_VACATION, name);

	if (!child || xml_next(child, NS_VACATION, name))
		return false;
	xml_text(child, out);
	return true;
}

/* Empty: open. COMPAT: jabberd2 keeps times in 32 bits. */
static enum verdict read_time(struct event *ev, const struct xml *query, const char *name, int64_t *t)
{
	struct buf *text = scratch(ev->shard, 1);

	*t = 0;
	if (!one_child(query, name, text))
		return event_error_text(ev, SE_BAD_REQUEST, "a vacation has one start, one end and one message");
	if (!text->n)
		return V_PASS;
	if (!datetime_read(buf_span(text), t))
		return event_error_text(ev, SE_BAD_REQUEST, "a time is written like 2026-11-22T06:17:03Z");
	if (*t < 1 || *t > INT32_MAX)
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "times lie between 1970 and 2038");
	return V_PASS;
}

static enum verdict set(struct event *ev, const struct xml *query)
{
	struct buf *message = scratch(ev->shard, 0);
	int64_t begin, end;
	struct vacation *v;
	enum verdict verdict;

	if (!xml_child(query, NULL, NULL))
		return write_settings(ev, NULL);
	if ((verdict = read_time(ev, query, "start", &begin)) != V_PASS || (verdict = read_time(ev, query, "end", &end)) != V_PASS)
		return verdict;
	if (!one_child(query, "message", message) || !message->n)
		return event_error_text(ev, SE_BAD_REQUEST, "a vacation has one start, one end and one message");
	if (message->n > MESSAGE_MAX)
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "a message holds at most 8191 bytes");
	v = message->failed ? NULL : vacation_new(begin, end, buf_span(message));
	return v ? write_settings(ev, v) : event_error(ev, SE_RESOURCE_CONSTRAINT);
}

static enum verdict on_vacation(struct event *ev)
{
	struct xml *query = event_request(ev);

	if (!event_payload(ev))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (!query || !xml_is(query, NS_VACATION, "query") || xml_next(query, NULL, NULL))
		return event_error_text(ev, SE_BAD_REQUEST, "the request is exactly one query element");
	return ev->type == ST_GET ? get(ev) : set(ev, query);
}

/* --- replies ----------------------------------------------------------------------------------------------------------------- */

/* Who was told about which vacation, by hash: bounded, so that one may be told again after very many others were. It outlives the
 * users, who are not in memory while they are away. */
#define TOLD_WAYS 8u
#define TOLD_SETS 8192u
static _Atomic uint64_t told[TOLD_SETS][TOLD_WAYS];

static bool told_before(uint64_t key)
{
	_Atomic uint64_t *set = told[key % TOLD_SETS];
	unsigned free_way = (unsigned)(key >> 32) % TOLD_WAYS;

	for (unsigned i = 0; i < TOLD_WAYS; i++) {
		uint64_t there = atomic_load_explicit(&set[i], memory_order_relaxed);

		if (there == key)
			return true;
		if (!there)
			free_way = i;
	}
	atomic_store_explicit(&set[free_way], key, memory_order_relaxed);
	return false;
}

static uint64_t told_key(struct event *ev, const struct vacation *v)
{
	struct buf *b = scratch(ev->shard, 1);

	buf_fmt(b, "%lld %lld ", (long long)v->start, (long long)v->end);
	buf_put(b, span_of(v->message, v->len));
	buf_put(b, span_of("", 1));
	buf_put(b, user_bare(ev->user));
	buf_put(b, span_of("", 1));
	buf_put(b, jid_bare(&ev->packet->from));
	return b->failed ? 0 : hash_bytes(buf_span(b));
}

static bool is_away(const struct vacation *v)
{
	int64_t now = clock_wall();

	return v && (!v->start || now >= v->start) && (!v->end || now <= v->end);
}

/* P25: an answer for a person who wrote something, once in a vacation. Never for servers and for what answers by itself, and the message
 * goes its way in any case. */
static enum verdict pkt_user(struct event *ev)
{
	const struct vacation *v = ev->user->vacation;
	const struct packet *p = ev->packet;
	struct buf *b;
	struct xml *message;

	if (!event_is(ev, PL_MESSAGE) || (ev->type != ST_NORMAL && ev->type != ST_CHAT) || !is_away(v) || user_top(ev->user) ||
		!p->from.s || !p->from.node_len || jid_same_bare(&p->from, &p->to))
		return V_PASS;
	message = event_payload(ev);
	if (!message || !xml_child(message, NS_CLIENT, "body") || told_before(told_key(ev, v)))
		return V_PASS;
	b = scratch(ev->shard, 0);
	buf_str(b, "<subject>Automated reply</subject><body>");
	buf_text(b, span_of(v->message, v->len));
	buf_str(b, "</body>");
	if (!b->failed) {
		struct span name = jid_domain(&p->to);
		struct jid domain = { name.p, 0, (uint16_t)name.n, (uint16_t)name.n };

		send_stanza(ev->shard, &(struct stanza){ .tag = "message", .content = buf_span(b), .from = &domain, .to = &p->from });
	}
	return V_PASS;
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_VACATION, STORE_ALL, value_null());
}

const struct module module_vacation = {
	.name = "vacation",
	.about = ABOUT_MESSAGES,
	.features = (const char *const[]){ NS_VACATION, NULL },
	.part = PART_ACCOUNT,
	.load_ask = load_ask,
	.load_done = load_done,
	.iq = (const struct iq_rule[]){ { IQ_GET | IQ_SET, TO_SELF, NS_VACATION, on_vacation }, { 0 } },
	.pkt_user = pkt_user,
	.user_delete = user_delete,
};
