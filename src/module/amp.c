/* amp.c - XEP-0079 Advanced Message Processing: rules that a message carries about its own delivery.
 * Threads: shards; options change while these stand still.
 * Owns: nothing.
 * Rules are read where the addressee is. Nothing is sent about error messages, nor about what another server says that it did with rules.
 */
#include "shardsm/clock.h"
#include "shardsm/datetime.h"
#include "shardsm/log.h"
#include "shardsm/module.h"

#define NS_AMP "http://jabber.org/protocol/amp"
#define NS_AMP_ERRORS "http://jabber.org/protocol/amp#errors"
#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"

enum action { DROP, ERROR, ALERT, NOTIFY, ACTIONS };
enum condition { DELIVER, EXPIRE_AT, MATCH_RESOURCE, CONDITIONS };
static const char *const action_names[ACTIONS] = { "drop", "error", "alert", "notify" };
static const char *const condition_names[CONDITIONS] = { "deliver", "expire-at", "match-resource" };

static struct options {
	bool no_action[ACTIONS], no_condition[CONDITIONS];
	bool no_storage, stores_headlines;
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->no_action[DROP] = config_has(config, "amp.disableactions.drop");
	o->no_action[ERROR] = config_has(config, "amp.disableactions.error");
	o->no_action[ALERT] = config_has(config, "amp.disableactions.alert");
	o->no_action[NOTIFY] = config_has(config, "amp.disableactions.notify");
	o->no_condition[DELIVER] = config_has(config, "amp.disableconditions.deliver");
	o->no_condition[EXPIRE_AT] = config_has(config, "amp.disableconditions.expireat");
	o->no_condition[MATCH_RESOURCE] = config_has(config, "amp.disableconditions.matchresource");
	o->no_storage = config_has(config, "amp.offlinestoragedisabled") || config_has(config, "offline.dropmessages");
	o->stores_headlines = config_has(config, "offline.storeheadlines");
	return true;
}

/* --- reading rules -------------------------------------------------------------------------------------------------------- */

static int named(struct span name, const char *const *names, const bool *off, int n)
{
	for (int i = 0; i < n; i++)
		if (span_is(name, names[i]))
			return off[i] ? -1 : i;
	return -1;
}

static int action_of(const struct xml *rule)
{
	return named(xml_attr(rule, "action"), action_names, set.no_action, ACTIONS);
}

static int condition_of(const struct xml *rule)
{
	return named(xml_attr(rule, "condition"), condition_names, set.no_condition, CONDITIONS);
}

static bool value_ok(const struct xml *rule)
{
	static const char *const deliver[] = { "direct", "forward", "gateway", "none", "stored", NULL };
	static const char *const match[] = { "any", "exact", "other", NULL };
	struct span value = xml_attr(rule, "value");
	int condition = condition_of(rule);
	int64_t at;

	if (condition == EXPIRE_AT)
		return datetime_read(value, &at);
	for (const char *const *v = condition == DELIVER ? deliver : match; *v; v++)
		if (span_is(value, *v))
			return true;
	return false;
}

static bool action_bad(const struct xml *rule) { return action_of(rule) < 0; }
static bool condition_bad(const struct xml *rule) { return condition_of(rule) < 0; }
static bool value_bad(const struct xml *rule) { return !value_ok(rule); }
static bool tells(const struct xml *rule) { return action_of(rule) != DROP; }

/* The rules of a message; NULL: it has none, or they are a report. */
static struct xml *rules_of(struct xml *message)
{
	struct xml *amp = message ? xml_child(message, NS_AMP, "amp") : NULL;

	return amp && !xml_attr(amp, "status").p ? amp : NULL;
}

/* --- telling the sender --------------------------------------------------------------------------------------------------- */

static void put_rule(struct buf *b, const struct xml *rule)
{
	static const char *const names[] = { "action", "condition", "value" };

	buf_str(b, "<rule");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (xml_attr(rule, names[i]).p)
			buf_attr(b, names[i], xml_attr(rule, names[i]));
	buf_str(b, "/>");
}

static void put_error(struct buf *b, enum stanza_condition c, const char *specific, const char *ns, struct span rules)
{
	const struct stanza_error *e = stanza_error(c);

	/* The XEP's type is modify for all of them. */
	buf_fmt(b, "<error code='%d' type='modify'><%s xmlns='" NS_STANZAS "'/><%s xmlns='%s'>", e->code, e->condition, specific, ns);
	buf_put(b, rules);
	buf_fmt(b, "</%s></error>", specific);
}

/* Between whom: of a message on its way or of a stored one. id: raw. */
struct parties {
	const struct jid *sender, *recipient;
	struct span id;
};

