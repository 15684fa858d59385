/* order.c - RFC 6120 section 10.1: what one session sends to one recipient arrives in the order sent, whatever its kinds and whatever
 * the number of shards.
 * Threads: the test's, and 8 shards.
 * Owns: the harness.
 *
 * Sessions on several links send messages, IQs and directed presence to each other in random interleavings and bursts, some of it while
 * roster changes make their sender wait for the store, and leave in the end: the unavailable presence that follows must be the last word.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define SHARDS 8
#define LINKS 3
#define USERS 24
#define STEPS 6000
#define ROUNDS 4

static struct sender {
	struct fake_link *link;
	char sm[41];
	unsigned sent[USERS]; /* to each of the others */
} users[USERS];

static unsigned seen[USERS][USERS]; /* [recipient][sender] */
static bool gone[USERS][USERS];

static void fail(const char *what, int to, int from, unsigned n)
{
	printf("not ok order: %s: user%d from user%d, number %u\n# 0 passed, 1 failed\n", what, to, from, n);
	exit(1);
}

static void send_one(int from, int to, unsigned kind)
{
	static const char *const heads[] = { "<message type='chat' xmlns='jabber:client'", "<iq type='get' xmlns='jabber:client'",
		"<presence xmlns='jabber:client'", "<message xmlns='jabber:client'" };
	static const char *const tails[] = { "><body>x</body></message>", "><q xmlns='urn:q'/></iq>", "><show>away</show></presence>",
		"><body>y</body></message>" };
	struct sender *s = &users[from];

	harness_send(s->link, "<route xmlns='" NS_COMPONENT "' to='sm' from='%s'>%s xmlns:sc='" NS_SESSION "' to='user%d@" DOMAIN
		"/r' id='n%u' sc:c2s='%d' sc:sm='%s'%s</route>", s->link == users[0].link ? "c0" : s->link == users[1].link ? "c1" : "c2",
		heads[kind], to, s->sent[to]++, from, s->sm, tails[kind]);
}

/* Makes the sender wait for the store in between. */
static void set_roster(int from, int n)
{
	struct sender *s = &users[from];

	harness_send(s->link, "<route xmlns='" NS_COMPONENT "' to='sm' from='%s'><iq type='set' id='r%d' xmlns='jabber:client' xmlns:sc='"
		NS_SESSION "' sc:c2s='%d' sc:sm='%s'><query xmlns='jabber:iq:roster'><item jid='friend%d@other.test'/></query></iq></route>",
		s->link == users[0].link ? "c0" : s->link == users[1].link ? "c1" : "c2", n, from, s->sm, n % 3);
}

static int number_after(const char *from, const char *end, const char *what)
{
	const char *at = memmem(from, (size_t)(end - from), what, strlen(what));

	return at ? atoi(at + strlen(what)) : -1;
}

/* Reads one link's output route by route. */
static void check_output(struct span out)
{
	const char *p = out.p, *end = out.p + out.n, *next;

	for (; (next = memmem(p, (size_t)(end - p), "</route>", 8)) != NULL; p = next + 8) {
		int to = number_after(p, next, " to='user"), from = number_after(p, next, " from='user");
		int n = number_after(p, next, " id='n");

		if (to < 0 || from < 0 || from == to)
			continue;
		if (memmem(p, (size_t)(next - p), "type='unavailable'", 18)) {
			gone[to][from] = true;
			continue;
		}
		if (n < 0 || memmem(p, (size_t)(next - p), "type='error'", 12))
			continue; /* an answer to what was sent to somebody who had left */
		if (gone[to][from])
			fail("something after the goodbye", to, from, (unsigned)n);
		if ((unsigned)n != seen[to][from])
			fail("out of order, lost or doubled", to, from, (unsigned)n);
		seen[to][from]++;
	}
}

static void round_of(unsigned seed)
{
	static const char *const names[LINKS] = { "c0", "c1", "c2" };
	struct harness *h = harness_new(SHARDS);
	struct fake_link *links[LINKS];
	char name[16];

	srandom(seed);
	memset(users, 0, sizeof(users));
	memset(seen, 0, sizeof(seen));
	memset(gone, 0, sizeof(gone));
	for (int i = 0; i < LINKS; i++)
		links[i] = harness_link(h, names[i]);
	for (int i = 0; i < USERS; i++) {
		users[i].link = links[i % LINKS];
		snprintf(name, sizeof(name), "user%d", i);
		harness_create(users[i].link, name);
		harness_session(users[i].link, name, "r", i, users[i].sm);
	}
	for (int i = 0; i < STEPS; i++) {
		int from = (int)(random() % USERS), to = (int)(random() % (USERS - 1));

		to += to >= from;
		if (random() % 40 == 0)
			set_roster(from, i);
		send_one(from, to, (unsigned)random() % 4);
		if (random() % 8 == 0)
			harness_burst(h);
	}
	/* Even ones end; odd ones stay and see it, if they were sent presence. */
	for (int i = 0; i < USERS; i += 2)
		harness_send(users[i].link, "<route xmlns='" NS_COMPONENT "' to='sm' from='c%d'><sc:session xmlns:sc='" NS_SESSION
			"' sc:c2s='%d' sc:sm='%s' action='end'/></route>", i % LINKS, i, users[i].sm);
	harness_burst(h);
	harness_free(&h); /* works off everything */
	for (int i = 0; i < LINKS; i++) {
		check_output(harness_output(links[i]));
		harness_forget(&links[i]);
	}
	for (int to = 1; to < USERS; to += 2)
		for (int from = 0; from < USERS; from++)
			if (to != from && seen[to][from] != users[from].sent[to])
				fail("missing at the end", to, from, seen[to][from]);
}

int main(void)
{
	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		round_of(seed);
		printf("ok order: seed %u, %d stanzas of %d sessions over %d shards\n", seed, STEPS, USERS, SHARDS);
	}
	printf("# %d passed, 0 failed\n", ROUNDS);
	return 0;
}
