/* report.c - the table at the end, and the same figures for programs.
 * Threads: the one thread of the program.
 * Owns: see report.h.
 */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct phase *report_begin(struct report *r, const char *name)
{
	struct phase *p = bench_calloc(1, sizeof *p);

	r->phases = bench_realloc(r->phases, (r->n + 1) * sizeof(struct phase *));
	r->phases[r->n++] = p;
	snprintf(p->name, sizeof p->name, "%s", name);
	cpu_read(&r->before, r->pid);
	p->rss_before_kb = r->before.rss_kb;
	p->begin_ns = bench_now();
	return p;
}

void report_end(struct report *r)
{
	struct phase *p = r->phases[r->n - 1];
	struct cpu_sample after;

	p->wall_ns = bench_now() - p->begin_ns;
	cpu_read(&after, r->pid);
	cpu_since(&p->used, &r->before, &after);
	if (r->pid && !p->used.valid)
		report_fail(r, "%s: process %d, the sm, is gone", p->name, r->pid);
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

static double per_op_us(const struct phase *p, uint64_t ns)
{
	return p->ops ? (double)ns / 1000.0 / (double)p->ops : 0;
}

static double latency_ms(const struct phase *p, double quantile)
{
	return (double)latency_at(&p->latency, quantile) / 1e6;
}

static double per_second(const struct phase *p)
{
	return p->wall_ns ? (double)p->ops * 1e9 / (double)p->wall_ns : 0;
}

static void print_threads(const struct phase *p)
{
	printf("  %-10s by thread, us:", p->name);
	for (unsigned i = 0; i < p->used.nthreads; i++) {
		const struct cpu_thread *t = &p->used.threads[i];
		printf(" %s%.0u %.2f", t->name, t->count > 1 ? t->count : 0, per_op_us(p, t->ns));
	}
	printf("\n");
}

static void print_memory(const struct report *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct phase *p = r->phases[i];
		if (!p->used.valid || strcmp(p->name, "start") != 0 || p->ops == p->failed)
			continue;
		printf("  memory per session: %.1f KB (RSS %.1f -> %.1f MB)\n",
			((double)p->used.rss_kb - (double)p->rss_before_kb) / (double)(p->ops - p->failed),
			(double)p->rss_before_kb / 1024, (double)p->used.rss_kb / 1024);
	}
}

void report_print(const struct report *r)
{
	printf("%s%s%-10s %9s %7s %8s %9s %10s %10s %9s %9s %9s %8s\n", r->opt->label ? r->opt->label : "",
		r->opt->label ? "\n" : "", "phase", "ops", "failed", "wall s", "ops/s", "sm us/op", "bench us/op",
		"p50 ms", "p99 ms", "p99.9 ms", "RSS MB");
	for (unsigned i = 0; i < r->n; i++) {
		const struct phase *p = r->phases[i];
		printf("%-10s %9" PRIu64 " %7" PRIu64 " %8.2f %9.0f %10.3f %11.3f %9.3f %9.3f %9.3f %8.1f\n", p->name,
			p->ops, p->failed, (double)p->wall_ns / 1e9, per_second(p),
			per_op_us(p, p->used.valid ? p->used.total_ns : 0), per_op_us(p, p->used.own_ns),
			latency_ms(p, 0.5), latency_ms(p, 0.99), latency_ms(p, 0.999), (double)p->used.rss_kb / 1024);
	}
	for (unsigned i = 0; i < r->n; i++)
		if (r->phases[i]->used.valid)
			print_threads(r->phases[i]);
	print_memory(r);
	printf("  result: %s\n", r->failure[0] ? r->failure : "every operation answered, every delivery right");
}

static void json_text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20)
			fprintf(f, "\\u%04x", (unsigned)*s);
		else if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