static void tell(struct shard *shard, const struct parties *who, const char *type, struct span content)
{
	send_stanza(shard, &(struct stanza){ .tag = "message", .type = type, .id = who->id, .content = content,
		.from = who->recipient, .to = who->sender });
}

/* P28: rules that are not understood are answered. S3: also where an attribute is missing. */
static enum verdict refuse(struct event *ev, const struct xml *amp, bool (*bad)(const struct xml *rule), enum stanza_condition c,
	const char *specific)
{
	struct buf *rules = scratch(ev->shard, 0), *content = scratch(ev->shard, 1);
	const struct packet *p = ev->packet;

	for (struct xml *r = xml_child(amp, NS_AMP, "rule"); r; r = xml_next(r, NS_AMP, "rule"))
		if (bad(r))
			put_rule(rules, r);
	put_error(content, c, specific, NS_AMP, buf_span(rules));
	xml_write(content, amp, NS_CLIENT, NS_SESSION);
	if (rules->failed || content->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	tell(ev->shard, &(struct parties){ &p->from, &p->to, packet_slice(p, p->route.id) }, "error", buf_span(content));
	return V_HANDLED;
}

/* True: the message goes no further. */
static bool act(struct shard *shard, const struct parties *who, const struct xml *rule)
{
	struct buf *one = scratch(shard, 0), *content = scratch(shard, 1);
	int action = action_of(rule);

	if (action == DROP)
		return true;
	put_rule(one, rule);
	if (action == ERROR)
		put_error(content, SE_UNDEFINED_CONDITION, "failed-rules", NS_AMP_ERRORS, buf_span(one));
	buf_fmt(content, "<amp xmlns='" NS_AMP "' status='%s'", action_names[action]);
	buf_attr(content, "from", jid_full(who->sender));
	buf_attr(content, "to", jid_full(who->recipient));
	buf_str(content, ">");
	buf_put(content, buf_span(one));
	buf_str(content, "</amp>");
	if (one->failed || content->failed)
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a report about a message was lost (out of memory)",
			SPAN_ARG(jid_full(who->sender)));
	else
		tell(shard, who, action == ERROR ? "error" : NULL, buf_span(content));
	return action != NOTIFY;
}

/* --- what will become of the message -------------------------------------------------------------------------------------- */

struct fate {
	const char *deliver; /* as the condition's values name it */
	bool exact;          /* to the very resource that was named */
};

/* RFC 6121 section 8.5, as the module deliver follows it. */
static struct fate fate_of(struct event *ev)
{
	const struct jid *to = &ev->packet->to;
	bool full = jid_has_resource(to);

	if (full && user_session(ev->user, jid_resource(to)))
		return (struct fate){ "direct", true };
	if (ev->type == ST_GROUPCHAT || (full && ev->type != ST_CHAT))
		return (struct fate){ "none", false };
	if (user_top(ev->user))
		return (struct fate){ "direct", false };
	/* Storage is of the account: for a bare JID it is the very address that was named. */
	if (!set.no_storage && (ev->type != ST_HEADLINE || set.stores_headlines))
		return (struct fate){ "stored", !full };
	return (struct fate){ "none", false };
}

static bool is_late(const struct xml *rule)
{
	int64_t at;

	return datetime_read(xml_attr(rule, "value"), &at) && clock_wall() >= at;
}

static bool is_met(const struct xml *amp, const struct xml *rule, const struct fate *fate)
{
	struct span value = xml_attr(rule, "value");

	switch (condition_of(rule)) {
	case DELIVER:
		return span_is(value, fate->deliver);
	case EXPIRE_AT:
		return is_late(rule);
	case MATCH_RESOURCE:
		/* Section 3.3.3: never for each hop. */
		if (span_is(xml_attr(amp, "per-hop"), "true") || strcmp(fate->deliver, "none") == 0)
			return false;
		if (span_is(value, "any"))
			return strcmp(fate->deliver, "direct") == 0;
		return span_is(value, "exact") == fate->exact;
	default:
		return false;
	}
}

static enum verdict process(struct event *ev, const struct xml *amp)
{
	const struct packet *p = ev->packet;
	const struct parties who = { &p->from, &p->to, packet_slice(p, p->route.id) };
	struct fate fate = fate_of(ev);

	for (struct xml *r = xml_child(amp, NS_AMP, "rule"); r; r = xml_next(r, NS_AMP, "rule"))
		if (is_met(amp, r, &fate))
			return act(ev->shard, &who, r) ? V_HANDLED : V_PASS; /* the first one that is met is the last one */
	return V_PASS;
}

