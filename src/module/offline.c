/* offline.c - messages for nobody there: stored, and handed over when somebody comes. XEP-0160.
 * Threads: shards.
 * Owns: nothing.
 * A row is deleted only after it was written to the link of a session that still exists: a crash in between repeats it, none is lost.
 */
#include <stdlib.h>

#include "shardsm/clock.h"
#include "shardsm/datetime.h"
#include "shardsm/log.h"
#include "shardsm/module.h"
#include "shardsm/stats.h"

#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_EVENT "jabber:x:event"
#define NS_EXPIRE "jabber:x:expire"
#define NS_DELAY "urn:xmpp:delay"
#define NS_OLD_DELAY "jabber:x:delay"
/* Rows of one read: what is in memory of a long queue at a time. As many of the largest packets (limits.frame-bytes, as it is by default) are
 * less than an answer of the database may hold. */
#define PAGE 50

static struct options {
	bool drop_messages, store_headlines;
	int64_t quota; /* stanzas of one user; 0: no limit */
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->drop_messages = config_has(config, "offline.dropmessages");
	o->store_headlines = config_has(config, "offline.storeheadlines");
	o->quota = config_int(config, "offline.userquota", 0, 0, INT32_MAX);
	return true;
}

static int load_ask(struct store_req *req)
{
	return store_count(req, T_QUEUE, STORE_ALL, value_null());
}

static bool load_done(struct user *u, const struct store_req *req, int first)
{
	u->queued = (uint32_t)store_value(req, first, 0, 0).i;
	return true;
}

/* --- storing --------------------------------------------------------------------------------------------------------------- */

static bool mentions(struct span xml, const char *ns)
{
	return xml.n && memmem(xml.p, xml.n, ns, strlen(ns)) != NULL;
}

/* Does the stanza's content declare ns somewhere? Most declare nothing. */
static bool declares(const struct packet *p, const char *ns)
{
	return (p->route.flags & ROUTE_DECLARES) && mentions(packet_slice(p, p->route.content), ns);
}

/* Of a chat: only "is composing" and the like, and the thread that it belongs to. Worthless later; XEP-0160 section 3. */
static bool only_chat_state(struct event *ev)
{
	struct xml *root, *e;

	if (ev->type != ST_CHAT || !declares(ev->packet, NS_CHATSTATES))
		return false;
	root = event_payload(ev);
	for (e = root ? xml_child(root, NULL, NULL) : NULL; e; e = xml_next(e, NULL, NULL))
		if (!span_is(xml_ns(e), NS_CHATSTATES) && !xml_is(e, NS_CLIENT, "thread"))
			return false;
	return root != NULL;
}

/* XEP-0022 section 3.1: the sender asked to be told when the message is stored. An event that has an id is an answer itself. */
static void tell_stored(struct event *ev)
{
	const struct packet *p = ev->packet;
	struct buf *b = scratch(ev->shard, 0);
	struct xml *root, *x;

	if (!declares(p, NS_EVENT))
		return;
	root = event_payload(ev);
	x = root ? xml_child(root, NS_EVENT, "x") : NULL;
	if (!x || !xml_child(x, NS_EVENT, "offline") || xml_child(x, NS_EVENT, "id"))
		return;
	buf_str(b, "<x xmlns='" NS_EVENT "'><offline/><id>");
	buf_text(b, xml_attr(root, "id"));
	buf_str(b, "</id></x>");
	if (!b->failed)
		send_stanza(ev->shard, &(struct stanza){ .tag = "message",
			.type = ev->type == ST_CHAT ? "chat" : ev->type == ST_HEADLINE ? "headline" : NULL, .content = buf_span(b),
			.from = &p->to, .to = &p->from });
}

static enum verdict on_stored(struct event *ev, struct store_req *answer)
{
	ev->user->writes--;
	if (store_status(answer) != STORE_OK) {
		stat_inc(STAT_OFFLINE_REFUSED);
		return event_store_error(ev, answer, "a message could not be stored");
	}
	if (ev->user->parts & PART_QUEUE)
		ev->user->queued++;
	stat_inc(STAT_OFFLINE_STORED);
	tell_stored(ev);
	return V_HANDLED;
}

static enum verdict store(struct event *ev)
{
	struct buf *delay = scratch(ev->shard, 0), *row = scratch(ev->shard, 1);
	struct store_req *req;
	struct value values[1];
	enum verdict v;

