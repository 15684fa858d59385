/* fuzz_route.c - one input, frames with a NUL between them, every promise of the gate: expat agrees, reads may be cut anywhere, both readers say
 * the same, and so does a scanner that remembers how frames began.
 * Threads: one.
 * Owns: what it allocates, until it returns.
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address; without, fuzz_replay.c feeds it the corpus.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../xmpp/compare.h"
#include "../xmpp/oracle.h"
#include "fuzz.h"
#include "shardsm/xml.h"

static const char header[] = "<s:stream xmlns:s='" NS_STREAMS "'>";

static void COLD broken(const char *what)
{
	fprintf(stderr, "fuzz_route: %s\n", what);
	abort();
}

/* One element and nothing else, as the stream sees it, in two reads. */
static bool passes(struct span doc, size_t first, bool accept, struct route *r)
{
	struct route_scanner s;
	size_t used;

	route_scanner_init(&s, NULL);
	if (route_next(&s, header, sizeof(header) - 1, r, &used) != ROUTE_HEADER)
		broken("the header was not passed");
	s.accept = accept;
	if (first < doc.n && route_next(&s, doc.p, first, r, &used) != ROUTE_MORE)
		return false;
	return route_next(&s, doc.p, doc.n, r, &used) == ROUTE_OK && used == doc.n && r->len == doc.n;
}

static void scanner_ready(struct route_scanner *s, struct route_shapes *shapes)
{
	struct stream_header h;
	struct route r;
	size_t used;

	route_scanner_init(s, NULL);
	if (route_next(s, header, sizeof(header) - 1, &r, &used) != ROUTE_HEADER || !route_header(s, header, sizeof(header) - 1, &h))
		broken("the header was not passed");
	s->shapes = shapes;
}

/* Bytes of their own, exactly: a read too far is seen. */
static void check_shapes(struct route_shapes *shapes, struct span doc)
{
	struct route_scanner warm, cold;
	char *exact = malloc(doc.n ? doc.n : 1);
	struct route a, b;
	size_t used_a, used_b;

	if (!exact)
		abort();
	memcpy(exact, doc.p, doc.n);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	scanner_ready(&warm, shapes);
	scanner_ready(&cold, NULL);
	enum route_result ra = route_next(&warm, exact, doc.n, &a, &used_a), rb = route_next(&cold, exact, doc.n, &b, &used_b);

	if (ra != rb || used_a != used_b || (ra == ROUTE_OK && !compare_same(&a, &b)))
		broken("with shapes it is read otherwise");
	if (ra == ROUTE_BAD && (warm.error != cold.error || warm.condition != cold.condition))
		broken("with shapes it is refused for something else");
	free(exact);
}

static void check(struct span doc, size_t first)
{
	struct oracle o = oracle_check(doc, &route_limits_default);
	bool ok = route_check(NULL, doc, NULL), frame = doc.n && doc.p[0] == '<' && doc.p[doc.n - 1] == '>';
	struct route r;
	unsigned odd = 0;

	if (ok && (!o.well_formed || o.restricted || o.over))
		broken("passed what it must not");
	if (!ok && frame && o.well_formed && !o.restricted && !o.over)
		broken("refused what expat accepts");
	if (!ok)
		return;
	for (int accept = 0; accept < 2; accept++) {
		if (!passes(doc, doc.n, accept, &r) || !passes(doc, first, accept, &r))
			broken("a document alone is no frame of a stream");
		const char *what = compare_readers(doc, accept, &odd);
		if (what)
			broken(what);
	}
	struct xml_doc *tree = xml_parse(doc, NULL);
	if (!tree)
		broken("mini-XML read it otherwise");
	struct buf out;
	buf_init(&out);
	xml_write(&out, xml_root(tree), NULL, NULL);
	if (out.failed || !oracle_check(buf_span(&out), &route_limits_default).well_formed)
		broken("what was written is not well-formed");
	buf_free(&out);
	xml_free(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte says where the read is cut. */
	if (size < 2 || size > 60000)
		return 0;
	struct route_shapes *shapes = route_shapes_new();

	for (const char *p = (const char *)data + 1, *end = (const char *)data + size, *nul; p < end; p = nul + 1) {
		nul = memchr(p, '\0', (size_t)(end - p));
		nul = nul ? nul : end;
		struct span doc = span_of(p, (size_t)(nul - p));

		check(doc, 1 + (size_t)data[0] * doc.n / 256);
		/* The second time it is known. */
		check_shapes(shapes, doc);
		check_shapes(shapes, doc);
	}
	route_shapes_free(&shapes);
	return 0;
}
