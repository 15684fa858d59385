/* iq_version.c - XEP-0092 Software Version, and XEP-0232 in the server's service discovery.
 * Threads: shards.
 * Owns: nothing.
 */
#include <sys/utsname.h>

#include "config.h"
#include "shardsm/module.h"

#define NS_VERSION "jabber:iq:version"

static struct utsname host;

static bool read_host(struct config *config, void *into)
{
	(void)config;
	uname(into);
	return true;
}

static enum verdict on_version(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);
	enum verdict v = event_asks(ev, NS_VERSION, "query");

	if (v != V_PASS)
		return v;
	buf_str(b, "<query xmlns='" NS_VERSION "'><name>" PACKAGE_NAME "</name><version>" PACKAGE_VERSION "</version><os>");
	buf_text(b, span_str(host.sysname));
	buf_str(b, " ");
	buf_text(b, span_str(host.machine));
	buf_str(b, "</os></query>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

static void field(struct buf *out, const char *var, const char *value)
{
	buf_str(out, "<field");
	buf_attr(out, "var", span_str(var));
	buf_str(out, "><value>");
	buf_text(out, span_str(value));
	buf_str(out, "</value></field>");
}

static void disco_extend(struct event *ev, struct buf *out)
{
	(void)ev;
	buf_str(out, "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>"
		     "urn:xmpp:dataforms:softwareinfo</value></field>");
	field(out, "software", PACKAGE_NAME);
	field(out, "software_version", PACKAGE_VERSION);
	field(out, "os", host.sysname);
	field(out, "os_version", host.machine);
	buf_str(out, "</x>");
}

const struct module module_iq_version = {
	.name = "iq-version",
	.features = (const char *const[]){ NS_VERSION, NULL },
	.options = { &host, sizeof(host), read_host, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SERVER, NS_VERSION, on_version }, { 0 } },
	.disco_extend = disco_extend,
};
