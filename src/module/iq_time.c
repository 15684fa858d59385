/* iq_time.c - XEP-0202 Entity Time.
 * Threads: shards.
 * Owns: nothing.
 */
#include <stdlib.h>
#include <time.h>

#include "shardsm/clock.h"
#include "shardsm/module.h"

#define NS_TIME "urn:xmpp:time"

static enum verdict on_time(struct event *ev)
{
	struct buf *b = scratch(ev->shard, 0);
	enum verdict v = event_asks(ev, NS_TIME, "time");

	if (v != V_PASS)
		return v;
	time_t now = (time_t)clock_wall();
	struct tm local;

	localtime_r(&now, &local);
	long minutes = local.tm_gmtoff / 60; /* of the moment: daylight saving and half-hour zones included */

	buf_fmt(b, "<time xmlns='" NS_TIME "'><tzo>%c%02ld:%02ld</tzo><utc>", minutes < 0 ? '-' : '+', labs(minutes) / 60,
		labs(minutes) % 60);
	buf_utc(b, now);
	buf_str(b, "</utc></time>");
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_result(ev, buf_span(b));
	return V_HANDLED;
}

const struct module module_iq_time = {
	.name = "iq-time",
	.features = (const char *const[]){ NS_TIME, NULL },
	.iq = (const struct iq_rule[]){ { IQ_GET, TO_SERVER, NS_TIME, on_time }, { 0 } },
};
