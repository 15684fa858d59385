/* peer_open.c - stream headers, SASL and binds of both ends of a component link.
 * Threads: the one thread of the program.
 * Owns: nothing beyond a call but the sockets, which go to the links.
 * Source: jabberd2 component protocol 1.0.
 */
#include "peer_open.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sasl.h"
#include "shardsm/route.h"

#define HEADER "<?xml version='1.0'?><stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'"
#define OPEN_TIMEOUT_MS 30000

/* Blocks until the next element or header is there: opening may be slow, not silent. */
static enum wire_result next(struct peer_link *l, struct frame *f, const char *waiting_for)
{
	for (;;) {
		if (wire_flush(&l->wire) < 0)
			bench_die("link %s is lost while waiting for %s", l->name, waiting_for);
		enum wire_result r = wire_next(&l->wire, f);
		if (r == WIRE_FRAME && tag_is(&f->outer, "error"))
			bench_die("link %s: stream error: " SPAN_FMT, l->name, SPAN_ARG(f->whole));
		if (r == WIRE_FRAME || r == WIRE_HEADER)
			return r;
		struct pollfd fd = {.fd = l->wire.fd, .events = POLLIN};
		if (r == WIRE_CLOSED || poll(&fd, 1, OPEN_TIMEOUT_MS) <= 0 || wire_fill(&l->wire) < 0)
			bench_die("link %s was closed or silent while waiting for %s", l->name, waiting_for);
	}
}

static void expect(struct peer_link *l, struct frame *f, const char *local)
{
	if (next(l, f, local) != WIRE_FRAME || !tag_is(&f->outer, local))
		bench_die("link %s: expected <%s/>, got " SPAN_FMT, l->name, local, SPAN_ARG(f->whole));
}

static void expect_header(struct peer_link *l, struct frame *f)
{
	if (next(l, f, "a stream header") != WIRE_HEADER)
		bench_die("link %s: expected a stream header, got " SPAN_FMT, l->name, SPAN_ARG(f->whole));
}

static char *step(struct sasl *s, const struct peer_link *l, struct span base64, bool *done)
{
	char *out;
	if (!sasl_step(s, base64, &out, done))
		bench_die("link %s: authentication failed (%s): user and password must be those of the sm", l->name,
			sasl_error(s));
	return out;
}

static void authenticate(const struct options *opt, struct peer_link *l)
{
	struct sasl *s = sasl_new(false, opt->user, opt->pass, opt->host);
	struct frame f;
	bool done = false;

	wire_printf(&l->wire, "<auth xmlns='" NS_SASL "' mechanism='DIGEST-MD5'></auth>");
	for (;;) {
		next(l, &f, "a SASL challenge");
		bool success = tag_is(&f.outer, "success");
		if (!success && !tag_is(&f.outer, "challenge"))
			bench_die("link %s: authentication refused: " SPAN_FMT, l->name, SPAN_ARG(f.whole));
		if (f.inner.n || !success) {
			char *out = step(s, l, f.inner, &done);
			if (!success)
				wire_printf(&l->wire, "<response xmlns='" NS_SASL "'>%s</response>", out ? out : "");
			free(out);
		}
		if (success)
			break;
	}
	sasl_free(&s);
}

/* Names that come online while we wait for the domain of the test. */
static void await_domain(const struct options *opt, struct peer_link *l)
{
	struct frame f;
	for (;;) {
		next(l, &f, "the domain to be advertised (is it in the sm's <local>?)");
		if (tag_is(&f.outer, "presence") && span_is(tag_attr(&f.outer, "from"), opt->domain) &&
			!tag_attr(&f.outer, "type").p)
			return;
	}
}