static bool has_bad(const struct xml *amp, bool (*bad)(const struct xml *rule))
{
	for (struct xml *r = xml_child(amp, NS_AMP, "rule"); r; r = xml_next(r, NS_AMP, "rule"))
		if (bad(r))
			return true;
	return false;
}

/* Section 9: every report tells who is online, and when. Who may not see that may have messages dropped, and no more. */
static enum verdict process_for(struct event *ev, const struct xml *amp)
{
	enum verdict v = event_load(ev, PART_ROSTER);

	if (v != V_PASS)
		return v;
	return roster_lets_see(ev->user, &ev->packet->from) ? process(ev, amp)
							    : refuse(ev, amp, tells, SE_NOT_ACCEPTABLE, "invalid-rules");
}

static bool mentions_amp(struct span content)
{
	return content.n && memmem(content.p, content.n, NS_AMP, sizeof(NS_AMP) - 1) != NULL;
}

static enum verdict pkt_user(struct event *ev)
{
	struct xml *message, *amp;

	if (!event_is(ev, PL_MESSAGE) || !(ev->packet->route.flags & ROUTE_DECLARES) || ev->type == ST_ERROR || !ev->packet->from.s ||
		!mentions_amp(packet_slice(ev->packet, ev->packet->route.content)))
		return V_PASS;
	message = event_payload(ev);
	if (!message)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	amp = rules_of(message);
	if (!amp)
		return V_PASS;
	if (has_bad(amp, action_bad))
		return refuse(ev, amp, action_bad, SE_BAD_REQUEST, "unsupported-actions");
	if (has_bad(amp, condition_bad))
		return refuse(ev, amp, condition_bad, SE_BAD_REQUEST, "unsupported-conditions");
	if (has_bad(amp, value_bad))
		return refuse(ev, amp, value_bad, SE_NOT_ACCEPTABLE, "invalid-rules");
	return has_bad(amp, tells) ? process_for(ev, amp) : process(ev, amp);
}

/* A message that was stored in time and is handed over too late. */
static bool stale(struct event *ev, struct span row)
{
	char from_buf[JID_MAX + 1], to_buf[JID_MAX + 1];
	struct xml *message, *amp;
	struct jid from, to;
	struct xml_doc *doc = mentions_amp(row) ? stored_tree(ev->shard, row, &message) : NULL;
	struct buf *id = scratch(ev->shard, 2);
	bool gone = false;

	if (!doc)
		return false;
	amp = rules_of(message);
	buf_text(id, xml_attr(message, "id"));
	if (amp && jid_prep(&from, xml_attr(message, "from"), from_buf) && jid_prep(&to, xml_attr(message, "to"), to_buf) &&
		!id->failed) {
		struct xml *r = xml_child(amp, NS_AMP, "rule");

		while (r && !(condition_of(r) == EXPIRE_AT && action_of(r) >= 0 && is_late(r)))
			r = xml_next(r, NS_AMP, "rule");
		gone = r && ((tells(r) && !roster_lets_see(ev->user, &from)) ||
				    act(ev->shard, &(struct parties){ &from, &to, buf_span(id) }, r));
	}
	xml_free(&doc);
	return gone;
}

/* --- service discovery ----------------------------------------------------------------------------------------------------- */

static void put_features(struct buf *b, const char *what, const char *const *names, const bool *off, int n)
{
	for (int i = 0; i < n; i++)
		if (!off[i])
			buf_fmt(b, "<feature var='" NS_AMP "?%s=%s'/>", what, names[i]);
}

/* The node of section 2.1.1; any other is not ours to know. */
static enum verdict on_info(struct event *ev)
{
	struct xml *query = event_request(ev);
	struct buf *b = scratch(ev->shard, 0);

	if (!query || !span_is(xml_attr(query, "node"), NS_AMP))
		return V_PASS;
	buf_str(b, "<query xmlns='" NS_DISCO_INFO "' node='" NS_AMP "'><identity category='im' type='server'"
		   " name='Advanced Message Processing support'/><feature var='" NS_AMP "'/>");
	put_features(b, "action", action_names, set.no_action, ACTIONS);
	put_features(b, "condition", condition_names, set.no_condition, CONDITIONS);
	buf_str(b, "</query>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

const struct module module_amp = {
	.name = "amp",
	.about = ABOUT_MESSAGES,
	.features = (const char *const[]){ NS_AMP, NULL },
	.options = { &set, sizeof(set), read_options, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SERVER, NS_DISCO_INFO, on_info }, { 0 } },
	.pkt_user = pkt_user,
	.stale = stale,
};
