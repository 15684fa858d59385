/* status.c - the row in "status" that other programs read, and that answers probes for users who are not online.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/clock.h"
#include "shardsm/module.h"

#define SHOW_MAX 19 /* bytes of <show/>, as jabberd2 keeps them */

/* Absent values leave what the row has: the last presence outlives the session that sent it. */
static void merge(struct event *ev, const struct value *row)
{
	struct store_req *rows = event_rows(ev);

	if (rows)
		store_merge(rows, T_STATUS, row);
}

static void sess_start(struct event *ev)
{
	struct value row[] = {
		[STATUS_STATUS] = value_text(SPAN("online")),
		[STATUS_SHOW] = value_text(SPAN("")),
		[STATUS_LOGIN] = value_int(clock_wall()),
		[STATUS_XML] = value_null(),
	};

	if (!user_top(ev->user))
		merge(ev, row);
}

static enum verdict in_sess(struct event *ev)
{
	struct buf *show = scratch(ev->shard, 0), *xml = scratch(ev->shard, 1);

	if (!event_is(ev, PL_PRESENCE) || ev->type != ST_NONE || ev->packet->to.s || !ev->session)
		return V_PASS;
	if (ev->packet->route.content.len) {
		struct xml *root = event_payload(ev);

		if (root)
			xml_child_text(root, NS_CLIENT, "show", show);
	}
	stored_write(xml, ev, (struct span){ 0 });
	if (show->failed || xml->failed)
		return V_PASS; /* the row is a convenience: presence goes on without it */
	struct value row[] = {
		[STATUS_STATUS] = value_text(SPAN("online")),
		[STATUS_SHOW] = value_text(show->n && show->n <= SHOW_MAX ? buf_span(show) : SPAN("")),
		[STATUS_XML] = value_text(buf_span(xml)),
	};

	merge(ev, row);
	return V_PASS;
}

/* The last one, or the one that spoke for the account, says goodbye. */
static void sess_end(struct event *ev)
{
	struct session *top = user_top(ev->user);
	struct value row[] = {
		[STATUS_STATUS] = value_text(SPAN("offline")),
		[STATUS_SHOW] = value_text(SPAN("")),
		[STATUS_LOGOUT] = value_int(clock_wall()),
		[STATUS_XML] = value_null(),
	};

	if (!top || top == ev->session)
		merge(ev, row);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_STATUS, STORE_ALL, value_null());
}

const struct module module_status = {
	.name = "status",
	.in_sess = in_sess,
	.sess_start = sess_start,
	.sess_end = sess_end,
	.user_delete = user_delete,
};
