/* iq_ping.c - XEP-0199 XMPP Ping.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/module.h"

#define NS_PING "urn:xmpp:ping"

static enum verdict on_ping(struct event *ev)
{
	enum verdict v;

	if (from_stranger(ev))
		return event_error(ev, SE_SERVICE_UNAVAILABLE);
	v = event_asks(ev, NS_PING, "ping");
	if (v == V_PASS) {
		reply_result(ev, (struct span){ 0 });
		v = V_HANDLED;
	}
	return v;
}

const struct module module_iq_ping = {
	.name = "iq-ping",
	.features = (const char *const[]){ NS_PING, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SELF | TO_SERVER | TO_ACCOUNT, NS_PING, on_ping }, { 0 } },
};
