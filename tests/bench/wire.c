/* tests/bench/wire.c - the load generator's reader and its histogram: wherever the bytes are split, the same elements
 * come out. Threads: one. Owns: a socket pair per case.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "latency.h"
#include "wire.h"

/* The two things that the reader wants of main.c. */
void bench_die(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

void *bench_realloc(void *p, size_t n)
{
	void *q = realloc(p, n);
	cr_assert(q);
	return q;
}

static const char stream[] =
	"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
	" <route to='c2s1' from=\"localhost\"><message xmlns='jabber:client' xmlns:sm='urn:s' sm:c2s='7' sm:sm='ab' "
	"to='a&gt;b' "
	"id='x/>y'><body>one<message/>two</body></message></route>\n"
	"<bind/><challenge xmlns='urn:x'>YWJj</challenge>"
	"<route a = 'b' ><sc:session sc:failed='1' action='start'/></route>";

static void expect(struct wire *w, struct frame *f, enum wire_result want)
{
	cr_assert_eq(wire_next(w, f), want);
}

#define IS(span, text) cr_expect(span_is(span, text), "got %.*s", SPAN_ARG(span))

static void check_elements(struct wire *w, int fd, size_t chunk)
{
	struct frame f;
	const char *p = stream;
	size_t left = sizeof stream - 1;
	unsigned seen = 0;

	for (;;) {
		enum wire_result r = wire_next(w, &f);
		if (r == WIRE_MORE) {
			size_t n = chunk < left ? chunk : left;
			if (n == 0)
				break;
			cr_assert_eq(write(fd, p, n), (ssize_t)n);
			p += n, left -= n;
			cr_assert_eq(wire_fill(w), (long)n);
			continue;
		}
		cr_assert_eq(r, seen == 0 ? WIRE_HEADER : WIRE_FRAME);
		switch (seen++) {
		case 1:
			IS(tag_attr(&f.outer, "to"), "c2s1");
			IS(tag_attr(&f.outer, "from"), "localhost");
			cr_expect(tag_is(&f.payload, "message"));
			IS(tag_session(&f.payload, "c2s"), "7");
			IS(tag_session(&f.payload, "sm"), "ab"); /* and not the declaration xmlns:sm */
			IS(tag_attr(&f.payload, "id"), "x/>y");
			IS(f.content, "<body>one<message/>two</body>");
			cr_expect_null(tag_attr(&f.outer, "id").p);
			break;
		case 2:
			cr_expect(tag_is(&f.outer, "bind"));
			cr_expect_eq(f.payload.name.n, 0u);
			break;
		case 3:
			IS(f.inner, "YWJj");
			break;
		case 4:
			cr_expect(tag_is(&f.payload, "session"));
			IS(tag_session(&f.payload, "failed"), "1");
			cr_expect_eq(f.content.n, 0u);
			break;
		}
	}
	cr_expect_eq(seen, 5u, "chunks of %zu: %u elements", chunk, seen);
}

Test(wire, elements_are_the_same_however_the_bytes_are_split)
{
	for (size_t chunk = 1; chunk <= sizeof stream; chunk++) {
		struct wire w;
		int fd[2];
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		wire_init(&w, fd[0]);
		check_elements(&w, fd[1], chunk);
		wire_fini(&w);
		close(fd[1]);
	}
}

Test(wire, the_end_of_the_stream_is_seen)
{
	static const char end[] = "<s></s></stream:stream>";
	struct wire w;
	struct frame f;
	int fd[2];
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	wire_init(&w, fd[0]);
	cr_assert_eq(write(fd[1], end, sizeof end - 1), (ssize_t)(sizeof end - 1));
	cr_assert_gt(wire_fill(&w), 0);
	expect(&w, &f, WIRE_HEADER);
	expect(&w, &f, WIRE_CLOSED); /* </s> closes what <s> opened */
	close(fd[1]);
	cr_expect_eq(wire_fill(&w), -1);
	wire_fini(&w);
}

Test(latency, quantiles_are_within_one_step)
{
	static struct latency l;
	for (uint64_t i = 1; i <= 100000; i++)
		latency_add(&l, i * 1000);
	for (int q = 1; q <= 100; q++) {
		double exact = q * 1000.0 * 1000.0, got = (double)latency_at(&l, q / 100.0);
		cr_expect(got >= exact * 0.9999 && got <= exact * 1.017, "p%d: %.0f, exactly %.0f", q, got, exact);
	}
	cr_expect_eq(latency_at(&l, 1.0), 100000000u);
}

Test(latency, extremes)
{
	static struct latency l;
	cr_expect_eq(latency_at(&l, 0.5), 0u, "nothing counted");
	latency_add(&l, 0);
	latency_add(&l, UINT64_MAX);
	cr_expect_eq(latency_at(&l, 0.5), 0u);
	cr_expect_eq(latency_at(&l, 1.0), UINT64_MAX);
}
