/* guard.c - a fixed load on a session manager on one thread, for callgrind to count: see guard.py, which runs it.
 * Threads: one, and the store's.
 * Owns: the texts of a burst.
 *
 * usage: guard CONFIG SCENARIO     prints how many operations were counted; users 1 to 101 know each other, those behind know nobody
 *        guard CONFIG tables       makes the database's tables
 *        guard CONFIG list         prints the scenarios
 *        guard CONFIG build        prints what it was built with
 */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>

#include "guard_rig.h"
#include "shardsm/route.h"
#include "shardsm/stats.h"

#define DOMAIN "localhost"
#define FRIENDS 101 /* each has the hundred others in the roster */
#define LONERS 64   /* online too, and known to nobody */
#define SEATS (FRIENDS + LONERS)
#define BODY "forty bytes of text that say nothing new."

static char ids[SEATS][41]; /* sc:sm; empty: not online */
static struct buf burst;

/* --- what is said ------------------------------------------------------------------------------------------------------ */

static void say_start(unsigned i)
{
	buf_fmt(&burst, "<route xmlns='" NS_COMPONENT "' to='" DOMAIN "' from='" RIG_C2S "'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%u' action='start' target='user%u@" DOMAIN "/r' id='b%u'/></route>", i + 1, i + 1, i + 1);
}

static void say_end(unsigned i)
{
	buf_fmt(&burst, "<route xmlns='" NS_COMPONENT "' to='sm' from='" RIG_C2S "'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%u' sc:sm='%s' action='end'/></route>", i + 1, ids[i]);
}

/* A stanza up to the end of its own attributes. */
static void say_open(unsigned i, const char *name)
{
	buf_fmt(&burst, "<route xmlns='" NS_COMPONENT "' to='sm' from='" RIG_C2S "'><%s xmlns='" NS_CLIENT "' xmlns:sc='" NS_SESSION
		"' sc:c2s='%u' sc:sm='%s'", name, i + 1, ids[i]);
}

static void say_presence(unsigned i, unsigned op)
{
	say_open(i, "presence");
	buf_fmt(&burst, "><show>%s</show><status>%08u</status></presence></route>", op % 2 ? "away" : "dnd", op);
}

static void say_message(unsigned i, unsigned op, unsigned to, const char *resource)
{
	say_open(i, "message");
	buf_fmt(&burst, " type='chat' id='m%08u' to='user%u@" DOMAIN "%s'><body>" BODY "</body></message></route>", op, to + 1, resource);
}

static void burst_send(void)
{
	if (burst.failed)
		rig_die("out of memory");
	rig_send(buf_span(&burst));
	buf_clear(&burst);
}

/* The first answer behind what has been read says which id the session has. */
static void learn(unsigned i)
{
	char want[96];
	struct span out = rig_output();
	int n = snprintf(want, sizeof(want), " sc:c2s='%u' sc:sm='", i + 1);
	const char *at = memmem(out.p, out.n, want, (size_t)n);

	if (!at || out.p + out.n - at < n + 40)
		rig_die("user%u could not start a session: %.*s", i + 1, (int)out.n, out.p);
	memcpy(ids[i], at + n, 40);
}

static void seat(unsigned i)
{
	rig_forget();
	say_start(i);
	burst_send();
	learn(i);
	say_presence(i, 0);
	burst_send();
}

static void seat_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		seat(i);
	rig_forget();
}

/* --- scenarios --------------------------------------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	unsigned ops, burst;
	unsigned seats;             /* online before */
	void (*say)(unsigned op);
	const char *answer;         /* what the c2s gets for each operation; NULL: nothing, but stat goes up by one */
	unsigned answers, stat;
};

/* Over and over, pairs that are not the same two twice in a row. */
static unsigned partner(unsigned op, unsigned i)
{
	return (i + 1 + op * 37 % (FRIENDS - 1)) % FRIENDS;
}

static void chat(unsigned op) { say_message(op % FRIENDS, op, partner(op, op % FRIENDS), "/r"); }
static void away(unsigned op) { say_message(op % FRIENDS, op, SEATS + op % 32, ""); }
static void change_known(unsigned op) { say_presence(op * 7 % FRIENDS, op + 1); }
static void end(unsigned op) { say_end(FRIENDS + op % LONERS); }

static void change_alone(unsigned op)
{
	say_presence(FRIENDS + op % LONERS, op / LONERS + 1);
}

static void say_ping(unsigned i, unsigned op)
{
	say_open(i, "iq");
	buf_fmt(&burst, " type='get' id='p%08u' to='" DOMAIN "'><ping xmlns='urn:xmpp:ping'/></iq></route>", op);
}

