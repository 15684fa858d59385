/* report.c - phases and samples as they are taken.
 * Threads: the one thread of the program.
 * Owns: see report.h.
 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SAMPLE_NS 100000000

void report_open(struct report *r)
{
	r->opened_ns = bench_now();
	r->sample_every_ns = SAMPLE_NS;
	r->cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	if (getloadavg(&r->load, 1) != 1)
		r->load = 0;
}

static struct phase *add_phase(struct report *r, const char *name, bool part)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->phases[i]->name, name) == 0)
			return r->phases[i];
	struct phase *p = bench_calloc(1, sizeof *p);
	r->phases = bench_realloc(r->phases, (r->n + 1) * sizeof(struct phase *));
	r->phases[r->n++] = p;
	snprintf(p->name, sizeof p->name, "%s", name);
	p->part = part;
	return p;
}

struct phase *report_begin(struct report *r, const char *name)
{
	struct phase *p = add_phase(r, name, false);

	cpu_read(&r->before, r->pid);
	if (!p->begin_ns)
		p->rss_before_kb = r->before.rss_kb;
	p->begin_ns = bench_now();
	return p;
}

struct phase *report_part(struct report *r, const char *name)
{
	return add_phase(r, name, true);
}

void report_end(struct report *r, struct phase *p)
{
	struct cpu_sample after, used;

	p->wall_ns += bench_now() - p->begin_ns;
	cpu_read(&after, r->pid);
	cpu_since(&used, &r->before, &after);
	cpu_add(&p->used, &used);
	if (r->pid && !used.valid)
		report_fail(r, "%s: process %d, the sm, is gone", p->name, r->pid);
}

/* Every other one goes, and from now on half as many come. */
static void thin_out(struct report *r)
{
	for (unsigned i = 0; i < REPORT_SAMPLES / 2; i++)
		r->samples[i] = r->samples[2 * i + 1];
	r->nsamples = REPORT_SAMPLES / 2;
	r->sample_every_ns *= 2;
}

static unsigned running(const struct report *r)
{
	unsigned i = r->n;
	while (--i && r->phases[i]->part)
		;
	return i;
}

void report_tick(struct report *r, uint64_t now, uint32_t done)
{
	uint64_t ns = now - r->opened_ns;

	if (r->nsamples && ns - r->samples[r->nsamples - 1].ns < r->sample_every_ns)
		return;
	if (r->nsamples == REPORT_SAMPLES)
		thin_out(r);
	r->samples[r->nsamples++] =
		(struct sample){.ns = ns, .phase = running(r), .done = done, .rss_kb = cpu_rss_kb(r->pid)};
}

void report_fail(struct report *r, const char *fmt, ...)
{
	char text[sizeof r->failure];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fprintf(stderr, "shardsm-bench: %s\n", text);
	if (!r->failure[0])
		memcpy(r->failure, text, sizeof text);
}

double phase_us(const struct phase *p, uint64_t ns)
{
	return p->ops ? (double)ns / 1000.0 / (double)p->ops : 0;
}

double phase_ms(const struct phase *p, double quantile)
{
	return (double)latency_at(&p->latency, quantile) / 1e6;
}

double phase_rate(const struct phase *p)
{
	return p->wall_ns ? (double)p->ops * 1e9 / (double)p->wall_ns : 0;
}

void report_free(struct report *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->phases[i]);
	free(r->phases);
	r->phases = NULL;
	r->n = 0;
}
