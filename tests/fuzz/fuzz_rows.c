/* fuzz_rows.c - one input, rows of the database (tests/world/world.h, without the '='): whatever they hold, who signs in and asks for all of it hears
 * only what the gate passes.
 * Threads: one.
 * Owns: the world, made by the first input, until the end of the process.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../world/world.h"
#include "fuzz.h"
#include "shardsm/buf.h"

/* Everything that reads rows. */
static const char reads[] =
	"+a0home\na<presence/>\n+b1work\nb<presence/>\na<iq type='get'><query xmlns='jabber:iq:roster' ver=''/></iq>\n"
	"a<iq type='get'><vCard xmlns='vcard-temp'/></iq>\nb<iq type='get' to='alice@shard.test'><vCard xmlns='vcard-temp'/></iq>\n"
	"a<iq type='get'><query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query></iq>\n"
	"a<iq type='get'><query xmlns='jabber:iq:privacy'/></iq>\na<iq type='get'><query xmlns='jabber:iq:privacy'><list name='l'/></query></iq>\n"
	"a<iq type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>\n"
	"a<iq type='get'><query xmlns='http://jabber.org/protocol/vacation'/></iq>\n"
	"b<message to='alice@shard.test' type='chat'><body>x</body></message>\nb<presence type='probe' to='alice@shard.test'/>\n"
	"b<iq type='get' to='alice@shard.test'><query xmlns='jabber:iq:last'/></iq>\n"
	"a<iq type='set'><query xmlns='jabber:iq:roster'><item jid='bob@shard.test' name='B'/></query></iq>\n"
	"a<presence type='subscribed' to='bob@shard.test'/>\na<presence type='unsubscribed' to='carol@shard.test'/>\nx0\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool open;
	const char *dir = getenv("srcdir"), *p = (const char *)data, *end = p + size;
	char path[1000];
	struct buf script;

	if (!open) {
		snprintf(path, sizeof(path), "%s/doc/sm.xml", dir ? dir : ".");
		world_open(path);
		atexit(world_close);
		open = true;
	}
	if (size > 8000)
		return 0;
	buf_init(&script);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		buf_str(&script, "=");
		buf_put(&script, span_of(p, n));
		buf_str(&script, "\n");
		p += n + 1;
	}
	buf_str(&script, reads);
	if (!script.failed)
		world_play(buf_span(&script), true);
	buf_free(&script);
	return 0;
}
