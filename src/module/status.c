/* status.c - the row in "status" that other programs read, and that answers probes for users who are not online.
 * Threads: shards; who elsewhere has a row stands under a mutex.
 * Owns: those names, for the life of the process.
 */
#include <pthread.h>
#include <stdlib.h>

#include "shardsm/clock.h"
#include "shardsm/module.h"

#define T_STATUS_COLUMNS (STATUS_XML + 1)
#define SHOW_MAX 19 /* bytes of <show/>, as jabberd2 keeps them */

static struct options {
	char *resource; /* NULL: none */
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;
	struct span text = config_text(config, "status.resource", "");

	o->resource = text.n ? strndup(text.p, text.n) : NULL;
	return o->resource || !text.n;
}

static void drop_options(void *old)
{
	struct options *o = old;

	free(o->resource);
}

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

/* The row of an available presence. False: no memory; the row is a convenience, presence goes on without it. */
static bool read_online(struct event *ev, struct buf *show, struct buf *xml, struct value *row)
{
	bool found;

	if (!event_child_text(ev, "show", show, &found))
		buf_clear(show);
	stored_write(xml, ev, (struct span){ 0 });
	memset(row, 0, T_STATUS_COLUMNS * sizeof(*row));
	row[STATUS_STATUS] = value_text(SPAN("online"));
	row[STATUS_SHOW] = value_text(show->n && show->n <= SHOW_MAX ? buf_span(show) : SPAN(""));
	row[STATUS_XML] = value_text(buf_span(xml));
	return !show->failed && !xml->failed;
}

static enum verdict in_sess(struct event *ev)
{
	struct buf *show = scratch(ev->shard, 0), *xml = scratch(ev->shard, 1);

	struct value row[T_STATUS_COLUMNS];

	if (event_is(ev, PL_PRESENCE) && ev->type == ST_NONE && !ev->packet->to.s && ev->session && read_online(ev, show, xml, row))
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

/* --- users elsewhere ------------------------------------------------------------------------------------------------------- */

/* Anybody may show the server presence, in the name of as many users as his server likes to have. Their rows are bounded: where a place is
 * full, the one that was heard of least recently goes. */
#define PLACES 1024u
#define PLACE_ROWS 8u

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static char *foreigners[PLACES][PLACE_ROWS]; /* bare JIDs, the latest first; malloc'd */

/* *gone: whose row has no place any more, malloc'd; NULL: nobody's. False: no memory. */
static bool remember(struct span bare, char **gone)
{
	char **place = foreigners[hash_bytes(bare) % PLACES], *copy = strndup(bare.p, bare.n);
	uint32_t i = 0;

	if (!copy)
		return false;
	pthread_mutex_lock(&counting);
	while (i < PLACE_ROWS - 1 && place[i] && strcmp(place[i], copy) != 0)
		i++;
	*gone = place[i];
	memmove(place + 1, place, i * sizeof(*place));
	place[0] = copy;
	pthread_mutex_unlock(&counting);
	if (*gone && span_is(bare, *gone)) {
		free(*gone);
		*gone = NULL;
	}
	return true;
}

static void forget_row(struct shard *shard, struct span bare)
{
	struct store_req *req = store_req_new(bare);

	if (req)
		store_delete(req, T_STATUS, STORE_ALL, value_null());
	store_write(shard, &req);
}

/* Users elsewhere who show the server their presence, in rows like those of its own for as long as they are there. */
static void foreign(struct event *ev)
{
	struct span bare = jid_bare(&ev->packet->from);
	struct buf *show = scratch(ev->shard, 0), *xml = scratch(ev->shard, 1);
	struct value row[T_STATUS_COLUMNS];
	struct store_req *req;
	char *gone;

	if (ev->type == ST_UNAVAILABLE) {
		forget_row(ev->shard, bare);
		return;
	}
	if (!read_online(ev, show, xml, row) || !remember(bare, &gone))
		return;
	if (gone)
		forget_row(ev->shard, span_str(gone));
	free(gone);
	req = store_req_new(bare);
	if (req)
		store_merge(req, T_STATUS, row);
	store_write(ev->shard, &req);
}

static enum verdict pkt_sm(struct event *ev)
{
	const struct jid *from = &ev->packet->from;

	if (!event_is(ev, PL_PRESENCE))
		return V_PASS;
	if (set.resource)
		server_presence(ev, set.resource);
	if ((ev->type == ST_NONE || ev->type == ST_UNAVAILABLE) && from->node_len && !serves_domain(ev->shard, jid_domain(from)) &&
		serves_domain(ev->shard, jid_domain(&ev->packet->to)))
		foreign(ev);
	return V_PASS;
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_STATUS, STORE_ALL, value_null());
}

const struct module module_status = {
	.name = "status",
	.about = ABOUT_NOTIFICATIONS | ABOUT_SUBSCRIPTIONS,
	.options = { &set, sizeof(set), read_options, drop_options },
	.pkt_sm = pkt_sm,
	.in_sess = in_sess,
	.sess_start = sess_start,
	.sess_end = sess_end,
	.user_delete = user_delete,
};
