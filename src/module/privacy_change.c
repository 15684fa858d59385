/* privacy_change.c - a change of a user's privacy lists: written, put into force, told.
 * Threads: shards.
 * Owns: the change that waits for its commit, in its park.
 */
#include <stdlib.h>

#include "module/privacy.h"
#include "shardsm/log.h"

/* Waits for the commit. */
struct change {
	struct privacy *next;
	uint32_t list_len, blocking_len;
	char text[]; /* the name of the list, the push */
};

/* --- rows ------------------------------------------------------------------------------------------------------------------- */

struct store_req *privacy_request(const struct event *ev)
{
	return store_req_new(user_bare(ev->user));
}

void privacy_store_rule(struct store_req *req, struct span name, const struct rule_fields *rule)
{
	static const char *const types[] = { [RULE_JID] = "jid", [RULE_GROUP] = "group", [RULE_SUBSCRIPTION] = "subscription" };

	store_put(req, T_PRIVACY_ITEMS, (struct value[]){
		[PRIVITEM_LIST] = value_text(name),
		[PRIVITEM_TYPE] = rule->type ? value_text(span_str(types[rule->type])) : value_null(),
		[PRIVITEM_VALUE] = rule->type ? value_text(rule->value) : value_null(),
		[PRIVITEM_DENY] = value_int(rule->deny),
		[PRIVITEM_ORDER] = value_int(rule->order),
		[PRIVITEM_BLOCK] = value_int(rule->mask == MASK_ALL ? 0 : rule->mask),
	});
}

void privacy_store_list(struct store_req *req, struct span name, const struct privacy_list *list)
{
	store_delete(req, T_PRIVACY_ITEMS, PRIVITEM_LIST, value_text(name));
	for (uint32_t i = 0; list && i < list->n; i++) {
		const struct rule_fields rule = privacy_rule(list, i);

		privacy_store_rule(req, name, &rule);
	}
}

/* --- telling the user's sessions ------------------------------------------------------------------------------------------------ */

static void push(struct event *ev, struct session *s, struct span content)
{
	struct jid to = session_jid(s);

	send_to_session(ev->shard, s, &(struct stanza){ .tag = "iq", .type = "set", .id = fresh_id(ev->shard), .content = content, .to = &to });
}

/* XEP-0191 section 3.3: to all resources that have requested the blocklist. */
static void push_blocking(struct event *ev, struct span content)
{
	for (struct session *s = ev->user->sessions; s; s = s->next)
		if (s->asked & ASKED_BLOCKLIST)
			push(ev, s, content);
}

/* What blocks in one list and not in the other, as a push; none: nothing. */
static void push_difference(struct event *ev, const char *tag, const struct privacy_list *in, const struct privacy_list *not_in)
{
	struct buf *b = scratch(ev->shard, 3);
	bool any = false;

	buf_fmt(b, "<%s xmlns='" NS_BLOCKING "'>", tag);
	for (uint32_t i = 0; in && i < in->n; i++) {
		struct span jid = privacy_rule(in, i).value;

		if (!privacy_blocks(&in->rules[i]) || privacy_blocked(in, jid) < i || (not_in && privacy_blocked(not_in, jid) < not_in->n))
			continue;
		any = true;
		buf_str(b, "<item");
		buf_attr(b, "jid", jid);
		buf_str(b, "/>");
	}
	buf_fmt(b, "</%s>", tag);
	if (any && !b->failed)
		push_blocking(ev, buf_span(b));
}

/* XEP-0016 section 2.2, rule 10: to all connected resources. Where a client blocked, those that know nothing of lists are spared. */
static void push_list(struct event *ev, struct span name, bool to_all)
{
	struct buf *b = scratch(ev->shard, 3);

	buf_str(b, "<query xmlns='" NS_PRIVACY "'><list");
	buf_attr(b, "name", name);
	buf_str(b, "/></query>");
	for (struct session *s = ev->user->sessions; !b->failed && s; s = s->next)
		if (!s->fake && (to_all || (s->asked & ASKED_LISTS)))
			push(ev, s, buf_span(b));
}

/* --- the change -------------------------------------------------------------------------------------------------------------------- */

static void apply(struct event *ev, struct privacy **change, const struct privacy_news *news)
{
	struct user *u = ev->user;
	struct privacy *old = u->privacy, *next = *change;

	*change = NULL;
	privacy_hide(ev, old, next);
	u->privacy = next->n ? next : NULL;
	u->needs = next->def && next->def->uses_roster ? PART_ROSTER : 0;
	reply_result(ev, (struct span){ 0 });
	if (news->list.n)
		push_list(ev, news->list, !news->blocking.n);
	if (news->blocking.n) {
		push_blocking(ev, news->blocking);
	} else if (next->def != (old ? old->def : NULL)) {
		push_difference(ev, "block", next->def, old ? old->def : NULL);
		push_difference(ev, "unblock", old ? old->def : NULL, next->def);
	}
	privacy_show(ev, old, next);
	privacy_free(&old);
	if (!u->privacy)
		privacy_free(&next);
}

static enum verdict on_committed(struct event *ev, struct store_req *answer)
{
	struct change *change = ev->state;
	const struct privacy_news news = { span_of(change->text, change->list_len),
		span_of(change->text + change->list_len, change->blocking_len) };

	if (store_status(answer) != STORE_OK) {
		privacy_free(&change->next);
		return event_store_error(ev, answer, "privacy lists could not be written");
	}
	apply(ev, &change->next, &news);
	return V_HANDLED;
}

enum verdict privacy_commit(struct event *ev, struct privacy **next, struct store_req **req, const struct privacy_news *news)
{
	struct change *change;
	struct privacy *kept = *next;
	enum verdict v;

	if (!*req) {
		apply(ev, next, news);
		return V_HANDLED;
	}
	change = malloc(sizeof(*change) + news->list.n + news->blocking.n);
	if (!change) {
		store_req_free(req);
		privacy_free(next);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	*change = (struct change){ .next = kept, .list_len = news->list.n, .blocking_len = news->blocking.n };
	if (news->list.n)
		memcpy(change->text, news->list.p, news->list.n);
	if (news->blocking.n)
		memcpy(change->text + news->list.n, news->blocking.p, news->blocking.n);
	*next = NULL;
	v = event_ask(ev, req, on_committed, 0, change);
	if (v != V_PARKED)
		privacy_free(&kept);
	return v;
}
