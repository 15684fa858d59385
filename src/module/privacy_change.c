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
	return store_req_new(span_of(ev->user->view.bare, ev->user->view.bare_len));
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

/* --- telling contacts -------------------------------------------------------------------------------------------------------------- */

/* Is session s seen by j now, and not after the change (or the other way round)? */
struct turn {
	const struct privacy_list *from, *to;
};

static bool turns_off(const struct user *u, struct turn t, const struct jid *j)
{
	return !privacy_denies(t.from, u, j, MASK_PRESENCE_OUT) && privacy_denies(t.to, u, j, MASK_PRESENCE_OUT);
}

/* Whom the lists that come hide this session from: they are told that it is gone, as long as the old ones let them hear it. */
static void hide(struct event *ev, struct session *s, struct turn t)
{
	const struct roster *r = &ev->user->roster;
	struct jid me = session_jid(s), to;

	for (uint32_t i = 0; session_available(s) && i < r->n; i++)
		if (r->items[i]->from && jid_split(&to, item_jid(r->items[i])) && turns_off(ev->user, t, &to) &&
			presence_worth_sending(ev->shard, &to))
			send_presence(ev->shard, "unavailable", &me, &to);
	for (uint32_t i = s->directed.n; i-- > 0;) {
		const struct jid_text *d = &s->directed.jids[i];

		to = (struct jid){ d->s, d->node_len, d->bare_len, d->len };
		if (!turns_off(ev->user, t, &to))
			continue;
		send_presence(ev->shard, "unavailable", &me, &to);
		jid_set_remove(&s->directed, &to);
	}
}

/* To whom the lists that have gone hid it. */
static void show(struct event *ev, struct session *s, struct turn t)
{
	const struct roster *r = &ev->user->roster;
	const struct turn back = { t.to, t.from };
	struct jid to;

	for (uint32_t i = 0; session_available(s) && i < r->n; i++)
		if (r->items[i]->from && jid_split(&to, item_jid(r->items[i])) && turns_off(ev->user, back, &to) &&
			presence_worth_sending(ev->shard, &to))
			presence_send(s, &to, true);
}

static void tell_contacts(struct event *ev, const struct privacy *old, const struct privacy *next,
	void (*tell)(struct event *, struct session *, struct turn))
{
	for (struct session *s = ev->user->sessions; s; s = s->next) {
		const struct turn t = { privacy_in_force(old, s), privacy_in_force(next, s) };

		if (t.from != t.to && !s->fake)
			tell(ev, s, t);
	}
}

/* --- the change -------------------------------------------------------------------------------------------------------------------- */

static void apply(struct event *ev, struct privacy **change, const struct privacy_news *news)
{
	struct user *u = ev->user;
	struct privacy *old = u->privacy, *next = *change;

	*change = NULL;
	tell_contacts(ev, old, next, hide);
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
	tell_contacts(ev, old, next, show);
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
