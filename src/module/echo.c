/* echo.c - messages to the server's resource "echo" come back.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/module.h"

#define RESOURCE "echo"

static enum verdict pkt_sm(struct event *ev)
{
	struct packet *p = ev->packet;
	struct jid sender = p->from;

	server_presence(ev, RESOURCE);
	if (!event_is(ev, PL_MESSAGE) || !span_is(jid_resource(&p->to), RESOURCE))
		return V_PASS;
	/* An error is never answered, and two servers that echo would never stop. */
	if (ev->type == ST_ERROR || !sender.node_len)
		return V_HANDLED;
	p->from = p->to;
	p->to = sender;
	pass_on(ev->shard, p);
	return V_HANDLED;
}

const struct module module_echo = { .name = "echo", .pkt_sm = pkt_sm };
