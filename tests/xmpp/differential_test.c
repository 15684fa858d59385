/* differential_test.c - the gate against expat, the scanner against mini-XML, both against expat.
 * Threads: one.
 * Owns: what each test allocates.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare.h"
#include "gen.h"
#include "oracle.h"
#include "xmpp/cut.h"
#include "xmpp/gate.h"

static enum gate_verdict gate(struct span doc, struct gate *g)
{
	gate_init(g, doc.p, doc.n, &route_limits_default);
	enum gate_verdict v = gate_element(g);
	return v == GATE_OK && g->p != g->end ? GATE_BAD : v;
}

/* NULL: the gate says what expat says, or is stricter for a reason that the oracle can name. */
static const char *disagree(struct span doc, enum gate_verdict *verdict)
{
	struct gate g;
	struct oracle o = oracle_check(doc, &route_limits_default);
	enum gate_verdict v = *verdict = gate(doc, &g);

	if (v == GATE_OK) {
		if (!o.well_formed || o.restricted || o.over)
			return "passed what it must not";
		if (g.elements != o.elements || g.attributes != o.attributes)
			return "counted differently";
		struct cut c = { 0 };
		const char *p = doc.p;
		if (cut_run(&c, &p, doc.p + doc.n, 0) != CUT_DONE || p != doc.p + doc.n)
			return "was cut elsewhere";
		return NULL;
	}
	if (v == GATE_LIMIT)
		return o.well_formed && !o.over ? "refused what is within the limits" : NULL;
	/* White space around the element is a document to expat and no frame to us. */
	bool frame = doc.n && doc.p[0] == '<' && doc.p[doc.n - 1] == '>';
	return o.well_formed && !o.restricted && frame ? "rejected what expat accepts" : NULL;
}

static void show(const char *what, struct span doc, uint64_t seed)
{
	cr_assert(false, "%s (seed %llu): %.*s", what, (unsigned long long)seed, (int)doc.n, doc.p);
}

Test(differential, gate_says_what_expat_says)
{
	unsigned counts[GATE_BAD + 1] = { 0 };

	for (uint64_t seed = 1; seed <= 30000; seed++) {
		struct gen g = { seed };
		struct buf doc;
		enum gate_verdict v;
		buf_init(&doc);
		gen_frame(&g, gen_one_in(&g, 4), &doc);
		if (!gen_one_in(&g, 4))
			gen_mutate(&g, &doc);
		/* Bytes of its own, exactly: a read too far is seen by a sanitizer. */
		char *exact = malloc(doc.n ? doc.n : 1);
		cr_assert_not_null(exact);
		memcpy(exact, doc.p, doc.n);
		const char *what = disagree(span_of(exact, doc.n), &v);
		if (what)
			show(what, span_of(exact, doc.n), seed);
		counts[v]++;
		free(exact);
		buf_free(&doc);
	}
	/* It is no test if one side of it hardly happens. */
	cr_expect(counts[GATE_OK] > 6000 && counts[GATE_BAD] > 6000 && counts[GATE_LIMIT] > 50 && counts[GATE_MORE] > 100, "%u %u %u %u", counts[0],
		counts[1], counts[2], counts[3]);
}

static void readers(bool accept, unsigned frames, unsigned least_odd)
{
	unsigned odd = 0;

	for (uint64_t seed = 1; seed <= frames; seed++) {
		struct gen g = { seed * 7919 };
		struct buf doc;
		buf_init(&doc);
		gen_frame(&g, accept, &doc);
		const char *what = compare_readers(buf_span(&doc), accept, &odd);
		if (what)
			show(what, buf_span(&doc), seed * 7919);
		buf_free(&doc);
	}
	cr_expect(odd > least_odd && odd < frames - least_odd, "%u of %u frames were odd", odd, frames);
}

Test(differential, both_readers_of_routes_say_what_expat_says)
{
	readers(false, 8000, 800);
}

Test(differential, both_readers_of_bare_stanzas_say_what_expat_says)
{
	readers(true, 3000, 300);
}

static char *slurp(const char *dir, const char *name, uint32_t *n)
{
	char path[1200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	cr_assert_not_null(f, "%s", path);
	char *bytes = malloc(1 << 20);
	cr_assert_not_null(bytes);
	*n = (uint32_t)fread(bytes, 1, 1 << 20, f);
	fclose(f);
	while (*n && bytes[*n - 1] == '\n')
		--*n;
	return bytes;
}

/* Names tell what a file is: accept-*.xml on a component's link, bad-*.xml and refused-*.xml what the gate says of it. */
static void corpus_file(const char *dir, const char *name)
{
	uint32_t n;
	char *bytes = slurp(dir, name, &n);
	unsigned odd = 0;
	enum gate_verdict v;
	const char *what = disagree(span_of(bytes, n), &v);
	enum gate_verdict want = strncmp(name, "bad-", 4) == 0 ? GATE_BAD : strncmp(name, "refused-", 8) == 0 ? GATE_LIMIT : GATE_OK;

	cr_expect(!what, "%s: %s", name, what);
	cr_expect(v == want, "%s: verdict %d instead of %d", name, (int)v, (int)want);
	if (v == GATE_OK) {
		what = compare_readers(span_of(bytes, n), strncmp(name, "accept-", 7) == 0, &odd);
		cr_expect(!what, "%s: %s", name, what);
		if (strncmp(name, "odd-", 4) == 0)
			cr_expect_eq(odd, 1, "%s: the scanner was sure of it", name);
	}
	free(bytes);
}

Test(differential, corpus)
{
	const char *srcdir = getenv("srcdir");
	char dir[900];
	unsigned files = 0;

	snprintf(dir, sizeof(dir), "%s/tests/xmpp/corpus", srcdir ? srcdir : ".");
	DIR *d = opendir(dir);
	cr_assert_not_null(d, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (n < 4 || strcmp(e->d_name + n - 4, ".xml") != 0)
			continue;
		corpus_file(dir, e->d_name);
		files++;
	}
	closedir(d);
	cr_expect(files >= 20, "%u files in %s", files, dir);
}
