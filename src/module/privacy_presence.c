/* privacy_presence.c - who sees whom when a user's privacy lists change: XEP-0016 sections 2.10 and 2.11, XEP-0191 sections 3.3 and 3.4.
 * Threads: the owning shard's.
 * Owns: nothing.
 */
#include "module/privacy.h"

/* A contact that becomes another in the roster. */
struct contact { const struct roster_item *old, *next; };

/* The lists that were in force for a session, and those that come; or one list, and a contact that it may see differently. */
struct turn {
	const struct privacy_list *from, *to;
	const struct contact *contact; /* NULL: the roster stays as it is */
	bool asked; /* for an earlier session: the answers are for all */
};

static bool denied_before(const struct user *u, struct turn t, const struct jid *j, uint8_t kind)
{
	return t.contact ? privacy_denies_as(t.from, u, j, kind, t.contact->old) : privacy_denies(t.from, u, j, kind);
}

static bool denied_after(const struct user *u, struct turn t, const struct jid *j, uint8_t kind)
{
	return t.contact ? privacy_denies_as(t.to, u, j, kind, t.contact->next) : privacy_denies(t.to, u, j, kind);
}

static bool turns_off(const struct user *u, struct turn t, const struct jid *j, uint8_t kind)
{
	return !denied_before(u, t, j, kind) && denied_after(u, t, j, kind);
}

static bool turns_on(const struct user *u, struct turn t, const struct jid *j, uint8_t kind)
{
	return denied_before(u, t, j, kind) && !denied_after(u, t, j, kind);
}

/* Is it the contact, or a resource of it? */
static bool is_of(const struct contact *c, const struct jid *jid)
{
	return span_eq(item_jid(c->old), jid_bare(jid)) || span_eq(item_jid(c->old), jid_full(jid));
}

static void send_unavailable(struct event *ev, struct session *s, const struct jid *to)
{
	struct jid me = session_jid(s);

	if (presence_worth_sending(ev->shard, to))
		send_presence(ev->shard, "unavailable", &me, to);
}

/* Section 2.10: nothing more will be heard of a contact; what the session knows of it is not true any more. Said of everybody whose
 * presence it may see: that only who is there is said to have gone would tell of who hides. */
static void show_unavailable(struct event *ev, struct session *s, const struct jid *contact)
{
	struct jid me = session_jid(s);

	send_to_session(ev->shard, s, &(struct stanza){ .tag = "presence", .type = "unavailable", .from = contact, .to = &me });
}

static void show_current(struct event *ev, struct session *s, const struct jid *to)
{
	if (presence_worth_sending(ev->shard, to))
		presence_send(s, to, true);
}

/* RFC 6121 section 4.3.1: from the bare JID. */
static void probe(struct event *ev, struct turn t, const struct jid *contact)
{
	struct jid me = user_jid(ev->user);

	if (!t.asked)
		send_presence(ev->shard, "probe", &me, contact);
}

/* Calls fn for each resource of a contact that a rule of its own is about; list and but: those that are in the second are left out. */
static void each_resource(struct event *ev, struct session *s, struct turn t, const struct privacy_list *list,
	const struct privacy_list *but, void (*fn)(struct event *, struct session *, struct turn, const struct roster_item *, const struct jid *))
{
	const struct roster_item *item;
	struct jid jid;

	for (uint32_t i = 0; list && i < list->n; i++) {
		if (!privacy_names_resource(list, i, &jid) || privacy_first(list, jid_full(&jid)) < i ||
			(but && privacy_first(but, jid_full(&jid)) < but->n) || (t.contact && !is_of(t.contact, &jid)))
			continue;
		item = roster_for(ev->user, &jid);
		if (item)
			fn(ev, s, t, item, &jid);
	}
}

/* --- before the lists come: as long as the old ones let it be heard ------------------------------------------------------------- */

static void hide_resource(struct event *ev, struct session *s, struct turn t, const struct roster_item *item, const struct jid *full)
{
	struct jid bare = jid_to_bare(full);

	if (item->from && turns_off(ev->user, t, full, MASK_PRESENCE_OUT) && !turns_off(ev->user, t, &bare, MASK_PRESENCE_OUT))
		send_unavailable(ev, s, full);
	if (item->to && turns_off(ev->user, t, full, MASK_PRESENCE_IN) && !turns_off(ev->user, t, &bare, MASK_PRESENCE_IN))
		show_unavailable(ev, s, full);
}

static void hide_directed(struct event *ev, struct session *s, struct turn t)
{
	struct jid me = session_jid(s), to;

	for (uint32_t i = s->extra ? s->extra->directed.n : 0; i-- > 0;) {
		const struct jid_text *d = &s->extra->directed.jids[i];

		to = (struct jid){ d->s, d->node_len, d->bare_len, d->len };
		if ((t.contact && !is_of(t.contact, &to)) || !turns_off(ev->user, t, &to, MASK_PRESENCE_OUT))
			continue;
		send_presence(ev->shard, "unavailable", &me, &to);
		session_forget_directed(s, &to);
	}
}

