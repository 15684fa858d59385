/* iq_last.c - XEP-0012 Last Activity: of the server, and of accounts for those who may see their presence.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/clock.h"
#include "shardsm/module.h"

#define NS_LAST "jabber:iq:last"

static enum verdict reply_seconds(struct event *ev, int64_t seconds)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_fmt(b, "<query xmlns='" NS_LAST "' seconds='%lld'/>", (long long)(seconds < 0 ? 0 : seconds));
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

static enum verdict on_logout_row(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "last logout could not be read");
	if (store_rows(answer, 0) == 0)
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	return reply_seconds(ev, clock_wall() - store_value(answer, 0, 0, LOGOUT_TIME).i);
}

static enum verdict on_last(struct event *ev)
{
	struct store_req *req;
	enum verdict v;

	if (from_stranger(ev)) /* not the forbidden of XEP-0012 section 3: it would tell that there is somebody */
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	v = event_asks(ev, NS_LAST, "query");
	if (v != V_PASS)
		return v;
	if (ev->chain == CHAIN_PKT_SM)
		return reply_seconds(ev, server_uptime(ev->shard));
	if (user_top(ev->user))
		return reply_seconds(ev, 0);
	req = store_req_new(user_bare(ev->user));
	if (req)
		store_get(req, T_LOGOUT, STORE_ALL, value_null());
	return event_ask(ev, &req, on_logout_row, ASK_AFTER_WRITES, NULL);
}

static void sess_end(struct event *ev)
{
	struct store_req *rows = event_rows(ev);
	struct value row[] = { [LOGOUT_TIME] = value_int(clock_wall()) };

	if (rows)
		store_merge(rows, T_LOGOUT, row);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_LOGOUT, STORE_ALL, value_null());
}

const struct module module_iq_last = {
	.name = "iq-last",
	.features = (const char *const[]){ NS_LAST, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SERVER | TO_ACCOUNT, NS_LAST, on_last }, { 0 } },
	.sess_end = sess_end,
	.user_delete = user_delete,
};