static void connect_link(const struct options *opt, struct peer_link *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(opt->port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || inet_pton(AF_INET, opt->host, &a.sin_addr) != 1 ||
		connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
		bench_die("cannot connect to %s:%u (%m)", opt->host, opt->port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	wire_init(&l->wire, fd);
}

static void dial(const struct options *opt, struct peer_link *l)
{
	struct frame f;

	connect_link(opt, l);
	wire_printf(&l->wire, HEADER ">");
	expect_header(l, &f);
	expect(l, &f, "features");
	authenticate(opt, l);
	wire_restart(&l->wire);
	wire_printf(&l->wire, HEADER ">");
	expect_header(l, &f);
	expect(l, &f, "features");
	wire_printf(&l->wire, "<bind xmlns='" NS_COMPONENT "' name='%s'></bind>", l->name);
	expect(l, &f, "bind");
	struct span error = tag_attr(&f.outer, "error");
	if (error.p)
		bench_die("bind of %s refused with error " SPAN_FMT, l->name, SPAN_ARG(error));
	await_domain(opt, l);
}

void peer_dial_all(struct peers *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->opt->relay) {
			connect_link(p->opt, &p->links[i]);
			p->links[i].wire.open = true; /* no header, no authentication: elements from the first byte */
		} else {
			dial(p->opt, &p->links[i]);
		}
	}
}

static void listen_any(struct peers *p)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(p->opt->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		bench_die("cannot listen on 127.0.0.1:%u (%m)", p->opt->port);
	fprintf(stderr, "shardsm-bench: waiting for an sm on 127.0.0.1:%u\n", ntohs(a.sin_port));
	if (p->opt->port_file) {
		FILE *f = fopen(p->opt->port_file, "we");
		if (!f || fprintf(f, "%u\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0)
			bench_die("cannot write %s (%m)", p->opt->port_file);
	}
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	if (poll(&pfd, 1, OPEN_TIMEOUT_MS) <= 0)
		bench_die("no sm dialled within %d s", OPEN_TIMEOUT_MS / 1000);
	int link = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (link < 0)
		bench_die("accept failed (%m)");
	close(fd);
	setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	wire_init(&p->links[0].wire, link);
}

static void admit(const struct options *opt, struct peer_link *l)
{
	struct sasl *s = sasl_new(true, opt->user, opt->pass, "127.0.0.1");
	struct frame f;
	bool done = false;

	expect(l, &f, "auth");
	struct span answer = f.inner;
	while (!done) {
		char *out = step(s, l, answer, &done);
		const char *name = done ? "success" : "challenge";
		wire_printf(&l->wire, "<%s xmlns='" NS_SASL "'>%s</%s>", name, out ? out : "", name);
		free(out);
		if (!done) {
			expect(l, &f, "response");
			answer = f.inner;
		}
	}
	sasl_free(&s);
}

void peer_bind(struct peers *p, struct peer_link *l, const struct frame *f)
{
	struct span name = tag_attr(&f->outer, "name");

	if (!tag_is(&f->outer, "bind") || !name.p)
		return;
	if (p->nbound == PEER_BOUND || name.n >= PEER_NAME)
		bench_die("the sm binds more than %d names, or one over %d bytes", PEER_BOUND, PEER_NAME - 1);
	snprintf(p->bound[p->nbound], PEER_NAME, SPAN_FMT, SPAN_ARG(name));
	wire_printf(&l->wire, "<bind xmlns='" NS_COMPONENT "'%s></bind>",
		tag_attr(&f->outer, "multi").p ? " multi='to'" : "");
	wire_printf(&l->wire, "<presence xmlns='" NS_COMPONENT "' from='%s'></presence>", p->bound[p->nbound]);
	if (p->nbound++ == 0)
		wire_printf(&l->wire, "<presence xmlns='" NS_COMPONENT "' from='%s'></presence>", l->name);
}

void peer_serve(struct peers *p)
{
	struct peer_link *l = &p->links[0];
	struct frame f;

	listen_any(p);
	expect_header(l, &f);
	wire_printf(&l->wire,
		HEADER " id='bench1'><stream:features xmlns:stream='" NS_STREAMS "'><mechanisms xmlns='" NS_SASL
		       "'><mechanism>DIGEST-MD5</mechanism></mechanisms></stream:features>");
	admit(p->opt, l);
	wire_restart(&l->wire);
	expect_header(l, &f);
	wire_printf(&l->wire, HEADER " id='bench2'><stream:features xmlns:stream='" NS_STREAMS "'></stream:features>");
	do {
		expect(l, &f, "bind");
		peer_bind(p, l, &f);
	} while (!span_is(tag_attr(&f.outer, "name"), p->opt->domain));
	if (wire_flush(&l->wire) < 0)
		bench_die("the sm hung up");
}
