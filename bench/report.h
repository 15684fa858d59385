/* report.h - what was measured, phase by phase, and how it is told.
 * Threads: the one thread of the program.
 * Owns: the phases, until report_free().
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"
#include "cpu.h"
#include "latency.h"

struct phase {
	char name[24];
	uint64_t ops;    /* answered */
	uint64_t failed; /* refused (these are among ops), lost or wrong */
	uint64_t begin_ns, wall_ns;
	uint64_t rss_before_kb;
	struct cpu_sample used; /* the difference over the phase */
	struct latency latency;
};

struct report {
	const struct options *opt;
	int pid; /* of the sm, 0: not watched */
	unsigned n;
	struct phase **phases;
	struct cpu_sample before;
	char failure[512]; /* first reason that failed the run; empty: none */
};

/* A phase runs from begin to end; one at a time. */
struct phase *report_begin(struct report *r, const char *name);
void report_end(struct report *r);
/* Fails the run. The first reason is kept, all are printed. */
void report_fail(struct report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
void report_print(const struct report *r);
/* Machine-readable copies, where the options ask for them. False: a file could not be written. */
bool report_save(const struct report *r) MUST_USE;
void report_free(struct report *r);

#endif
