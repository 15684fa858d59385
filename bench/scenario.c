/* scenario.c - the list of scenarios, and what they have in common.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#include "scenario.h"

#include <stdio.h>

static const struct scenario *const scenarios[] = {&scenario_chat, &scenario_login, &scenario_iq, &scenario_presence,
	&scenario_roster, &scenario_offline, &scenario_idle, &scenario_mix};
#define NSCENARIOS (sizeof scenarios / sizeof scenarios[0])

const struct scenario *scenario_find(const char *name)
{
	for (unsigned i = 0; i < NSCENARIOS; i++)
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
	fprintf(stderr, "shardsm-bench: --scenario %s: must be one of\n", name);
	for (unsigned i = 0; i < NSCENARIOS; i++)
		fprintf(stderr, "  %-10s %s\n", scenarios[i]->name, scenarios[i]->help);
	return NULL;
}

bool scenario_begin(struct sessions *s, bool presence)
{
	return sessions_start(s, sessions_asked(s), NULL) &&
	       (!(presence || s->peers->opt->presence) || sessions_presence(s, sessions_asked(s), NULL));
}

/* What failed is in the report. */
void scenario_end(struct sessions *s)
{
	if (s->peers->opt->end_sessions && !s->report->failure[0] && !sessions_end(s, sessions_asked(s), NULL))
		return;
}

bool scenario_run_one(struct sessions *s, struct load *l)
{
	const struct options *o = s->peers->opt;
	uint32_t each = l->each ? l->each : 1; /* window and rate are those of what is counted */
	struct flow f = {.name = l->ops->name,
		.peers = s->peers,
		.report = s->report,
		.loads = &l,
		.nloads = 1,
		.window = o->window > each ? o->window / each : 1,
		.rate = o->rate > each ? o->rate / each : o->rate,
		.duration_ns = (uint64_t)(o->duration_s * 1e9)};
	return flow_run(&f);
}
