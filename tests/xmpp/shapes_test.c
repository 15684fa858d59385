/* shapes_test.c - a scanner that remembers start tags against one that reads every frame anew.
 * Threads: one.
 * Owns: what each test allocates.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare.h"
#include "gen.h"
#include "shardsm/route.h"
#include "xmpp/shape.h"

#define HEADER "<stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'>"

static void scanner(struct route_scanner *s, struct route_shapes *shapes)
{
	struct stream_header h;
	struct route route;
	size_t used;

	route_scanner_init(s, NULL);
	cr_assert_eq(route_next(s, HEADER, sizeof(HEADER) - 1, &route, &used), ROUTE_HEADER);
	cr_assert(route_header(s, HEADER, used, &h));
	s->shapes = shapes;
}

/* Would the shapes answer for it? */
static bool known(struct route_shapes *shapes, struct span doc)
{
	struct gate g;
	struct route route;

	memset(&route, 0, sizeof(route));
	gate_init(&g, doc.p, doc.n, &route_limits_default);
	g.route = &route;
	g.watch = 1;
	g.shapes = shapes;
	return shape_match(&g);
}

/* Bytes of their own, exactly: a read too far is seen by a sanitizer. */
static void both(struct route_shapes *shapes, struct span doc)
{
	struct route_scanner warm, cold;
	struct route a, b;
	size_t used_a, used_b;
	char *exact = malloc(doc.n ? doc.n : 1);

	cr_assert_not_null(exact);
	memcpy(exact, doc.p, doc.n);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	scanner(&warm, shapes);
	scanner(&cold, NULL);
	enum route_result ra = route_next(&warm, exact, doc.n, &a, &used_a), rb = route_next(&cold, exact, doc.n, &b, &used_b);

	cr_assert(ra == rb && used_a == used_b, "%d and %d: %.*s", (int)ra, (int)rb, (int)doc.n, doc.p);
	if (ra == ROUTE_OK)
		cr_assert(compare_same(&a, &b), "read otherwise: %.*s", (int)doc.n, doc.p);
	if (ra == ROUTE_BAD)
		cr_assert(warm.error == cold.error && warm.condition == cold.condition, "%s, %s: %.*s", warm.error, cold.error, (int)doc.n, doc.p);
	free(exact);
}

/* The same frame with some of its attributes' values changed, to what a value may hold and what it must not. */
static void vary(struct gen *g, struct span doc, struct buf *out)
{
	static const char *const values[] = { "", "x", "user@example.org/a somewhat longer resource", "1bd2f0a93c5e77d81bd2f0a93c5e77d8aabbccdd", "&amp;",
		"\xc3\xbc", "]", ">", "\t", "'", "\"", "<", "\x01", "/", "=", "chat" };
	const char *p = doc.p, *end = doc.p + doc.n, *payload = doc.n > 1 ? memchr(p + 1, '<', doc.n - 1) : NULL;
	bool all = gen_one_in(g, 16); /* else namespaces and the route's own attributes stay as they are */

	while (p < end) {
		char c = *p++;

		buf_put(out, span_of(&c, 1));
		if (c != '=' || p == end || (*p != '\'' && *p != '"'))
			continue;
		const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));

		if (!close)
			continue;
		buf_put(out, span_of(p, 1));
		bool ours = !all && (p < payload || (p - doc.p > 9 && memmem(p - 9, 8, "xmlns", 5)));

		if (!ours && gen_one_in(g, 3))
			buf_str(out, values[gen_below(g, gen_one_in(g, 8) ? 16 : 4)]);
		else
			buf_put(out, span_of(p + 1, (size_t)(close - p - 1)));
		p = close;
	}
}

Test(shapes, answers_are_the_same_with_and_without)
{
	unsigned frames = 0, matched = 0;

	for (uint64_t seed = 1; seed <= 1500; seed++) {
		struct gen g = { seed * 104729 };
		struct route_shapes *shapes = route_shapes_new();
		struct buf first, other;

		cr_assert_not_null(shapes);
		buf_init(&first);
		buf_init(&other);
		for (int i = 0; i < 40; i++) {
			if (i % 8 == 0) {
				buf_clear(&first);
				gen_frame(&g, false, &first);
				both(shapes, buf_span(&first));
			}
			buf_clear(&other);
			vary(&g, buf_span(&first), &other);
			if (gen_one_in(&g, 4))
				gen_mutate(&g, &other);
			if (gen_one_in(&g, 8))
				other.n = gen_below(&g, other.n + 1); /* cut off */
			matched += known(shapes, buf_span(&other));
			frames++;
			both(shapes, buf_span(&other));
		}
		buf_free(&first);
		buf_free(&other);
		route_shapes_free(&shapes);
	}
	/* It is no test if one side of it hardly happens. */
	cr_expect(matched > frames / 10 && matched < frames - frames / 10, "%u of %u frames were known", matched, frames);
}

#define TAGS(to, id, sm) "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'><message xmlns='" NS_CLIENT "' xmlns:sc='" NS_SESSION \
	"' to='" to "' type='chat' id='" id "' sc:c2s='7' sc:sm='" sm "'>"
#define REST "<body>hello</body></message></route>"

static bool knows(struct route_shapes *shapes, const char *doc)
{
	return known(shapes, span_str(doc));
}

Test(shapes, one_is_known_by_everything_but_values)
{
	struct route_shapes *shapes = route_shapes_new();

	cr_assert_not_null(shapes);
	cr_expect(!knows(shapes, TAGS("a@b/c", "1", "aabb") REST));
	both(shapes, SPAN(TAGS("a@b/c", "1", "aabb") REST));
	cr_expect(knows(shapes, TAGS("somebody@else/where", "22", "") REST));
	cr_expect(knows(shapes, TAGS("a@b/c", "1", "aabb") "<body>another</body>"));
	cr_expect(!knows(shapes, TAGS("a&amp;@b/c", "1", "aabb") REST), "a reference");
	cr_expect(!knows(shapes, TAGS("a@b/c", "1' type='chat", "aabb") REST), "another attribute");
	cr_expect(!knows(shapes, "<route xmlns='" NS_COMPONENT "' to='sm' from='c2t'>" REST), "another route");
	route_shapes_free(&shapes);
	cr_expect_null(shapes);
}

Test(shapes, the_last_ones_are_kept)
{
	struct route_shapes *shapes = route_shapes_new();
	char doc[600];

	cr_assert_not_null(shapes);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 20; i++) {
			snprintf(doc, sizeof(doc), "<route xmlns='" NS_COMPONENT "' to='sm' from='c%d'><iq xmlns='" NS_CLIENT "' id='%d'/></route>", i, round);
			both(shapes, span_str(doc));
			cr_expect(knows(shapes, doc));
		}
	route_shapes_free(&shapes);
}
