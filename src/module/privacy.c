/* privacy.c - XEP-0016 Privacy Lists and XEP-0191 Blocking Command: where stanzas meet the lists.
 * Threads: shards; the limits change while these stand still.
 * Owns: nothing; the lists are the user's.
 *
 * A client's own stanzas are asked about in in-sess, in front of everything else that they would do; what the server sends for a user in
 * out-router; what comes for a user in in-router, and once more for each session that it would go to, whose active list may differ.
 */
#include "module/privacy.h"
#include "shardsm/stats.h"

struct privacy_limits privacy_limits;

static bool read_options(struct config *config, void *into)
{
	struct privacy_limits *l = into;

	/* Every list is in memory while its user is online, and the one in force is walked for every stanza and contact. */
	l->lists = (uint32_t)config_int(config, "limits.privacy-lists", 50, 1, 100000);
	l->items = (uint32_t)config_int(config, "limits.privacy-items", 1000, 1, 1000000);
	return true;
}

enum verdict privacy_too_many(struct event *ev, const char *what)
{
	stat_inc(STAT_LIMIT_PRIVACY);
	return event_error_text(ev, SE_POLICY_VIOLATION, what);
}

static bool is_notification(const struct event *ev)
{
	return event_is(ev, PL_PRESENCE) && (ev->type == ST_NONE || ev->type == ST_UNAVAILABLE);
}

static uint8_t kind_in(const struct event *ev)
{
	if (event_is(ev, PL_MESSAGE))
		return MASK_MESSAGE;
	if (event_is(ev, PL_IQ))
		return MASK_IQ;
	return is_notification(ev) ? MASK_PRESENCE_IN : 0;
}

/* COMPAT jabberd2: who wants no messages from somebody sends none; IQs are stopped on their way in only. */
static uint8_t kind_out(const struct event *ev)
{
	if (event_is(ev, PL_MESSAGE))
		return MASK_MESSAGE;
	return is_notification(ev) ? MASK_PRESENCE_OUT : 0;
}

/* An answer to a stanza that was let through, or an error: nobody is told of those. */
static bool is_answer(const struct event *ev)
{
	return ev->type == ST_ERROR || ev->type == ST_RESULT;
}

/* --- what a client sends ------------------------------------------------------------------------------------------------- */

/* XEP-0191 section 3.3: to a blocked JID. P13: an IQ is answered, too. */
static enum verdict refuse(struct event *ev)
{
	ev->detail = "<blocked xmlns='urn:xmpp:blocking:errors'/>";
	return event_error(ev, SE_NOT_ACCEPTABLE);
}

/* COMPAT jabberd2: nobody else is asked for these. */
static bool is_ours(const struct event *ev)
{
	struct span ns = packet_slice(ev->packet, ev->packet->route.child_ns);

	return (ev->type == ST_GET || ev->type == ST_SET) && event_is(ev, PL_IQ) && (span_is(ns, NS_PRIVACY) || span_is(ns, NS_BLOCKING));
}

static enum verdict in_sess(struct event *ev)
{
	struct packet *p = ev->packet;

	if (!p->to.s || !ev->session)
		return V_PASS;
	if (is_ours(ev))
		return event_error_text(ev, SE_BAD_REQUEST, "privacy lists and blocking are asked for without an addressee");
	if (!ev->user->privacy || !privacy_denies(privacy_in_force(ev->user->privacy, ev->session), ev->user, &p->to, kind_out(ev)))
		return V_PASS;
	return event_is(ev, PL_PRESENCE) || is_answer(ev) ? V_HANDLED : refuse(ev);
}

/* --- what the server sends for a user ------------------------------------------------------------------------------------ */

/* A presence for an account, of which rules single out some resources: those are left out, or are the only ones that get it. */
static void single_out(struct event *ev, const struct privacy_list *list, bool denied)
{
	struct packet *p = ev->packet;
	struct jid account = p->to, full;

	for (uint32_t i = 0; i < list->n; i++) {
		if (!privacy_names_resource(list, i, &full) || !jid_same_bare(&full, &account) || privacy_first(list, jid_full(&full)) < i ||
			privacy_denies(list, ev->user, &full, MASK_PRESENCE_OUT) == denied)
			continue;
		if (!denied) {
			event_except(ev, &full);
			continue;
		}
		p->to = full;
		pass_on(ev->shard, p);
		p->to = account;
	}
}

