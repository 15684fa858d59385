/* gone.c - a c2s goes away with a crowd of sessions: they count as ended at once, and who is left does not wait for all of them to end.
 * Threads: the test's, and one shard.
 * Owns: its server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"
#include "shardsm/standstill.h"
#include "shardsm/xml.h"

#define CROWD 1000
#define TOLD 200 /* the first of them are sent something; the newest session of a c2s ends first */

static struct harness *h;
static struct fake_link *crowd, *others;
static struct standstill *still;
static char ids[CROWD][41], friend_id[41];

static void fail(const char *what, int n)
{
	printf("not ok gone: %s (%d)\n# 0 passed, 1 failed\n", what, n);
	exit(1);
}

static int count(struct span text, const char *what)
{
	const char *at = text.p, *end = text.p + text.n;
	int n = 0;

	while ((at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
		at += strlen(what);
		n++;
	}
	return n;
}

/* attrs and content: of a stanza of the kind tag. */
static void from(struct fake_link *link, const char *c2s, int id, const char *sm, const char *tag, const char *attrs, const char *content)
{
	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='sm' from='%s'><%s xmlns='jabber:client' xmlns:sc='" NS_SESSION
		"' sc:c2s='%d' sc:sm='%s'%s>%s</%s></route>", c2s, tag, id, sm, attrs, content, tag);
}

static void gather(void)
{
	char name[24];
	size_t at = 0;

	harness_create(others, "friend");
	harness_session(others, "friend", "f", 0, friend_id);
	from(others, "c1", 0, friend_id, "presence", "", "");
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		harness_create(crowd, name);
		harness_session(crowd, name, "r", i, ids[i]);
		from(crowd, "c0", i, ids[i], "presence", "", "");
		from(crowd, "c0", i, ids[i], "presence", " to='friend@" DOMAIN "'", "<status>hello</status>");
	}
	snprintf(name, sizeof(name), "from='user%d@", CROWD - 1);
	harness_expect(others, &at, name);
}

/* The shard finds all of it in its queue when it goes on: the end of the c2s, and behind it what its users are sent. */
static void lose(void)
{
	char attrs[96], body[40];

	still = standstill_new(harness_mailboxes(h), 1);
	if (!still)
		fail("no memory", 0);
	standstill_begin(still);
	harness_lose(h, crowd);
	for (int i = 0; i < TOLD; i++) {
		snprintf(attrs, sizeof(attrs), i % 2 ? " to='user%d@" DOMAIN "/r'" : " type='chat' to='user%d@" DOMAIN "'", i);
		snprintf(body, sizeof(body), "<body>for %d.</body>", i);
		from(others, "c1", 0, friend_id, "message", attrs, body);
	}
	harness_burst(h);
	standstill_end(still);
}

/* Whoever is sent something ends before it comes; of the others the first to come ends last. */
static void check_friend(void)
{
	size_t at = 0, answered = 0;
	char last[40];

	snprintf(last, sizeof(last), "from='user%d@", TOLD);
	harness_expect(others, &answered, "<service-unavailable");
	at = answered;
	for (int i = 1; i < TOLD / 2; i++)
		harness_expect(others, &at, "<service-unavailable");
	at = 0;
	do
		harness_expect(others, &at, last);
	while (!memmem(harness_output(others).p + at - 60, 60, "unavailable", 11));
	struct span all = harness_output(others);
	int before = count(span_of(all.p, (uint32_t)answered), "'unavailable'");

	if (count(all, "'unavailable'") != CROWD)
		fail("not everybody's end was told", count(all, "'unavailable'"));
	if (before > CROWD / 2)
		fail("who is left waited for the end of too many", before);
	if (count(harness_output(crowd), "<body>"))
		fail("messages went to the link that is gone", count(harness_output(crowd), "<body>"));
}

static void check_stored(void)
{
	struct fake_link *again = harness_link(h, "c2");
	char name[24], body[40], id[41];
	size_t at = 0;

	for (int i = 0; i < TOLD; i += 2) {
		snprintf(name, sizeof(name), "user%d", i);
		snprintf(body, sizeof(body), "<body>for %d.</body>", i);
		harness_session(again, name, "r", i, id);
		from(again, "c2", i, id, "presence", "", "");
		harness_expect(again, &at, body);
	}
	harness_free(&h);
	if (count(harness_output(again), "<body>") != TOLD / 2)
		fail("stored messages came more than once", count(harness_output(again), "<body>"));
	harness_forget(&again);
}

int main(void)
{
	h = harness_new(1);
	crowd = harness_link(h, "c0");
	others = harness_link(h, "c1");
	gather();
	lose();
	check_friend();
	check_stored();
	standstill_free(&still); /* the shard has ended: it is out of the barrier for certain */
	harness_forget(&crowd);
	harness_forget(&others);
	printf("ok gone: a crowd of %d\n# 1 passed, 0 failed\n", CROWD);
	return 0;
}
