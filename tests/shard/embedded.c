/* embedded.c - sessions of one user come and go in any order, with names of any length: the one that lives in its user's memory as the others.
 * Threads: the test's, and one shard.
 * Owns: the harness.
 *
 * Who is online is asked for by a ping of each session, which is answered to its full JID, and by a message to that JID.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define STEPS 600
#define NAMES 7

static const char *const names[NAMES] = { "a", "b", "phone", "laptop", "a-name-that-is-longer-than-any-that-stood-there-before", "bb", "tablet" };

static struct {
	int id;      /* c2s's */
	char sm[41]; /* empty: not online */
} online[NAMES];

static void check(struct fake_link *link, int i, int step)
{
	char want[256];
	size_t at = harness_output(link).n;

	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'><iq type='get' id='p%d' xmlns='jabber:client' xmlns:sc='" NS_SESSION
		"' to='" DOMAIN "' sc:c2s='%d' sc:sm='%s'><ping xmlns='urn:xmpp:ping'/></iq></route>", step, online[i].id, online[i].sm);
	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'><message id='m%d' xmlns='jabber:client' xmlns:sc='" NS_SESSION
		"' to='alice@" DOMAIN "/%s' sc:c2s='%d' sc:sm='%s'><body>x</body></message></route>", step, names[i], online[i].id, online[i].sm);
	snprintf(want, sizeof want, "id='p%d' from='" DOMAIN "' to='alice@" DOMAIN "/%s' sm:c2s='%d' sm:sm='%s'", step, names[i],
		online[i].id, online[i].sm);
	harness_expect(link, &at, want);
	snprintf(want, sizeof want, "id='m%d' from='alice@" DOMAIN "/%s' to='alice@" DOMAIN "/%s' sc:c2s='%d' sc:sm='%s'", step,
		names[i], names[i], online[i].id, online[i].sm);
	harness_expect(link, &at, want);
}

static void turn(struct fake_link *link, int i, int step)
{
	size_t at = harness_output(link).n;
	char want[128];

	if (!online[i].sm[0] || random() % 3 == 0) {
		online[i].id = step % 4 ? 1 + step : 1000000 + step;
		harness_session(link, "alice", names[i], online[i].id, online[i].sm); /* or in the place of the one that is there */
		return;
	}
	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%d' sc:sm='%s' action='end'/></route>", online[i].id, online[i].sm);
	snprintf(want, sizeof want, "sc:sm='%s' action='ended'", online[i].sm);
	harness_expect(link, &at, want);
	online[i].sm[0] = '\0';
}

int main(void)
{
	struct harness *h = harness_new(1);
	struct fake_link *link = harness_link(h, "c2s");

	srandom(1);
	harness_create(link, "alice");
	for (int step = 0; step < STEPS; step++) {
		turn(link, (int)(random() % NAMES), step);
		for (int i = 0; i < NAMES; i++)
			if (online[i].sm[0])
				check(link, i, step * NAMES + i);
	}
	harness_free(&h);
	harness_forget(&link);
	printf("ok embedded: %d sessions came and went\n# 1 passed, 0 failed\n", STEPS);
	return 0;
}