	buf_str(delay, "<delay xmlns='urn:xmpp:delay'");
	buf_attr(delay, "from", jid_domain(&ev->packet->to));
	buf_str(delay, " stamp='");
	buf_utc(delay, clock_wall());
	buf_str(delay, "'/>");
	stored_write(row, ev, buf_span(delay));
	if (delay->failed || row->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	req = store_req_new(user_bare(ev->user));
	values[QUEUE_XML] = value_text(buf_span(row));
	if (req)
		store_put(req, T_QUEUE, values);
	v = event_ask(ev, &req, on_stored, ASK_FREE, NULL);
	if (v == V_PARKED)
		ev->user->writes++;
	return v;
}

static enum verdict store_below_quota(struct event *ev)
{
	if (ev->user->queued + ev->user->writes < set.quota)
		return store(ev);
	stat_inc(STAT_LIMIT_OFFLINE);
	stat_inc(STAT_OFFLINE_REFUSED);
	return ev->type == ST_HEADLINE ? V_HANDLED : event_error(ev, SE_SERVICE_UNAVAILABLE);
}

static enum verdict on_counted(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "stored messages could not be counted");
	load_done(ev->user, answer, 0);
	ev->user->parts |= PART_QUEUE;
	return store_below_quota(ev);
}

static enum verdict pkt_user(struct event *ev)
{
	struct store_req *req;

	if (!event_is(ev, PL_MESSAGE) || set.drop_messages ||
		(ev->type != ST_NORMAL && ev->type != ST_CHAT && !(ev->type == ST_HEADLINE && set.store_headlines)))
		return V_PASS;
	if (only_chat_state(ev))
		return V_HANDLED;
	if (!set.quota)
		return store(ev);
	if (ev->user->parts & PART_QUEUE)
		return store_below_quota(ev);
	/* Nobody else of this user is let in front meanwhile, so the count stays true. */
	req = store_req_new(user_bare(ev->user));
	if (req)
		load_ask(req);
	return event_ask(ev, &req, on_counted, ASK_AFTER_WRITES, NULL);
}

/* --- handing over ------------------------------------------------------------------------------------------------------------ */

/* What was written to the client's link may go. What was not stays, and is handed over again. */
static void on_written(struct shard *shard, struct user *u, bool written, uint64_t upto)
{
	struct store_req *req;

	if (!written) {
		u->flushed = 0;
		u->parts &= (uint8_t)~PART_QUEUE; /* counted again when somebody comes */
		return;
	}
	if (!u->flushed)
		return; /* the account was deleted meanwhile: what is there now is another's */
	/* From here on a read comes behind the delete; databases give low sequences again once the table is empty. */
	if (u->flushed == (int64_t)upto)
		u->flushed = 0;
	req = store_req_new(user_bare(u));
	if (req)
		store_delete_upto(req, T_QUEUE, (int64_t)upto);
	store_write(shard, &req);
}

static enum verdict ask_page(struct event *ev);

/* COMPAT: jabberd2's sm keeps a request for a subscription in the queue, and forgets it once it was delivered. Here it waits with the
 * others until it is answered. True: it was one, and is delivered with them when the session is greeted. */
static bool take_request(struct event *ev, struct span row)
{
	struct buf *attrs = scratch(ev->shard, 0), *content = scratch(ev->shard, 1);
	struct user *u = ev->user;
	const struct roster_item *item;
	struct store_req *rows;
	char from[JID_MAX + 1];
	struct jid who;

	if (!stored_request(ev->shard, row, &who, from, attrs, content))
		return false;
	item = roster_find(u, jid_bare(&who));
	if (item && item->from)
		return true; /* granted already */
	rows = event_rows(ev);
	if (!rows || !roster_pending_put(u, jid_bare(&who), buf_span(attrs), buf_span(content)))
		return false; /* no memory: at least it is delivered */
	store_delete(rows, T_PENDING, PENDING_JID, value_text(jid_bare(&who)));
	store_put(rows, T_PENDING, (struct value[]){ [PENDING_JID] = value_text(jid_bare(&who)), [PENDING_XML] = value_text(row) });
	return !ev->session->greeted;
}

static enum verdict on_room(struct event *ev, struct store_req *answer)
{
	(void)answer;
	return ev->session ? ask_page(ev) : V_PASS;
}