static void json_phase(FILE *f, const struct phase *p)
{
	fprintf(f, "{\"name\":");
	json_text(f, p->name);
	fprintf(f,
		",\"ops\":%" PRIu64 ",\"failed\":%" PRIu64
		",\"wall_s\":%.6f,\"ops_per_s\":%.1f,\"bench_cpu_us_per_op\":%.4f,"
		"\"latency_ms\":{\"p50\":%.4f,\"p99\":%.4f,\"p99.9\":%.4f,\"max\":%.4f}",
		p->ops, p->failed, (double)p->wall_ns / 1e9, per_second(p), per_op_us(p, p->used.own_ns),
		latency_ms(p, 0.5), latency_ms(p, 0.99), latency_ms(p, 0.999), (double)p->latency.max / 1e6);
	if (p->used.valid) {
		fprintf(f,
			",\"sm_cpu_us_per_op\":%.4f,\"rss_before_kb\":%" PRIu64 ",\"rss_kb\":%" PRIu64 ",\"threads\":[",
			per_op_us(p, p->used.total_ns), p->rss_before_kb, p->used.rss_kb);
		for (unsigned i = 0; i < p->used.nthreads; i++) {
			fprintf(f, "%s{\"name\":", i ? "," : "");
			json_text(f, p->used.threads[i].name);
			fprintf(f, ",\"count\":%u,\"us_per_op\":%.4f}", p->used.threads[i].count,
				per_op_us(p, p->used.threads[i].ns));
		}
		fputc(']', f);
	}
	fputc('}', f);
}

static bool save_json(const struct report *r)
{
	const struct options *o = r->opt;
	FILE *f = fopen(o->json, "we");

	if (!f)
		return false;
	fprintf(f, "{\"label\":");
	json_text(f, o->label ? o->label : "");
	fprintf(f, ",\"scenario\":");
	json_text(f, o->scenario);
	fprintf(f,
		",\"role\":\"%s\",\"sessions\":%u,\"messages\":%" PRIu64 ",\"window\":%u,\"rate\":%" PRIu64
		",\"body\":%u,\"seed\":%" PRIu64 ",\"failure\":",
		o->c2s_host ? "c2s" : "router", o->sessions, o->messages, o->window, o->rate, o->body, o->seed);
	json_text(f, r->failure);
	fprintf(f, ",\"phases\":[");
	for (unsigned i = 0; i < r->n; i++) {
		if (i)
			fputc(',', f);
		json_phase(f, r->phases[i]);
	}
	fprintf(f, "]}\n");
	return fclose(f) == 0;
}

/* One line a phase, appended: label, sessions, phase, ops, failed, ops/s, sm us/op, p50, p99, p99.9 ms, RSS before,
 * after KB. */
static bool save_tsv(const struct report *r)
{
	FILE *f = fopen(r->opt->tsv, "ae");

	if (!f)
		return false;
	for (unsigned i = 0; i < r->n; i++) {
		const struct phase *p = r->phases[i];
		fprintf(f,
			"%s\t%u\t%s\t%" PRIu64 "\t%" PRIu64 "\t%.1f\t%.4f\t%.4f\t%.4f\t%.4f\t%" PRIu64 "\t%" PRIu64
			"\n",
			r->opt->label ? r->opt->label : "-", r->opt->sessions, p->name, p->ops, p->failed,
			per_second(p), per_op_us(p, p->used.valid ? p->used.total_ns : 0), latency_ms(p, 0.5),
			latency_ms(p, 0.99), latency_ms(p, 0.999), p->rss_before_kb, p->used.rss_kb);
	}
	return fclose(f) == 0;
}

bool report_save(const struct report *r)
{
	bool ok = true;

	if (r->opt->json && !save_json(r)) {
		fprintf(stderr, "shardsm-bench: cannot write %s (%m)\n", r->opt->json);
		ok = false;
	}
	if (r->opt->tsv && !save_tsv(r)) {
		fprintf(stderr, "shardsm-bench: cannot write %s (%m)\n", r->opt->tsv);
		ok = false;
	}
	return ok;
}

void report_free(struct report *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->phases[i]);
	free(r->phases);
	r->phases = NULL;
	r->n = 0;
}