/* Whom the lists that come hide this session from is told that it has gone (section 2.11); whom they hide from it, it is told of. */
static void hide(struct event *ev, struct session *s, struct turn t)
{
	const struct roster *r = user_roster(ev->user);
	struct jid jid;

	for (uint32_t i = 0; session_available(s) && i < r->n; i++) {
		if (!item_address(r->items[i], &jid))
			continue;
		if (r->items[i]->from && turns_off(ev->user, t, &jid, MASK_PRESENCE_OUT))
			send_unavailable(ev, s, &jid);
		if (r->items[i]->to && turns_off(ev->user, t, &jid, MASK_PRESENCE_IN))
			show_unavailable(ev, s, &jid);
	}
	if (session_available(s)) {
		each_resource(ev, s, t, t.from, NULL, hide_resource);
		each_resource(ev, s, t, t.to, t.from, hide_resource);
	}
	hide_directed(ev, s, t);
}

/* --- with the new lists ----------------------------------------------------------------------------------------------------------- */

static bool is_seen(const struct user *u, struct turn t, const struct jid *full, const struct jid *bare, uint8_t kind)
{
	if (turns_on(u, t, full, kind))
		return !turns_on(u, t, bare, kind);
	/* Went with the account, and should not have. */
	return turns_off(u, t, bare, kind) && !denied_after(u, t, full, kind);
}

static void show_resource(struct event *ev, struct session *s, struct turn t, const struct roster_item *item, const struct jid *full)
{
	struct jid bare = jid_to_bare(full);

	if (item->from && is_seen(ev->user, t, full, &bare, MASK_PRESENCE_OUT))
		show_current(ev, s, full);
	if (item->to && is_seen(ev->user, t, full, &bare, MASK_PRESENCE_IN))
		probe(ev, t, full);
}

/* XEP-0191 section 3.4, and the same the other way. */
static void show(struct event *ev, struct session *s, struct turn t)
{
	const struct roster *r = user_roster(ev->user);
	struct jid jid;

	for (uint32_t i = 0; session_available(s) && i < r->n; i++) {
		if (!item_address(r->items[i], &jid))
			continue;
		if (r->items[i]->from && turns_on(ev->user, t, &jid, MASK_PRESENCE_OUT))
			show_current(ev, s, &jid);
		if (r->items[i]->to && turns_on(ev->user, t, &jid, MASK_PRESENCE_IN))
			probe(ev, t, &jid);
	}
	if (session_available(s)) {
		each_resource(ev, s, t, t.from, NULL, show_resource);
		each_resource(ev, s, t, t.to, t.from, show_resource);
	}
}

/* --- the roster ---------------------------------------------------------------------------------------------------------------------- */

/* Whoever is not to see presence any more, or is seen for the first time, is told by the stanza that says so (roster_subscription.c). */
static void contact_hides(struct event *ev, struct session *s, struct turn t)
{
	const struct roster_item *old = t.contact->old, *next = t.contact->next;
	struct jid jid;

	if (session_available(s) && item_address(old, &jid)) {
		if (old->from && next && next->from && turns_off(ev->user, t, &jid, MASK_PRESENCE_OUT))
			send_unavailable(ev, s, &jid);
		if (old->to && turns_off(ev->user, t, &jid, MASK_PRESENCE_IN))
			show_unavailable(ev, s, &jid);
		each_resource(ev, s, t, t.from, NULL, hide_resource);
	}
	hide_directed(ev, s, t);
}

static void contact_shows(struct event *ev, struct session *s, struct turn t)
{
	const struct roster_item *old = t.contact->old, *next = t.contact->next;
	struct jid jid;

	if (!next || !session_available(s) || !item_address(next, &jid))
		return;
	if (old->from && next->from && turns_on(ev->user, t, &jid, MASK_PRESENCE_OUT))
		show_current(ev, s, &jid);
	if (old->to && next->to && turns_on(ev->user, t, &jid, MASK_PRESENCE_IN))
		probe(ev, t, &jid);
	each_resource(ev, s, t, t.from, NULL, show_resource);
}

/* --- both -------------------------------------------------------------------------------------------------------------------------------- */

static struct turn turn_of(const struct session *s, const struct privacy *old, const struct privacy *next, const struct contact *contact)
{
	return (struct turn){ .from = privacy_in_force(old, s), .to = privacy_in_force(next, s), .contact = contact };
}

static bool is_turn(struct turn t)
{
	return t.contact ? t.from && t.from->uses_roster : t.from != t.to;
}

static void each_session_turned(struct event *ev, const struct privacy *old, const struct privacy *next, const struct contact *contact,
	void (*tell)(struct event *, struct session *, struct turn))
{
	for (struct session *s = ev->user->sessions; s; s = s->next) {
		struct turn t = turn_of(s, old, next, contact);

		for (const struct session *before = ev->user->sessions; before != s && !t.asked; before = before->next) {
			const struct turn same = turn_of(before, old, next, contact);

			t.asked = session_available(before) && !before->fake && same.from == t.from && same.to == t.to;
		}
		if (is_turn(t) && !s->fake)
			tell(ev, s, t);
	}
}

void privacy_hide(struct event *ev, const struct privacy *old, const struct privacy *next)
{
	each_session_turned(ev, old, next, NULL, hide);
}

void privacy_show(struct event *ev, const struct privacy *old, const struct privacy *next)
{
	each_session_turned(ev, old, next, NULL, show);
}

void privacy_contact_turns(struct event *ev, const struct roster_item *old, const struct roster_item *next, bool after)
{
	const struct contact contact = { old, next };

	each_session_turned(ev, ev->user->privacy, ev->user->privacy, &contact, after ? contact_shows : contact_hides);
}