/* As many rows as there is room for on the link, and one at least if there is any: somebody's stored messages must not end everybody's link. */
static enum verdict on_page(struct event *ev, struct store_req *answer)
{
	uint32_t n = store_status(answer) == STORE_OK ? store_rows(answer, 0) : 0, done = 0;
	int64_t last = ev->user->flushed;
	uint64_t room;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "stored messages could not be read");
	if (!ev->session)
		return V_PASS;
	room = session_room(ev->session);
	if (n && !room)
		return event_await_written(ev, on_room);
	for (uint64_t sent = 0; done < n && sent < room; done++) {
		struct span row = store_value(answer, 0, done, QUEUE_XML).s;

		sent += row.n;
		/* A row that is no stanza any more is dropped with the others: it would come again and again. */
		if (!take_request(ev, row) && !stored_stale(ev, row) && !stored_to_session(ev->session, row))
			log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": row %lld of its queue is not a stanza and is dropped",
				SPAN_ARG(store_req_owner(answer)), (long long)store_sequence(answer, 0, done));
		last = store_sequence(answer, 0, done);
	}
	if (done) {
		stat_add(STAT_OFFLINE_DELIVERED, done);
		ev->user->flushed = last;
		ev->user->queued -= done < ev->user->queued ? done : ev->user->queued;
		if (!when_written(ev->session, on_written, (uint64_t)last))
			on_written(ev->shard, ev->user, false, 0);
	}
	if (done < n)
		return event_await_written(ev, on_room);
	return n == PAGE ? ask_page(ev) : V_PASS;
}

static enum verdict ask_page(struct event *ev)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req)
		store_get_page(req, T_QUEUE, ev->user->flushed, PAGE);
	return event_ask(ev, &req, on_page, ASK_AFTER_WRITES, NULL);
}

/* The first available presence of somebody who takes messages, when nobody else of the account does. */
static enum verdict in_sess(struct event *ev)
{
	int8_t priority;

	if (!event_is(ev, PL_PRESENCE) || ev->type != ST_NONE || ev->packet->to.s || !ev->session || ev->session->fake ||
		user_top(ev->user) || (!ev->user->queued && !ev->user->writes))
		return V_PASS;
	if (!presence_priority(ev, &priority))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	return priority < 0 ? V_PASS : ask_page(ev);
}

/* XEP-0023: seconds after it was stored the message is worthless. P18: the stamp may be of either kind. */
static bool stale(struct event *ev, struct span row)
{
	struct xml *stanza, *x, *delay;
	struct xml_doc *doc = mentions(row, NS_EXPIRE) ? stored_tree(ev->shard, row, &stanza) : NULL;
	struct buf *seconds = scratch(ev->shard, 0);
	int64_t stamp;
	bool late = false;

	if (!doc)
		return false;
	x = xml_child(stanza, NS_EXPIRE, "x");
	delay = xml_child(stanza, NS_DELAY, "delay"); /* the first is ours */
	if (!delay)
		delay = xml_child(stanza, NS_OLD_DELAY, "x");
	if (x && delay && datetime_read(xml_attr(delay, "stamp"), &stamp)) {
		char *end;

		buf_put(seconds, xml_attr(x, "seconds"));
		buf_put(seconds, span_of("", 1));
		if (!seconds->failed && seconds->p[0] >= '0' && seconds->p[0] <= '9') {
			unsigned long long n = strtoull(seconds->p, &end, 10);

			late = !*end && n < INT32_MAX && clock_wall() >= stamp + (int64_t)n;
		}
	}
	xml_free(&doc);
	return late;
}

/* --- the account goes ---------------------------------------------------------------------------------------------------------- */

static enum verdict bounce_page(struct event *ev, int64_t after);

static enum verdict on_bounce_page(struct event *ev, struct store_req *answer)
{
	uint32_t n = store_status(answer) == STORE_OK ? store_rows(answer, 0) : 0;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "stored messages could not be read");
	for (uint32_t i = 0; i < n; i++)
		(void)stored_bounce(ev->shard, store_value(answer, 0, i, QUEUE_XML).s, SE_ITEM_NOT_FOUND);
	return n == PAGE ? bounce_page(ev, store_sequence(answer, 0, n - 1)) : V_PASS;
}

static enum verdict bounce_page(struct event *ev, int64_t after)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req)
		store_get_page(req, T_QUEUE, after, PAGE);
	return event_ask(ev, &req, on_bounce_page, ASK_AFTER_WRITES, NULL);
}

/* Who wrote to it hears that it was never read. What is on its way to a client already is not. */
static enum verdict user_leaving(struct event *ev)
{
	return bounce_page(ev, ev->user->flushed);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_QUEUE, STORE_ALL, value_null());
}

const struct module module_offline = {
	.name = "offline",
	.about = ABOUT_MESSAGES | ABOUT_NOTIFICATIONS,
	.features = (const char *const[]){ "msgoffline", NULL },
	.options = { &set, sizeof(set), read_options, NULL },
	.part = PART_QUEUE,
	.load_ask = load_ask,
	.load_done = load_done,
	.in_sess = in_sess,
	.pkt_user = pkt_user,
	.stale = stale,
	.user_leaving = user_leaving,
	.user_delete = user_delete,
};
