/* report_text.c - the table at the end.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"

static void print_threads(const struct phase *p)
{
	printf("  %-15s us/op by thread:", p->name);
	for (unsigned i = 0; i < p->used.nthreads; i++) {
		const struct cpu_thread *t = &p->used.threads[i];
		printf(" %s", t->name);
		if (t->count > 1)
			printf(" (%u)", t->count);
		printf(" %.3f", phase_us(p, t->ns));
	}
	printf("\n");
}

static void print_memory(const struct report *r)
{
	double kb = 0, before = 0, sessions = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct phase *p = r->phases[i];
		if (!p->used.valid || (strcmp(p->name, "start") != 0 && strcmp(p->name, "presence") != 0))
			continue;
		if (!before) {
			before = (double)p->rss_before_kb;
			sessions = (double)(p->ops - p->failed);
		}
		kb = (double)p->used.rss_kb;
	}
	if (sessions > 0)
		printf("  memory of a session%s: %.2f KB (RSS %.1f -> %.1f MB)\n",
			r->n > 1 && strcmp(r->phases[1]->name, "presence") == 0 ? " with presence" : "",
			(kb - before) / sessions, before / 1024, kb / 1024);
}

static unsigned busiest(const struct report *r)
{
	unsigned threads = 0;
	for (unsigned i = 0; i < r->n; i++) {
		unsigned n = 0;
		for (unsigned k = 0; k < r->phases[i]->used.nthreads; k++)
			n += r->phases[i]->used.threads[k].count;
		threads = n > threads ? n : threads;
	}
	return threads;
}

static void print_machine(const struct report *r)
{
	unsigned threads = busiest(r);

	printf("  machine: %u cores, load %.2f when the run began; this program took %.1f MB\n", r->cores, r->load,
		(double)cpu_own_peak_kb() / 1024);
	if (threads + 1 > r->cores)
		printf("  warning: %u threads of the sm and one of this program share %u cores: latencies are those of "
		       "the scheduler, too\n",
			threads, r->cores);
}

void report_print(const struct report *r)
{
	if (r->opt->label)
		printf("%s\n", r->opt->label);
	printf("%-17s %9s %7s %8s %9s %9s %11s %9s %9s %9s %9s %8s\n", "phase", "ops", "failed", "wall s", "ops/s",
		"sm us/op", "bench us/op", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "RSS MB");
	for (unsigned i = 0; i < r->n; i++) {
		const struct phase *p = r->phases[i];
		printf("%s%-*s %9" PRIu64 " %7" PRIu64 " %8.2f %9.0f ", p->part ? "  " : "", p->part ? 15 : 17, p->name,
			p->ops, p->failed, (double)p->wall_ns / 1e9, phase_rate(p));
		if (p->part)
			printf("%9s %11s", "", "");
		else
			printf("%9.3f %11.3f", phase_us(p, p->used.valid ? p->used.total_ns : 0),
				phase_us(p, p->used.own_ns));
		printf(" %9.3f %9.3f %9.3f %9.3f", phase_ms(p, 0.5), phase_ms(p, 0.99), phase_ms(p, 0.999),
			(double)p->latency.max / 1e6);
		if (!p->part)
			printf(" %8.1f", (double)p->used.rss_kb / 1024);
		printf("\n");
	}
	for (unsigned i = 0; i < r->n; i++)
		if (r->phases[i]->used.valid)
			print_threads(r->phases[i]);
	print_memory(r);
	print_machine(r);
	if (r->strays && !r->opt->quiet)
		printf("  %" PRIu64 " routes that nothing waited for: presence, a server's extras\n", r->strays);
	printf("  result: %s\n", r->failure[0] ? r->failure : "every operation answered, every delivery right");
}
