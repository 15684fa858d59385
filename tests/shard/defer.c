/* defer.c - a link does not take what it is sent: what has come by it waits in order, what comes by others does not.
 * Threads: the test's, and one shard.
 * Owns: its server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "shardsm/xml.h"

#define LIMIT (64u * 1024)
#define MANY 50

static struct harness *h;
static struct fake_link *slow, *others;
static char alice[41], bob[41];
static size_t seen; /* of what others was written */

static void fail(const char *what, int n)
{
	printf("not ok defer: %s (%d)\n# 0 passed, 1 failed\n", what, n);
	exit(1);
}

static void from(struct fake_link *link, const char *sm, const char *tag, const char *attrs, const char *content)
{
	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='sm' from='%s'><%s xmlns='jabber:client' xmlns:sc='" NS_SESSION
		"' sc:c2s='0' sc:sm='%s'%s>%s</%s></route>", link == slow ? "c0" : "c1", tag, sm, attrs, content, tag);
}

static bool came(const char *what)
{
	struct span all = harness_output(others);

	return memmem(all.p, all.n, what, strlen(what)) != NULL;
}

/* What was sent before it by others has been worked off. */
static void fence(const char *id)
{
	char attrs[80], needle[40];

	snprintf(attrs, sizeof(attrs), " id='%s' to='bob@" DOMAIN "/b'", id);
	snprintf(needle, sizeof(needle), " id='%s'", id);
	from(others, bob, "message", attrs, "");
	harness_expect(others, &seen, needle);
}

/* More than half of what may wait for it. */
static void fill(void)
{
	static char body[1024];

	memset(body, 'x', sizeof(body) - 1);
	harness_stall(slow, true, LIMIT);
	for (int i = 0; i < 40; i++) {
		from(others, bob, "message", " id='fill' to='alice@" DOMAIN "/a'", body);
		harness_burst(h);
	}
}

static void say(char kind)
{
	char attrs[80];

	for (int i = 0; i < MANY; i++) {
		snprintf(attrs, sizeof(attrs), " id='%c%d' to='bob@" DOMAIN "/b'", kind, i);
		from(slow, alice, "message", attrs, "");
	}
	harness_burst(h);
}

static void hear(char kind)
{
	char needle[24];

	for (int i = 0; i < MANY; i++) { /* each behind the one before */
		snprintf(needle, sizeof(needle), " id='%c%d'", kind, i);
		harness_expect(others, &seen, needle);
	}
}

static void line(void)
{
	fill();
	fence("filled");
	say('m');
	fence("said");
	if (came(" id='m"))
		fail("what came by a link that does not take anything was worked off", 1);
	harness_stall(slow, false, LIMIT);
	hear('m');
}

/* It came before the link was lost: it counts. */
static void lost(void)
{
	fill();
	fence("filled again");
	say('n');
	fence("said again");
	if (came(" id='n"))
		fail("what came by a link that does not take anything was worked off", 2);
	harness_lose(h, slow);
	hear('n');
	harness_stall(slow, false, LIMIT);
}

int main(void)
{
	h = harness_new(1);
	slow = harness_link(h, "c0");
	others = harness_link(h, "c1");
	harness_create(slow, "alice");
	harness_create(others, "bob");
	harness_session(slow, "alice", "a", 0, alice);
	harness_session(others, "bob", "b", 0, bob);
	from(slow, alice, "presence", "", "");
	from(others, bob, "presence", "", "");
	line();
	lost();
	harness_free(&h);
	harness_forget(&slow);
	harness_forget(&others);
	printf("ok defer\n# 1 passed, 0 failed\n");
	return 0;
}
