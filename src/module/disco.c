/* disco.c - XEP-0030 Service Discovery of the server, of accounts and of the services beside it; XEP-0094 Agents for old clients.
 * Threads: shards; the options change while these stand still.
 * Owns: nothing; disco_services.c keeps the services.
 */
#include <stdlib.h>

#include "module/disco.h"
#include "shardsm/aci.h"

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_AGENTS "jabber:iq:agents"
#define NODE_SESSIONS "sessions"
#define SESSIONS_BYTES (1u << 20) /* of the items of one answer: it is one stanza, and peers have limits */

static struct options {
	struct span category, type, name;
	bool agents;
	struct service_view *_Atomic fixed; /* the services of sm.xml */
} set;

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->category = config_text(config, "discovery.identity.category", "server");
	o->type = config_text(config, "discovery.identity.type", "im");
	o->name = config_text(config, "discovery.identity.name", "Jabber IM server");
	o->agents = config_has(config, "discovery.agents");
	return services_read(config, &o->fixed);
}

static void drop_options(void *old)
{
	struct options *o = old;

	services_drop(&o->fixed);
}

static enum verdict reply(struct event *ev, struct buf *b)
{
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

/* --- the server ----------------------------------------------------------------------------------------------------------- */

static enum verdict server_info(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_INFO "'><identity");
	buf_attr(b, "category", set.category);
	buf_attr(b, "type", set.type);
	buf_attr(b, "name", set.name);
	buf_str(b, "/>");
	disco_features(ev->shard, b);
	if (set.agents)
		buf_str(b, "<feature var='" NS_AGENTS "'/>");
	disco_extensions(ev, b);
	buf_str(b, "</query>");
	return reply(ev, b);
}

static void put_item(struct span jid, const struct service_info *info, void *arg)
{
	struct buf *b = arg;

	buf_str(b, "<item");
	buf_attr(b, "jid", jid);
	if (info->name.n)
		buf_attr(b, "name", info->name);
	buf_str(b, "/>");
}

static enum verdict server_items(struct event *ev, bool admin)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_ITEMS "'>");
	services_each_rcu(&set.fixed, put_item, b);
	if (admin) {
		buf_str(b, "<item");
		buf_attr(b, "jid", jid_bare(&ev->packet->to));
		buf_str(b, " node='" NODE_SESSIONS "' name='Active sessions'/>");
	}
	buf_str(b, "</query>");
	return reply(ev, b);
}

/* A list of sessions on its way from shard to shard: each adds its own, the last one answers. */
struct listing {
	struct packet *asked; /* kept */
	uint32_t shards;      /* that have added theirs */
	struct buf text;
};

static bool put_session(struct session *s, void *arg)
{
	struct buf *b = arg;
	struct jid jid = session_jid(s);

	buf_str(b, "<item");
	buf_attr(b, "jid", jid_full(&jid));
	buf_str(b, " name='Active session'/>");
	return !b->failed && b->n < SESSIONS_BYTES;
}

static void listed(struct shard *here, struct listing *l)
{
	struct event ev = { .shard = here, .packet = l->asked };

	buf_str(&l->text, "</query>");
	if (l->text.failed) {
		ev.condition = SE_RESOURCE_CONSTRAINT;
		reply_error(&ev);
	} else {
		reply_result(&ev, buf_span(&l->text));
	}
	buf_free(&l->text);
	packet_drop(&l->asked);
	free(l);
}

static void list_here(struct shard *here, struct span data)
{
	struct listing *l;

	memcpy(&l, data.p, sizeof(l));
	if (l->text.n < SESSIONS_BYTES)
		each_session(here, put_session, &l->text);
	if (++l->shards < server_shards(here)) {
		if (on_next_shard(here, list_here, data))
			return;
		l->text.failed = true;
	}
	listed(here, l);
}

/* The sessions of the whole server. */
static enum verdict list_sessions(struct event *ev)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (l)
		l->asked = packet_keep(ev->packet);
	if (!l || !l->asked) {
		free(l);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	l->asked->stage = STAGE_DELIVER; /* whoever answers is on another shard than the one who asked */
	buf_str(&l->text, "<query xmlns='" NS_ITEMS "' node='" NODE_SESSIONS "'>");
	list_here(ev->shard, span_of((const char *)&l, sizeof(l)));
	return V_HANDLED;
}

/* For those whom ACL disco names. */
static enum verdict sessions_node(struct event *ev, bool info)
{
	struct buf *b = scratch(ev->shard, 0);

	if (!info)
		return list_sessions(ev);
	buf_str(b, "<query xmlns='" NS_INFO "' node='" NODE_SESSIONS "'><identity category='hierarchy' type='branch'"
		   " name='Active sessions'/><feature var='" NS_INFO "'/><feature var='" NS_ITEMS "'/></query>");
	return reply(ev, b);
}

static enum verdict server(struct event *ev, struct span node, bool info)
{
	bool admin = aci_allows("disco", &ev->packet->from);

	if (!serves_domain(ev->shard, jid_domain(&ev->packet->to)))
		return event_error(ev, SE_ITEM_NOT_FOUND);
	if (node.n)
		return admin && span_is(node, NODE_SESSIONS) ? sessions_node(ev, info) : event_error(ev, SE_ITEM_NOT_FOUND);
	return info ? server_info(ev) : server_items(ev, admin);
}

/* --- accounts --------------------------------------------------------------------------------------------------------------- */

