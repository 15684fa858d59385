/* scenario.h - what a load is: a name and a function. A new one is a file and a line in scenario.c's list.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include "graph.h"
#include "plan.h"

struct scenario {
	const char *name, *help;
	uint32_t (*users)(const struct options *opt); /* that must exist; NULL: one for each session */
	void (*run)(struct sessions *s);              /* failures go to report_fail() */
};

extern const struct scenario scenario_chat, scenario_login, scenario_iq, scenario_presence, scenario_roster,
	scenario_offline, scenario_idle, scenario_mix;

const struct scenario *scenario_find(const char *name); /* NULL: there is none; it was said which there are */

static inline struct range sessions_asked(const struct sessions *s)
{
	return (struct range){0, s->peers->opt->sessions};
}
/* Starts the sessions that were asked for, with presence where the options or `presence` want it. */
bool scenario_begin(struct sessions *s, bool presence) MUST_USE;
void scenario_end(struct sessions *s); /* ends them, unless they are to stay */
/* One load as a phase of its own. */
bool scenario_run_one(struct sessions *s, struct load *l) MUST_USE;

/* --- loads that the mix is made of; each is freed by its own function
 * ----------------------------------------------------- */

struct load *chat_new(struct sessions *s, uint32_t n);
void chat_free(struct load *l);

enum iq_to { IQ_SERVER, IQ_FULL };
struct load *ping_new(struct sessions *s, uint32_t n, enum iq_to to);
void ping_free(struct load *l);

/* Presence changes, seen by all contacts. The graph is borrowed. */
struct load *presence_new(struct sessions *s, const struct graph *g, uint32_t n);
void presence_free(struct load *l);

struct load *roster_new(struct sessions *s, const struct graph *g, uint32_t n);
void roster_free(struct load *l);

/* Bursts to users in `away`, each with a fence behind it. */
struct load *store_new(struct sessions *s, struct range away, uint32_t bursts);
void store_free(struct load *l);
/* Behind it: those users come, and everything that was stored must come to them. */
bool offline_arrive(struct sessions *s, struct load *store, struct range away) MUST_USE;

/* Sessions of `who` in turn: start, presence, end, as one operation. */
struct load *cycle_new(struct sessions *s, struct range who, uint32_t n);
void cycle_free(struct load *l);

#endif
