/* scenario.h - what a load is: a name and a function. A new one is a file and a line in main.c's list.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#ifndef BENCH_SCENARIO_H
#define BENCH_SCENARIO_H

#include "peer.h"
#include "report.h"

struct scenario {
	const char *name, *help;
	void (*run)(struct peers *peers, struct report *report); /* failures go to report_fail() */
};

extern const struct scenario scenario_chat;

#endif