static void ping(unsigned op) { say_ping(op % FRIENDS, op); }

static void roster(unsigned op)
{
	say_open(op % FRIENDS, "iq");
	buf_fmt(&burst, " type='get' id='r%08u'><query xmlns='jabber:iq:roster'/></iq></route>", op);
}

static void first_presence(unsigned op)
{
	say_open(FRIENDS + op, "presence");
	buf_str(&burst, "/></route>");
}

static void start(unsigned op) { say_start(FRIENDS + op); }

static const struct scenario scenarios[] = {
	{ "message", 1280, 64, FRIENDS, chat, "<body>" BODY "</body>", 1, 0 },
	{ "message-alone", 256, 1, FRIENDS, chat, "<body>" BODY "</body>", 1, 0 },
	{ "ping", 1280, 64, FRIENDS, ping, " type='result'", 1, 0 },
	{ "presence-0", 640, 32, SEATS, change_alone, NULL, 0, STAT_IN + PL_PRESENCE },
	{ "presence-100", 32, 4, FRIENDS, change_known, "<show>", 1 + 100, 0 },
	{ "roster-100", 32, 4, FRIENDS, roster, " type='result'", 1, 0 },
	{ "start", LONERS, 1, FRIENDS, start, " action='started'", 1, 0 },
	{ "first-presence", LONERS, 1, FRIENDS, first_presence, NULL, 0, STAT_IN + PL_PRESENCE },
	{ "first-presence-burst", LONERS, LONERS, FRIENDS, first_presence, NULL, 0, STAT_IN + PL_PRESENCE },
	{ "end", LONERS, 1, SEATS, end, " action='ended'", 1, 0 },
	{ "offline", 128, 1, FRIENDS, away, NULL, 0, STAT_OFFLINE_STORED },
	{ "offline-burst", 1280, 64, FRIENDS, away, NULL, 0, STAT_OFFLINE_STORED },
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static uint64_t count_answers(const struct scenario *s)
{
	struct span out = rig_output();
	uint64_t n = 0;

	if (!s->answer)
		return stat_sum(s->stat);
	for (const char *at = out.p, *end_of = out.p + out.n; (at = memmem(at, (size_t)(end_of - at), s->answer, strlen(s->answer))); at++)
		n++;
	return n;
}

static void run(const struct scenario *s)
{
	uint64_t before, got, want = s->answer ? (uint64_t)s->ops * s->answers : s->ops;

	seat_all(s->seats);
	for (unsigned i = 0; s->say == first_presence && i < LONERS; i++) {
		say_start(FRIENDS + i);
		burst_send();
		learn(FRIENDS + i);
	}
	rig_forget();
	before = s->answer ? 0 : count_answers(s);
	rig_count();
	for (unsigned op = 0; op < s->ops; op++) {
		s->say(op);
		if (op % s->burst == s->burst - 1 || op == s->ops - 1)
			burst_send();
	}
	got = count_answers(s) - before;
	if (got != want || memmem(rig_output().p, rig_output().n, "type='error'", 12))
		rig_die("%s: %llu of %llu answers, or errors among them: %.*s", s->name, (unsigned long long)got, (unsigned long long)want,
			(int)(rig_output().n < 600 ? rig_output().n : 600), rig_output().p);
	printf("%u\n", s->ops);
}

static void print_build(void)
{
	printf("%s %s, %s%s\nlibc %s\n",
#ifdef __clang__
		"clang", __clang_version__,
#else
		"gcc", __VERSION__,
#endif
		BUILT_WITH,
#ifdef SHARDSM_DEVELOPER
		", developer",
#else
		"",
#endif
		gnu_get_libc_version());
}

int main(int argc, char **argv)
{
	const struct scenario *found = NULL;

	if (argc != 3)
		rig_die("usage: guard CONFIG SCENARIO|tables|list|build");
	for (size_t i = 0; i < SCENARIOS; i++) {
		if (strcmp(argv[2], "list") == 0)
			puts(scenarios[i].name);
		if (strcmp(argv[2], scenarios[i].name) == 0)
			found = &scenarios[i];
	}
	if (strcmp(argv[2], "build") == 0)
		print_build();
	if (!found && strcmp(argv[2], "tables") != 0)
		return strcmp(argv[2], "list") != 0 && strcmp(argv[2], "build") != 0;
	buf_init(&burst);
	rig_open(argv[1], SPAN(DOMAIN));
	if (found)
		run(found);
	rig_close();
	return 0;
}
