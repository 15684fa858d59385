/* report.h - what was measured, phase by phase, and how it is told.
 * Threads: the one thread of the program.
 * Owns: the phases, until report_free().
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"
#include "cpu.h"
#include "latency.h"

#define REPORT_SAMPLES 512

struct phase {
	char name[24];
	bool part;       /* of the phase before: it has latencies, and no processor time of its own */
	uint64_t ops;    /* complete */
	uint64_t failed; /* refused (these are among ops), lost or wrong */
	uint64_t begin_ns, wall_ns;
	uint64_t rss_before_kb;
	struct cpu_sample used; /* the difference over the phase, summed where it ran several times */
	struct latency latency;
};

/* What was true at a moment: throughput and memory over time. */
struct sample {
	uint64_t ns; /* since report_open() */
	unsigned phase;
	uint32_t done;
	uint64_t rss_kb;
};

struct report {
	const struct options *opt;
	int pid; /* of the sm, 0: not watched */
	uint64_t opened_ns;
	double load; /* of the machine when the run began: runnable threads over a minute */
	unsigned cores;
	unsigned n;
	struct phase **phases;
	struct cpu_sample before;
	uint64_t strays; /* routes that nothing waited for: presence of contacts, a server's extras */
	unsigned nsamples;
	uint64_t sample_every_ns; /* doubles when they become too many */
	struct sample samples[REPORT_SAMPLES];
	char failure[1024]; /* first reason that failed the run; empty: none */
};

void report_open(struct report *r); /* opt and pid are set */
/* A phase runs from begin to end; one at a time. One of the same name goes on: its figures add up. */
struct phase *report_begin(struct report *r, const char *name);
struct phase *report_part(struct report *r, const char *name); /* of the phase that runs */
void report_end(struct report *r, struct phase *p);
void report_tick(struct report *r, uint64_t now, uint32_t done); /* often; takes a sample when it is time */
/* Fails the run. The first reason is kept, all are printed. */
void report_fail(struct report *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
void report_free(struct report *r);

double phase_us(const struct phase *p, uint64_t ns); /* of one operation */
double phase_rate(const struct phase *p);            /* operations a second */
double phase_ms(const struct phase *p, double quantile);

void report_print(const struct report *r); /* on stdout */
/* False: the file could not be written (errno). The form is in shardsm-bench(1). */
bool report_json(const struct report *r, const char *path) MUST_USE;

#endif
