/* scenario_idle.c - sessions held; what silence costs, and what messages, pings, logins, presence and ends cost
 * meanwhile. Threads: the one thread of the program. Owns: nothing beyond the run.
 */
#include <stdio.h>
#include <time.h>

#include "scenario.h"

#define COMERS 1000 /* users who come and go while the others stay */

static uint32_t idle_users(const struct options *o)
{
	return o->sessions + COMERS;
}

static void count_stray(void *arg, unsigned link, const struct frame *f)
{
	(void)link;
	(void)f;
	((struct sessions *)arg)->report->strays++;
}

/* Nothing is said. One operation is a session held for a second. */
static bool hold(struct sessions *s)
{
	const struct options *o = s->peers->opt;
	struct phase *p = report_begin(s->report, "hold");
	uint64_t end = p->begin_ns + (uint64_t)(o->hold_s * 1e9), now;
	bool good = true;

	while (good && (now = bench_now()) < end) {
		int64_t left = (int64_t)(end - now), tick = 100000000;
		good = peers_poll(s->peers, left < tick ? left : tick, count_stray, s) >= 0;
		report_tick(s->report, bench_now(), 0);
	}
	report_end(s->report, p);
	p->ops = (uint64_t)((double)o->sessions * o->hold_s);
	if (!good)
		report_fail(s->report, "hold: a link was lost");
	return good;
}

static bool run_and_free(struct sessions *s, struct load *l, void (*free_load)(struct load *))
{
	bool good = scenario_run_one(s, l);
	free_load(l);
	return good;
}

static void run_idle(struct sessions *s)
{
	const struct options *o = s->peers->opt;
	struct range comers = {o->sessions, COMERS};
	uint32_t n = (uint32_t)o->ops;

	if (!scenario_begin(s, true) || (o->hold_s > 0 && !hold(s)))
		return;
	if (!run_and_free(s, chat_new(s, n), chat_free) || !run_and_free(s, ping_new(s, n, IQ_SERVER), ping_free))
		return;
	for (unsigned i = 0; i < o->rounds; i++)
		if (!sessions_start(s, comers, "held-start") || !sessions_presence(s, comers, "held-presence") ||
			!sessions_end(s, comers, "held-end"))
			return;
	scenario_end(s);
}

const struct scenario scenario_idle = {.name = "idle",
	.help = "sessions held; then messages, pings and logins while they are",
	.users = idle_users,
	.run = run_idle};
