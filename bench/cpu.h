/* cpu.h - what another process used: processor time in all and by thread name, memory.
 * Threads: the one thread of the program.
 * Owns: nothing; samples are values.
 * Source: the process's CPU clock (clock_getcpuclockid), /proc/PID/task/TID/schedstat (stat where the kernel has none),
 * /proc/PID/statm.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include "shardsm/span.h"

#define CPU_THREADS 32
#define CPU_NAME 32

struct cpu_thread {
	char name[CPU_NAME];
	unsigned count; /* threads of that name */
	uint64_t ns;
};

struct cpu_sample {
	bool valid;
	uint64_t total_ns; /* threads that have ended included */
	uint64_t own_ns;   /* this program's */
	uint64_t rss_kb;
	unsigned nthreads;
	struct cpu_thread threads[CPU_THREADS]; /* one for each name */
};

void cpu_read(struct cpu_sample *s, int pid); /* pid 0: own_ns alone */
uint64_t cpu_rss_kb(int pid);                 /* 0: there is none */
uint64_t cpu_own_peak_kb(void);               /* the most that this program had at once */
/* later minus earlier, by name; memory as it was later. */
void cpu_since(struct cpu_sample *out, const struct cpu_sample *earlier, const struct cpu_sample *later);
/* Adds times, by name; memory as it is in b. */
void cpu_add(struct cpu_sample *a, const struct cpu_sample *b);

#endif
