/* report_json.c - the figures for programs. The form has a version: fields are added to it, never changed.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "report.h"

#define VERSION 1

static void put_text(FILE *f, const char *s)
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

static void put_latency(FILE *f, const struct phase *p)
{
	bool first = true;

	fprintf(f, ",\"latency_ms\":{\"p50\":%.6f,\"p99\":%.6f,\"p99.9\":%.6f,\"max\":%.6f},\"histogram\":[",
		phase_ms(p, 0.5), phase_ms(p, 0.99), phase_ms(p, 0.999), (double)p->latency.max / 1e6);
	for (unsigned i = 0; i < LATENCY_SLOTS; i++) {
		if (!p->latency.slots[i])
			continue;
		fprintf(f, "%s[%.6f,%" PRIu64 "]", first ? "" : ",", (double)latency_slot_end(i) / 1e6,
			p->latency.slots[i]);
		first = false;
	}
	fputc(']', f);
}

static void put_threads(FILE *f, const struct phase *p)
{
	fprintf(f, ",\"sm_cpu_us_per_op\":%.6f,\"rss_before_kb\":%" PRIu64 ",\"rss_kb\":%" PRIu64 ",\"threads\":[",
		phase_us(p, p->used.total_ns), p->rss_before_kb, p->used.rss_kb);
	for (unsigned i = 0; i < p->used.nthreads; i++) {
		fprintf(f, "%s{\"name\":", i ? "," : "");
		put_text(f, p->used.threads[i].name);
		fprintf(f, ",\"count\":%u,\"us_per_op\":%.6f}", p->used.threads[i].count,
			phase_us(p, p->used.threads[i].ns));
	}
	fputc(']', f);
}

static void put_phase(FILE *f, const struct phase *p)
{
	fprintf(f, "\n{\"name\":");
	put_text(f, p->name);
	fprintf(f,
		",\"part\":%s,\"ops\":%" PRIu64 ",\"failed\":%" PRIu64
		",\"wall_s\":%.6f,\"ops_per_s\":%.3f,\"bench_cpu_us_per_op\":%.6f",
		p->part ? "true" : "false", p->ops, p->failed, (double)p->wall_ns / 1e9, phase_rate(p),
		phase_us(p, p->used.own_ns));
	put_latency(f, p);
	if (p->used.valid)
		put_threads(f, p);
	fputc('}', f);
}

static void put_options(FILE *f, const struct options *o)
{
	fprintf(f, "\"scenario\":");
	put_text(f, o->scenario);
	fprintf(f,
		",\"role\":\"%s\",\"links\":%u,\"sessions\":%u,\"contacts\":%u,\"operations\":%" PRIu64
		",\"window\":%u,\"rate\":%" PRIu64 ",\"body_max\":%u,\"seed\":%" PRIu64 ",",
		o->relay  ? "relay"
		: o->host ? "c2s"
			  : "router",
		o->links, o->sessions, o->contacts, o->ops, o->window, o->rate, bodies_longest(&o->bodies), o->seed);
}

bool report_json(const struct report *r, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return false;
	fprintf(f, "{\"schema\":\"shardsm-bench\",\"version\":%d,\"label\":", VERSION);
	put_text(f, r->opt->label ? r->opt->label : "");
	fputc(',', f);
	put_options(f, r->opt);
	fprintf(f, "\"machine\":{\"cores\":%u,\"load\":%.2f},\"failure\":", r->cores, r->load);
	put_text(f, r->failure);
	fprintf(f, ",\"bench_rss_kb\":%" PRIu64, cpu_own_peak_kb());
	fprintf(f, ",\"strays\":%" PRIu64 ",\"phases\":[", r->strays);
	for (unsigned i = 0; i < r->n; i++) {
		if (i)
			fputc(',', f);
		put_phase(f, r->phases[i]);
	}
	fprintf(f, "],\n\"samples\":[");
	for (unsigned i = 0; i < r->nsamples; i++) {
		const struct sample *s = &r->samples[i];
		fprintf(f, "%s[%.3f,%u,%u,%" PRIu64 "]", i ? "," : "", (double)s->ns / 1e9, s->phase, s->done,
			s->rss_kb);
	}
	fprintf(f, "]}\n");
	bool good = !ferror(f);
	return fclose(f) == 0 && good;
}