/* An account shows itself to those who may see its presence; to others it looks like one that does not exist. */
static enum verdict account(struct event *ev, struct span node, bool info)
{
	struct buf *b = scratch(ev->shard, 0);

	if (node.n)
		return event_error(ev, SE_ITEM_NOT_FOUND);
	if (info)
		buf_str(b, "<query xmlns='" NS_INFO "'><identity category='account' type='registered'/><feature var='" NS_INFO
			   "'/><feature var='" NS_ITEMS "'/></query>");
	else
		buf_str(b, "<query xmlns='" NS_ITEMS "'/>");
	return reply(ev, b);
}

static enum verdict on_disco(struct event *ev)
{
	bool info = span_is(packet_slice(ev->packet, ev->packet->route.child_ns), NS_INFO);
	const char *ns = info ? NS_INFO : NS_ITEMS;
	struct span node = { 0 };
	struct xml *query;

	if (from_stranger(ev))
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	if (!event_asks_plainly(ev, ns, "query")) {
		enum verdict v = event_query(ev, ns, "query", &query);

		if (v != V_PASS)
			return v;
		node = xml_attr(query, "node");
	}
	return ev->chain == CHAIN_PKT_SM ? server(ev, node, info) : account(ev, node, info);
}

/* --- agents ----------------------------------------------------------------------------------------------------------------- */

static void put_agent(struct span jid, const struct service_info *info, void *arg)
{
	struct buf *b = arg;

	buf_str(b, "<agent");
	buf_attr(b, "jid", jid);
	buf_str(b, "><name>");
	buf_text(b, info->name);
	buf_str(b, "</name><service>");
	buf_text(b, info->type);
	buf_str(b, "</service>");
	if (span_is(info->category, "conference"))
		buf_str(b, "<groupchat/>");
	if (span_is(info->category, "gateway"))
		buf_str(b, "<transport/>");
	if (info->does & SERVICE_REGISTERS)
		buf_str(b, "<register/>");
	if (info->does & SERVICE_SEARCHES)
		buf_str(b, "<search/>");
	buf_str(b, "</agent>");
}

static enum verdict on_agents(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);
	enum verdict v;

	if (!set.agents)
		return event_error(ev, SE_NOT_ALLOWED);
	v = event_asks(ev, NS_AGENTS, "query");
	if (v != V_PASS)
		return v;
	buf_str(b, "<query xmlns='" NS_AGENTS "'>");
	services_each_rcu(&set.fixed, put_agent, b);
	buf_str(b, "</query>");
	return reply(ev, b);
}

/* --- components ------------------------------------------------------------------------------------------------------------- */

/* One shard asks what has come online. The sm asks under its own name, as jabberd2's does. */
static void component(struct shard *shard, struct span jid, const struct outbox *link, bool here)
{
	struct span own = server_id(shard), id;
	struct jid from, to;

	if (!here) {
		services_gone(jid, link);
		return;
	}
	if (!shard_is_home(shard, jid) || !jid_split(&from, own) || !jid_split(&to, jid))
		return;
	id = fresh_id(shard);
	if (services_asked(jid, link, id))
		send_stanza(shard, &(struct stanza){ .tag = "iq", .type = "get", .id = id,
			.content = SPAN("<query xmlns='" NS_INFO "'/>"), .from = &from, .to = &to });
}

/* What a component answered. The first identity counts. */
static enum verdict answered(struct event *ev)
{
	const struct packet *p = ev->packet;
	struct service_info info = { 0 };
	struct xml *query, *identity;

	if ( !span_is(packet_slice(p, p->route.child_ns), NS_INFO) ||
		event_query(ev, NS_INFO, "query", &query) != V_PASS)
		return V_PASS;
	identity = xml_child(query, NS_INFO, "identity");
	if (!identity)
		return V_PASS;
	info.category = xml_attr(identity, "category");
	info.type = xml_attr(identity, "type");
	info.name = xml_attr(identity, "name");
	for (struct xml *f = xml_child(query, NS_INFO, "feature"); f; f = xml_next(f, NS_INFO, "feature")) {
		info.does |= span_is(xml_attr(f, "var"), "jabber:iq:register") ? SERVICE_REGISTERS : 0;
		info.does |= span_is(xml_attr(f, "var"), "jabber:iq:search") ? SERVICE_SEARCHES : 0;
	}
	return services_answered(jid_full(&p->from), packet_slice(p, p->route.id), &info) ? V_HANDLED : V_PASS;
}

static enum verdict pkt_sm(struct event *ev)
{
	if (event_is(ev, PL_IQ) && ev->type == ST_RESULT)
		return answered(ev);
	/* The component name of the sm is no domain: nothing is there. */
	if (event_is(ev, PL_PRESENCE) || ev->type == ST_ERROR || serves_domain(ev->shard, jid_domain(&ev->packet->to)))
		return V_PASS;
	return event_error(ev, SE_ITEM_NOT_FOUND);
}

const struct module module_disco = {
	.name = "disco",
	.features = (const char *const[]){ NS_INFO, NS_ITEMS, NULL },
	.options = { &set, sizeof(set), read_options, drop_options },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SELF | TO_SERVER | TO_ACCOUNT, NS_INFO, on_disco },
		{ IQ_GET, TO_SELF | TO_SERVER | TO_ACCOUNT, NS_ITEMS, on_disco }, { IQ_GET, TO_SELF | TO_SERVER, NS_AGENTS, on_agents },
		{ 0 } },
	.pkt_sm = pkt_sm,
	.component = component,
};
