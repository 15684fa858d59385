/* disco.c - XEP-0030 Service Discovery of the server and of accounts.
 * Threads: shards; the texts are fixed before the threads start.
 * Owns: nothing.
 */
#include "shardsm/module.h"

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"

static struct span category, type, name;

static bool start(struct config *config)
{
	category = config_text(config, "discovery.identity.category", "server");
	type = config_text(config, "discovery.identity.type", "im");
	name = config_text(config, "discovery.identity.name", "Jabber IM server");
	return true;
}

static enum verdict reply(struct event *ev, struct buf *b)
{
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

/* A node is something that we do not have. */
static enum verdict check_node(struct event *ev)
{
	struct xml *query = event_request(ev);

	if (!query)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	return xml_attr(query, "node").p ? event_error(ev, SE_ITEM_NOT_FOUND) : V_PASS;
}

static enum verdict server_info(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_INFO "'><identity");
	buf_attr(b, "category", category);
	buf_attr(b, "type", type);
	buf_attr(b, "name", name);
	buf_str(b, "/>");
	disco_features(ev->shard, b);
	disco_extensions(ev, b);
	buf_str(b, "</query>");
	return reply(ev, b);
}

/* An account shows itself to those who may see its presence; to others it looks like one that does not exist. */
static enum verdict account_info(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);

	buf_str(b, "<query xmlns='" NS_INFO "'><identity category='account' type='registered'/><feature var='" NS_INFO
		   "'/><feature var='" NS_ITEMS "'/></query>");
	return reply(ev, b);
}

static enum verdict on_disco(struct event *ev)
{
	bool info = span_is(packet_slice(ev->packet, ev->packet->route.child_ns), NS_INFO);
	struct buf *b = scratch(ev->shard, 0);
	enum verdict v;

	if (ev->chain == CHAIN_PKT_USER && !roster_lets_see(ev->user, &ev->packet->from))
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	v = check_node(ev);
	if (v != V_PASS)
		return v;
	if (info)
		return ev->chain == CHAIN_PKT_SM ? server_info(ev) : account_info(ev);
	buf_str(b, "<query xmlns='" NS_ITEMS "'/>");
	return reply(ev, b);
}

const struct module module_disco = {
	.name = "disco",
	.features = (const char *const[]){ NS_INFO, NS_ITEMS, NULL },
	.start = start,
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SELF | TO_SERVER | TO_ACCOUNT, NS_INFO, on_disco },
		{ IQ_GET, TO_SELF | TO_SERVER | TO_ACCOUNT, NS_ITEMS, on_disco }, { 0 } },
};
