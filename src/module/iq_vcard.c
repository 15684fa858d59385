/* iq_vcard.c - XEP-0054 vcard-temp: one's own vCard, and those of others to read.
 * Threads: shards; the limits change while these stand still.
 * Owns: nothing.
 * A vCard is stored twice, in one commit: as jabberd2's columns, which hold a part of it, and whole. What is given out is the
 * whole, as long as it still makes the columns that are there; after jabberd2 has changed those they are right, and the whole is
 * out of date.
 */
#include "module/vcard.h"
#include "shardsm/log.h"
#include "shardsm/module.h"
#include "shardsm/stats.h"

static struct options {
	struct vcard_limits fields;
	uint32_t bytes; /* of a whole one */
} limits;

static bool read_options(struct config *config, void *into)
{
	struct options *l = into;

	l->fields.field = (uint32_t)config_int(config, "user.vcard.max-field-size.default", 16384, 1, INT32_MAX);
	l->bytes = (uint32_t)config_int(config, "limits.vcard-bytes", 262144, 4096, INT32_MAX);
	l->fields.avatar = (uint32_t)config_int(config, "user.vcard.max-field-size.avatar", 16384, 1, INT32_MAX);
	return true;
}

/* The request, when it is exactly one vCard element. */
static enum verdict read_request(struct event *ev, struct xml **vcard)
{
	*vcard = event_request(ev);
	if (!event_payload(ev))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (!*vcard || !xml_is(*vcard, NS_VCARD, "vCard") || xml_next(*vcard, NULL, NULL))
		return event_error_text(ev, SE_BAD_REQUEST, "the request is exactly one vCard element");
	return V_PASS;
}

/* --- get ------------------------------------------------------------------------------------------------------------------ */

static bool same_columns(const struct value *a, const struct value *b)
{
	for (int i = 0; i < VCARD_COLUMNS; i++)
		if (!span_eq(a[i].s, b[i].s))
			return false;
	return true;
}

/* Is the whole vCard what the columns were made from? */
static bool is_current(struct event *ev, struct span whole, const struct value *row)
{
	struct buf *text = scratch(ev->shard, 1);
	struct value made[VCARD_COLUMNS];
	struct xml_doc *doc;
	bool current = false;

	if (!whole.n || !row_check(ev->shard, whole) || !(doc = xml_parse(whole, NULL)))
		return false;
	if (xml_is(xml_root(doc), NS_VCARD, "vCard"))
		current = vcard_columns(xml_root(doc), text, made) && same_columns(made, row);
	xml_free(&doc);
	return current;
}

static enum verdict on_rows(struct event *ev, struct store_req *answer)
{
	struct buf *out = scratch(ev->shard, 0);
	struct value row[VCARD_COLUMNS];
	struct span whole = { 0 };

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a vCard could not be read");
	if (!store_rows(answer, 0)) {
		if (ev->chain != CHAIN_IN_SESS) /* section 3.3: as an account that does not exist */
			return event_error(ev, ev->chain == CHAIN_PKT_USER ? SE_SERVICE_UNAVAILABLE : SE_ITEM_NOT_FOUND);
		reply_result(ev, SPAN("<vCard xmlns='" NS_VCARD "'/>"));
		return V_HANDLED;
	}
	for (int i = 0; i < VCARD_COLUMNS; i++)
		row[i] = store_value(answer, 0, 0, i);
	if (store_rows(answer, 1))
		whole = store_value(answer, 1, 0, VCARDXML_XML).s;
	if (is_current(ev, whole, row))
		buf_put(out, whole);
	else
		vcard_write(out, row);
	if (out->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(out));
	return V_HANDLED;
}

static enum verdict get(struct event *ev, struct span owner)
{
	struct store_req *req = store_req_new(owner);

	if (req) {
		store_get(req, T_VCARD, STORE_ALL, value_null());
		store_get(req, T_VCARD_XML, STORE_ALL, value_null());
	}
	return event_ask(ev, &req, on_rows, 0, NULL);
}

/* --- set ------------------------------------------------------------------------------------------------------------------ */

static enum verdict on_committed(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a vCard could not be written");
	reply_result(ev, (struct span){ 0 });
	return V_HANDLED;
}

static enum verdict refuse_size(struct event *ev, const struct xml *field, uint32_t limit)
{
	struct buf *why = scratch(ev->shard, 2);

	buf_fmt(why, "%.*s holds more than %u bytes", (int)(xml_local(field).n < 64 ? xml_local(field).n : 64), xml_local(field).p,
		limit);
	buf_put(why, span_of("", 1));
	return event_error_text(ev, SE_NOT_ACCEPTABLE, why->failed ? NULL : why->p);
}

static enum verdict set(struct event *ev, struct xml *vcard)
{
	struct buf *text = scratch(ev->shard, 0), *whole = scratch(ev->shard, 1);
	struct value columns[VCARD_COLUMNS];
	struct store_req *req;
	uint32_t limit;
	/* P22: nothing is cut off in silence. */
	const struct xml *over = vcard_over(vcard, &limits.fields, text, &limit);

	if (over) {
		stat_inc(STAT_LIMIT_VCARD);
		return refuse_size(ev, over, limit);
	}
	buf_clear(text);
	xml_write(whole, vcard, NULL, NS_SESSION);
	if (whole->n > limits.bytes) {
		stat_inc(STAT_LIMIT_VCARD);
		return refuse_size(ev, vcard, limits.bytes);
	}
	if (!vcard_columns(vcard, text, columns) || whole->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	req = store_req_new(user_bare(ev->user));
	if (req) {
		store_delete(req, T_VCARD, STORE_ALL, value_null());
		store_delete(req, T_VCARD_XML, STORE_ALL, value_null());
	}
	if (req && xml_child(vcard, NULL, NULL)) { /* an empty one is no vCard any more */
		store_put(req, T_VCARD, columns);
		store_put(req, T_VCARD_XML, (struct value[]){ [VCARDXML_XML] = value_text(buf_span(whole)) });
	}
	return event_ask(ev, &req, on_committed, 0, NULL);
}

static enum verdict on_own(struct event *ev)
{
	struct xml *vcard;
	enum verdict v = read_request(ev, &vcard);

	if (v != V_PASS)
		return v;
	return ev->type == ST_SET ? set(ev, vcard) : get(ev, user_bare(ev->user));
}

/* Somebody else's, or the server's. */
static enum verdict on_others(struct event *ev)
{
	struct xml *vcard;
	enum verdict v = read_request(ev, &vcard);

	if (v == V_PASS && ev->type == ST_SET)
		v = event_error(ev, SE_FORBIDDEN);
	if (v != V_PASS)
		return from_stranger(ev) ? event_error_text(ev, SE_SERVICE_UNAVAILABLE, NULL) : v;
	return get(ev, jid_bare(&ev->packet->to));
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_VCARD, STORE_ALL, value_null());
	store_delete(req, T_VCARD_XML, STORE_ALL, value_null());
}

const struct module module_iq_vcard = {
	.name = "iq-vcard",
	.features = (const char *const[]){ NS_VCARD, NULL },
	.options = { &limits, sizeof(limits), read_options, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET | IQ_SET, TO_SELF, NS_VCARD, on_own },
		{ IQ_GET | IQ_SET, TO_ACCOUNT | TO_SERVER, NS_VCARD, on_others }, { 0 } },
	.user_delete = user_delete,
};
