/* iq_private.c - XEP-0049 Private XML Storage: one document for each namespace.
 * Threads: shards.
 * Owns: a session's set of fetched namespaces (struct session.private); the session frees it.
 * COMPAT: a row is the whole set request, as jabberd2 keeps it.
 */
#include <stdlib.h>

#include "shardsm/log.h"
#include "shardsm/module.h"
#include "shardsm/stats.h"

#define NS_PRIVATE "jabber:iq:private"
#define NS_BYTES_MAX 1023u /* what a database's index bears as a key */
#define FETCHED_MAX 32u    /* namespaces that one session is told about */

static struct options {
	uint32_t bytes;      /* of what is kept for one namespace */
	uint32_t namespaces; /* of one user */
} limits;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->bytes = (uint32_t)config_int(config, "limits.private-bytes", 131072, 4096, INT32_MAX);
	o->namespaces = (uint32_t)config_int(config, "limits.private-namespaces", 100, 1, INT32_MAX);
	return true;
}

/* --- which sessions know a namespace ------------------------------------------------------------------------------------ */

static bool has_fetched(const struct session *s, uint64_t ns)
{
	for (unsigned i = 0; s->extra && i < s->extra->nprivate; i++)
		if (s->extra->private[i] == ns)
			return true;
	return false;
}

/* Without memory the session is not told of changes: it may ask again. */
static void fetched(struct session *s, uint64_t ns)
{
	struct session_extra *e;

	if (has_fetched(s, ns) || !(e = session_extra(s)))
		return;
	if (!e->private && !(e->private = malloc(FETCHED_MAX * sizeof(*e->private))))
		return;
	e->private[e->nprivate < FETCHED_MAX ? e->nprivate++ : ns % FETCHED_MAX] = ns;
}

/* COMPAT: jabberd2 tells one's other resources with the request itself. */
static void push(struct event *ev, struct span content, uint64_t ns)
{
	for (struct session *s = ev->user->sessions; s; s = s->next) {
		struct jid to = session_jid(s);

		if (s != ev->session && has_fetched(s, ns))
			send_to_session(ev->shard, s, &(struct stanza){ .tag = "iq", .type = "set", .id = fresh_id(ev->shard),
				.content = content, .to = &to });
	}
}

/* --- the request --------------------------------------------------------------------------------------------------------- */

/* The request's query, and the namespace that all of its children are in. Both borrow the event's tree. */
static enum verdict read_request(struct event *ev, struct xml **query, struct span *ns)
{
	struct xml *child;

	*query = event_request(ev);
	if (!event_payload(ev))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (!*query || !xml_is(*query, NS_PRIVATE, "query") || xml_next(*query, NULL, NULL))
		return event_error_text(ev, SE_BAD_REQUEST, "the request is exactly one query element");
	child = xml_child(*query, NULL, NULL);
	if (!child)
		return event_error_text(ev, SE_BAD_REQUEST, "the query names no element");
	*ns = xml_ns(child);
	/* Section 2.3: "at least one child element with a proper namespace", and no more than one namespace. */
	if (!ns->n || span_is(*ns, NS_PRIVATE))
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "the element has no namespace of its own");
	if (ns->n > NS_BYTES_MAX)
		return event_error_text(ev, SE_NOT_ACCEPTABLE, "a namespace holds at most 1023 bytes");
	for (child = xml_next(child, NULL, NULL); child; child = xml_next(child, NULL, NULL))
		if (!span_eq(xml_ns(child), *ns))
			return event_error_text(ev, SE_NOT_ACCEPTABLE, "the elements are of more than one namespace");
	return V_PASS;
}

/* --- get ------------------------------------------------------------------------------------------------------------------ */

/* The query of the stored request. Without the session attributes of the time when it was made. */
static bool write_row(struct event *ev, struct span row, struct buf *out)
{
	struct xml *stanza, *query = NULL;
	struct xml_doc *doc = stored_tree(ev->shard, row, &stanza);

	if (!doc)
		return false;
	query = xml_child(stanza, NS_PRIVATE, "query");
	if (query)
		xml_write(out, query, NS_CLIENT, NS_SESSION);
	xml_free(&doc);
	return query != NULL;
}

static enum verdict on_row(struct event *ev, struct store_req *answer)
{
	struct buf *out = scratch(ev->shard, 0);
	struct xml *query;
	struct span ns;
	enum verdict v = read_request(ev, &query, &ns);
	bool found;

