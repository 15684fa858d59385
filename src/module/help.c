/* help.c - messages to the server go to those whom the ACL "messages" names; XEP-0157 contact addresses in service discovery.
 * Threads: shards; the form changes while these stand still.
 * Owns: the form.
 */
#include <stdio.h>

#include "shardsm/aci.h"
#include "shardsm/log.h"
#include "shardsm/module.h"

#define RESOURCE "help"

static struct options {
	struct buf form;
} set;

static void put_addresses(struct buf *form, struct config *config, const char *what)
{
	char key[80];
	const struct config_value *v;

	snprintf(key, sizeof(key), "discovery.serverinfo.%s.value", what);
	if (!config_has(config, key))
		return;
	buf_str(form, "<field type='list-multi'");
	buf_attr(form, "var", span_str(what));
	buf_str(form, ">");
	for (uint32_t i = 0; (v = config_get(config, key, i)) != NULL; i++) {
		buf_str(form, "<value>");
		buf_text(form, config_value_text(v));
		buf_str(form, "</value>");
	}
	buf_str(form, "</field>");
}

static bool read_options(struct config *config, void *into)
{
	static const char *const lists[] = { "abuse-addresses", "admin-addresses", "feedback-addresses", "sales-addresses",
		"security-addresses", "support-addresses" };
	struct options *o = into;
	struct buf *form = &o->form;

	buf_init(form);
	if (!config_has(config, "discovery.serverinfo"))
		return true;
	buf_str(form, "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>"
		       "http://jabber.org/network/serverinfo</value></field>");
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		put_addresses(form, config, lists[i]);
	buf_str(form, "</x>");
	return !form->failed;
}

static void drop_options(void *old)
{
	struct options *o = old;

	buf_free(&o->form);
}

static void disco_extend(struct event *ev, struct buf *out)
{
	(void)ev;
	buf_put(out, buf_span(&set.form));
}

/* The message's content, with a subject that says who wrote. */
static bool forward_content(struct event *ev, struct buf *out)
{
	struct xml *message = event_payload(ev);
	struct buf *subject = scratch(ev->shard, 1);

	if (!message)
		return false;
	if (!xml_child_text(message, NS_CLIENT, "subject", subject))
		buf_str(subject, "(none)");
	buf_str(out, "<subject>Fwd[");
	buf_text(out, jid_full(&ev->packet->from));
	buf_str(out, "]: ");
	buf_text(out, buf_span(subject));
	buf_str(out, "</subject>");
	for (struct xml *e = xml_child(message, NULL, NULL); e; e = xml_next(e, NULL, NULL))
		if (!xml_is(e, NS_CLIENT, "subject"))
			xml_write(out, e, NS_CLIENT, NS_SESSION);
	return !out->failed && !subject->failed;
}

static enum verdict pkt_sm(struct event *ev)
{
	const struct packet *p = ev->packet;
	struct buf *content = scratch(ev->shard, 0);
	struct jid domain = jid_to_bare(&p->to), to;
	uint32_t told = 0;

	server_presence(ev, RESOURCE);
	if (!event_is(ev, PL_MESSAGE) || !serves_domain(ev->shard, jid_domain(&p->to)) ||
		(jid_has_resource(&p->to) && !span_is(jid_resource(&p->to), RESOURCE)))
		return V_PASS;
	if (ev->type == ST_ERROR)
		return V_HANDLED;
	if (!forward_content(ev, content))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	for (uint32_t i = 0; aci_jid("messages", i, &to); i++) {
		if (jid_same(&to, &p->from)) {
			/* What it sends comes back from where it went: forwarding it once more would never end. */
			log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": a message to the server was not forwarded to its own sender",
				SPAN_ARG(jid_full(&to)));
			continue;
		}
		send_stanza(ev->shard, &(struct stanza){ .tag = "message", .id = packet_slice(p, p->route.id),
			.content = buf_span(content), .from = &domain, .to = &to });
		told++;
	}
	return told ? V_HANDLED : V_PASS; /* nobody reads it: its sender is told so */
}

const struct module module_help = {
	.name = "help",
	.options = { &set, sizeof(set), read_options, drop_options },
	.pkt_sm = pkt_sm,
	.disco_extend = disco_extend,
};