static enum verdict out_router(struct event *ev)
{
	const struct privacy_list *list = privacy_in_force(ev->user->privacy, ev->session);
	bool denied;

	if (is_answer(ev) || !list)
		return V_PASS;
	denied = privacy_denies(list, ev->user, &ev->packet->to, kind_out(ev));
	if (is_notification(ev) && ev->packet->to.node_len && !jid_has_resource(&ev->packet->to))
		single_out(ev, list, denied);
	return denied ? V_HANDLED : V_PASS;
}

/* --- what comes ------------------------------------------------------------------------------------------------------------ */

static enum verdict out_sess(struct event *ev)
{
	const struct privacy_list *list = privacy_in_force(ev->user->privacy, ev->session);

	if (is_answer(ev)) /* to a request of the session itself, or in-router let it through */
		return V_PASS;
	return privacy_denies(list, ev->user, &ev->packet->from, kind_in(ev)) ? V_HANDLED : V_PASS;
}

/* Would this session get what is for the account? */
static bool would_get(const struct event *ev, const struct session *s, const struct session *top)
{
	if (!session_available(s) || s->fake)
		return false;
	if (!event_is(ev, PL_MESSAGE))
		return true;
	return s->priority >= 0 && (ev->type == ST_HEADLINE || s->priority == top->priority);
}

/* Messages and notifications for an account go to its sessions, each with a list of its own: denied when all of those deny. What the
 * server handles for the user, and what finds nobody there, is the default list's. */
static bool account_denies(const struct event *ev)
{
	const struct user *u = ev->user;
	const struct session *top = user_top(u);
	const struct jid *peer = &ev->packet->from;
	uint8_t kind = kind_in(ev);
	bool any = false;

	for (const struct session *s = u->sessions; s && kind && kind != MASK_IQ; s = s->next) {
		if (!would_get(ev, s, top))
			continue;
		if (!privacy_denies(privacy_in_force(u->privacy, s), u, peer, kind))
			return false;
		any = true;
	}
	return any || privacy_denies(u->privacy->def, u, peer, kind);
}

/* Section 2.13, XEP-0191 section 3.3: the user looks as if offline. */
static enum verdict in_router(struct event *ev)
{
	const struct jid *to = &ev->packet->to;
	struct session *s;
	bool denied;

	if (!to->node_len || !ev->user || !ev->user->privacy)
		return V_PASS;
	s = jid_has_resource(to) ? user_session(ev->user, jid_resource(to)) : NULL;
	if (s)
		denied = privacy_denies(privacy_in_force(ev->user->privacy, s), ev->user, &ev->packet->from, kind_in(ev));
	else
		denied = account_denies(ev);
	if (!denied)
		return V_PASS;
	if (event_is(ev, PL_PRESENCE) || is_answer(ev) || ev->type == ST_HEADLINE)
		return V_HANDLED;
	return event_error(ev, SE_SERVICE_UNAVAILABLE);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_PRIVACY_ITEMS, STORE_ALL, value_null());
	store_delete(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null());
}

const struct module module_privacy = {
	.name = "privacy",
	.features = (const char *const[]){ NS_PRIVACY, NS_BLOCKING, NULL },
	.options = { &privacy_limits, sizeof(privacy_limits), read_options, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET | IQ_SET, TO_SELF, NS_PRIVACY, privacy_on_lists },
		{ IQ_GET | IQ_SET, TO_SELF, NS_BLOCKING, privacy_on_blocking }, { 0 } },
	.in_sess = in_sess,
	.out_router = out_router,
	.out_sess = out_sess,
	.in_router = in_router,
	.part = PART_PRIVACY,
	.load_ask = privacy_load_ask,
	.load_done = privacy_load_done,
	.user_unload = privacy_unload,
	.contact_turns = privacy_contact_turns,
	.user_delete = user_delete,
};
