/* offline.c - messages for nobody there: stored, and handed over when somebody comes. XEP-0160.
 * Threads: shards.
 * Owns: nothing.
 * A row is deleted only after it was written to the link of a session that still exists: a crash in between repeats it, none is lost.
 */
#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/module.h"

#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define PAGE 200 /* rows of one read: what is in memory of a long queue at a time */

static bool drop_messages;

static bool start(struct config *config)
{
	drop_messages = config_has(config, "offline.dropmessages");
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

/* Only "is composing" and the like, and the thread that it belongs to: worthless later. */
static bool only_chat_state(struct event *ev)
{
	struct span content = packet_slice(ev->packet, ev->packet->route.content);
	struct xml *root, *e;

	if (ev->type == ST_NORMAL || !memmem(content.p, content.n, NS_CHATSTATES, sizeof(NS_CHATSTATES) - 1))
		return false;
	root = event_payload(ev);
	for (e = root ? xml_child(root, NULL, NULL) : NULL; e; e = xml_next(e, NULL, NULL))
		if (!span_is(xml_ns(e), NS_CHATSTATES) && !xml_is(e, NS_CLIENT, "thread"))
			return false;
	return root != NULL;
}

static enum verdict on_stored(struct event *ev, struct store_req *answer)
{
	ev->user->writes--;
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a message could not be stored");
	if (ev->user->parts & PART_QUEUE)
		ev->user->queued++;
	return V_HANDLED;
}

static enum verdict pkt_user(struct event *ev)
{
	struct buf *delay = scratch(ev->shard, 0), *row = scratch(ev->shard, 1);
	struct store_req *req;
	struct value values[1];
	enum verdict v;

	if (!event_is(ev, PL_MESSAGE) || (ev->type != ST_NORMAL && ev->type != ST_CHAT) || drop_messages)
		return V_PASS;
	if (only_chat_state(ev))
		return V_HANDLED;
	buf_str(delay, "<delay xmlns='urn:xmpp:delay'");
	buf_attr(delay, "from", jid_domain(&ev->packet->to));
	buf_str(delay, " stamp='");
	buf_utc(delay, clock_wall());
	buf_str(delay, "'/>");
	stored_write(row, ev, buf_span(delay));
	if (delay->failed || row->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	req = store_req_new(span_of(ev->user->view.bare, ev->user->view.bare_len));
	values[QUEUE_XML] = value_text(buf_span(row));
	if (req)
		store_put(req, T_QUEUE, values);
	v = event_ask(ev, &req, on_stored, ASK_FREE, NULL);
	if (v == V_PARKED)
		ev->user->writes++;
	return v;
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
	/* From here on a read comes behind the delete; databases give low sequences again once the table is empty. */
	if (u->flushed == (int64_t)upto)
		u->flushed = 0;
	req = store_req_new(span_of(u->view.bare, u->view.bare_len));
	if (req)
		store_delete_upto(req, T_QUEUE, (int64_t)upto);
	store_write(shard, &req);
}

static enum verdict ask_page(struct event *ev);

static enum verdict on_page(struct event *ev, struct store_req *answer)
{
	uint32_t n = store_status(answer) == STORE_OK ? store_rows(answer, 0) : 0;
	int64_t last = ev->user->flushed;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "stored messages could not be read");
	if (!ev->session)
		return V_PASS;
	for (uint32_t i = 0; i < n; i++) {
		/* A row that is no stanza any more is dropped with the others: it would come again and again. */
		if (!stored_to_session(ev->session, store_value(answer, 0, i, QUEUE_XML).s))
			log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": row %lld of its queue is not a stanza and is dropped",
				SPAN_ARG(store_req_owner(answer)), (long long)store_sequence(answer, 0, i));
		last = store_sequence(answer, 0, i);
	}
	if (n) {
		ev->user->flushed = last;
		ev->user->queued -= n < ev->user->queued ? n : ev->user->queued;
		if (!when_written(ev->session, on_written, (uint64_t)last))
			on_written(ev->shard, ev->user, false, 0);
	}
	return n == PAGE ? ask_page(ev) : V_PASS;
}

static enum verdict ask_page(struct event *ev)
{
	struct store_req *req = store_req_new(span_of(ev->user->view.bare, ev->user->view.bare_len));

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

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_QUEUE, STORE_ALL, value_null());
}

const struct module module_offline = {
	.name = "offline",
	.features = (const char *const[]){ "msgoffline", NULL },
	.start = start,
	.part = PART_QUEUE,
	.load_ask = load_ask,
	.load_done = load_done,
	.in_sess = in_sess,
	.pkt_user = pkt_user,
	.user_delete = user_delete,
};
