/* deliver.c - where a stanza goes: RFC 6121 section 8.5 for what arrives, RFC 6120 section 10 for what leaves.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/module.h"
#include "shardsm/stats.h"

/* From a session of ours: stamped already, now on its way. */
static enum verdict in_sess(struct event *ev)
{
	struct packet *p = ev->packet;

	if (!p->to.s) {
		if (!event_is(ev, PL_MESSAGE))
			return V_PASS; /* an IQ for the account that no module took; presence is the presence module's */
		p->to = jid_to_bare(&p->from); /* RFC 6120 section 10.3.1 */
	}
	if (for_server(ev->shard, &p->to))
		deliver_to_server(ev);
	else
		pass_on(ev->shard, p);
	return V_HANDLED;
}

static enum verdict refuse(struct event *ev)
{
	stat_inc(STAT_LIMIT_SLOW_LINK);
	return event_error(ev, SE_RESOURCE_CONSTRAINT);
}

static bool listens(const struct session *s)
{
	return session_available(s) && !s->fake && s->priority >= 0;
}

static bool gets(const struct event *ev, const struct session *s, const struct session *top)
{
	return listens(s) && (ev->type == ST_HEADLINE || s->priority == top->priority);
}

/* Section 8.5.2.1.1: to a bare JID with somebody there. */
static enum verdict to_account(struct event *ev)
{
	struct session *top = user_top(ev->user);

	if (ev->type == ST_ERROR)
		return V_HANDLED;
	if (ev->type == ST_GROUPCHAT)
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	if (!top)
		return V_PASS; /* the offline module stores it, or says why not */
	for (struct session *s = ev->user->sessions; s; s = s->next)
		if (gets(ev, s, top) && session_refuses(s, ev->packet))
			return refuse(ev);
	for (struct session *s = ev->user->sessions; s; s = s->next)
		if (gets(ev, s, top))
			pass_to_session(ev, s, NULL);
	return V_HANDLED;
}

/* Section 8.5.3.2.1: to a full JID that nobody has. A chat goes on as if to the account; a normal message must not. */
static enum verdict to_nobody(struct event *ev)
{
	switch (ev->type) {
	case ST_CHAT:
		return to_account(ev);
	case ST_ERROR:
	case ST_HEADLINE:
		return V_HANDLED;
	default:
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	}
}

static enum verdict pkt_user(struct event *ev)
{
	const struct jid *to = &ev->packet->to;
	struct session *s;

	if (!event_is(ev, PL_MESSAGE) && !event_is(ev, PL_IQ))
		return V_PASS;
	if (!jid_has_resource(to))
		return event_is(ev, PL_MESSAGE) ? to_account(ev) : V_PASS;
	s = user_session(ev->user, jid_resource(to));
	if (s) {
		if (session_refuses(s, ev->packet))
			return refuse(ev);
		pass_to_session(ev, s, to);
		return V_HANDLED;
	}
	if (event_is(ev, PL_MESSAGE))
		return to_nobody(ev);
	return ev->type == ST_GET || ev->type == ST_SET ? event_error(ev, SE_SERVICE_UNAVAILABLE) : V_HANDLED;
}

const struct module module_deliver = {
	.name = "deliver",
	.features = (const char *const[]){ "iq", "message", NULL },
	.in_sess = in_sess,
	.pkt_user = pkt_user,
};