	if (v != V_PASS)
		return v;
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "private storage could not be read");
	if (ev->session)
		fetched(ev->session, hash_bytes(ns));
	found = store_rows(answer, 0) && write_row(ev, store_value(answer, 0, 0, PRIVATE_XML).s, out);
	if (store_rows(answer, 0) && !found)
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": its row of private storage for " SPAN_FMT " is not a stanza",
			SPAN_ARG(store_req_owner(answer)), SPAN_ARG(ns));
	if (!found)
		xml_write(out, query, NS_CLIENT, NS_SESSION); /* nothing is there: the request comes back */
	if (out->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(out));
	return V_HANDLED;
}

static enum verdict get(struct event *ev, struct span ns)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req)
		store_get(req, T_PRIVATE, PRIVATE_NS, value_text(ns));
	return event_ask(ev, &req, on_row, 0, NULL);
}

/* --- set ------------------------------------------------------------------------------------------------------------------ */

static enum verdict on_committed(struct event *ev, struct store_req *answer)
{
	struct buf *content = scratch(ev->shard, 0);
	struct xml *query;
	struct span ns;
	enum verdict v;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "private storage could not be written");
	reply_result(ev, (struct span){ 0 });
	v = read_request(ev, &query, &ns);
	if (v != V_PASS)
		return V_HANDLED; /* no memory to tell the others */
	xml_write(content, query, NS_CLIENT, NS_SESSION);
	if (!content->failed)
		push(ev, buf_span(content), hash_bytes(ns));
	return V_HANDLED;
}

static enum verdict over_limit(struct event *ev, const char *text)
{
	stat_inc(STAT_LIMIT_PRIVATE);
	return event_error_text(ev, SE_NOT_ACCEPTABLE, text);
}

static enum verdict write_set(struct event *ev, struct span ns)
{
	struct buf *row = scratch(ev->shard, 0);
	struct jid from = ev->packet->from;
	struct store_req *req;

	/* COMPAT: jabberd2's sm gives the row back as it stands, and the client wrote no sender. */
	ev->packet->from.s = NULL;
	stored_write(row, ev, (struct span){ 0 });
	ev->packet->from = from;
	if (row->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (row->n > limits.bytes)
		return over_limit(ev, "more than the server keeps for one namespace");
	req = store_req_new(user_bare(ev->user));
	if (req) {
		store_delete(req, T_PRIVATE, PRIVATE_NS, value_text(ns));
		store_put(req, T_PRIVATE,
			(struct value[]){ [PRIVATE_NS] = value_text(ns), [PRIVATE_XML] = value_text(buf_span(row)) });
	}
	return event_ask(ev, &req, on_committed, 0, NULL);
}

static enum verdict on_counted(struct event *ev, struct store_req *answer)
{
	struct xml *query;
	struct span ns;
	enum verdict v = read_request(ev, &query, &ns);

	if (v != V_PASS)
		return v;
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "private storage could not be counted");
	if (!store_value(answer, 1, 0, 0).i && store_value(answer, 0, 0, 0).i >= limits.namespaces)
		return over_limit(ev, "more namespaces than the server keeps for one user");
	return write_set(ev, ns);
}

/* Nobody else of this user is let in front between the look and the write. */
static enum verdict set(struct event *ev, struct span ns)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req) {
		store_count(req, T_PRIVATE, STORE_ALL, value_null());
		store_count(req, T_PRIVATE, PRIVATE_NS, value_text(ns));
	}
	return event_ask(ev, &req, on_counted, ASK_AFTER_WRITES, NULL);
}

/* COMPAT: jabberd2 takes one's own full JID and the server for oneself. */
static bool is_own(const struct event *ev)
{
	const struct packet *p = ev->packet;

	if (ev->to_self || jid_same(&p->to, &p->from))
		return true;
	return !p->to.node_len && !jid_has_resource(&p->to) && span_eq(jid_domain(&p->to), jid_domain(&p->from));
}

static enum verdict in_sess(struct event *ev)
{
	struct xml *query;
	struct span ns;
	enum verdict v;

	if (!event_is(ev, PL_IQ) || (ev->type != ST_GET && ev->type != ST_SET) ||
		!span_is(packet_slice(ev->packet, ev->packet->route.child_ns), NS_PRIVATE) || !is_own(ev))
		return V_PASS;
	v = read_request(ev, &query, &ns);
	if (v != V_PASS)
		return v;
	return ev->type == ST_GET ? get(ev, ns) : set(ev, ns);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_PRIVATE, STORE_ALL, value_null());
}

const struct module module_iq_private = {
	.name = "iq-private",
	.about = ABOUT_IQS,
	.features = (const char *const[]){ NS_PRIVATE, NULL },
	.options = { &limits, sizeof(limits), read_options, NULL },
	.in_sess = in_sess,
	.user_delete = user_delete,
};
