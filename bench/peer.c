/* peer.c - moves bytes and routes once the links stand.
 * Threads: the one thread of the program.
 * Owns: see peer.h.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peer_open.h"

void peers_open(struct peers *p, const struct options *opt)
{
	*p = (struct peers){.opt = opt, .router = opt->host == NULL};
	p->n = p->router ? 1 : opt->relay ? 2 : opt->links;
	p->links = bench_calloc(p->n, sizeof *p->links);
	for (unsigned i = 0; i < p->n; i++)
		snprintf(p->links[i].name, PEER_NAME, "%.40s%u", opt->name, i + 1);
	if (p->router)
		peer_serve(p);
	else
		peer_dial_all(p);
}

void peers_close(struct peers *p)
{
	for (unsigned i = 0; i < p->n; i++)
		wire_fini(&p->links[i].wire);
	free(p->links);
	*p = (struct peers){0};
}

uint64_t peers_bytes_in(const struct peers *p)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < p->n; i++)
		n += p->links[i].wire.bytes_in;
	return n;
}

size_t peers_pending(const struct peers *p)
{
	size_t n = 0;
	for (unsigned i = 0; i < p->n; i++)
		n += wire_pending(&p->links[i].wire);
	return n;
}

static bool is_bound(const struct peers *p, struct span name)
{
	for (unsigned i = 0; i < p->nbound; i++)
		if (span_is(name, p->bound[i]))
			return true;
	return false;
}

/* What a router does with a route that is not for our c2s: back to the sm where that bound the name. */
static void reroute(struct peers *p, struct peer_link *l, const struct frame *f, struct span to)
{
	if (p->router && is_bound(p, to)) {
		wire_put(&l->wire, f->whole);
		p->looped++;
	} else {
		p->unroutable++;
	}
}

/* One read's worth of elements. Routes handed out, -1: the link is lost. */
static long read_link(struct peers *p, unsigned i, peer_route_fn fn, void *arg)
{
	struct peer_link *l = &p->links[i];
	struct frame f;
	enum wire_result r;
	long routes = 0;

	if (wire_fill(&l->wire) < 0)
		return -1;
	while ((r = wire_next(&l->wire, &f)) == WIRE_FRAME) {
		if (!tag_is(&f.outer, "route")) {
			if (tag_is(&f.outer, "error"))
				fprintf(stderr, "shardsm-bench: stream error: " SPAN_FMT "\n", SPAN_ARG(f.whole));
			else if (p->router)
				peer_bind(p, l, &f);
			continue;
		}
		struct span to = tag_attr(&f.outer, "to");
		if (span_is(to, l->name)) {
			fn(arg, i, &f);
			routes++;
		} else {
			reroute(p, l, &f, to);
		}
	}
	return r == WIRE_CLOSED ? -1 : routes;
}

static bool flush_all(struct peers *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (wire_pending(&p->links[i].wire) && wire_flush(&p->links[i].wire) < 0)
			return false;
	return true;
}

long peers_poll(struct peers *p, int64_t timeout_ns, peer_route_fn fn, void *arg)
{
	struct pollfd fds[PEER_LINKS];
	struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
	long routes = 0;

	if (!flush_all(p))
		return -1;
	for (unsigned i = 0; i < p->n; i++)
		fds[i] = (struct pollfd){.fd = p->links[i].wire.fd,
			.events = (short)(POLLIN | (wire_pending(&p->links[i].wire) ? POLLOUT : 0))};
	if (ppoll(fds, p->n, &t, NULL) < 0)
		return errno == EINTR ? 0 : -1;
	for (unsigned i = 0; i < p->n; i++) {
		if (!(fds[i].revents & ~POLLOUT))
			continue;
		long n = read_link(p, i, fn, arg);
		if (n < 0) {
			fprintf(stderr, "shardsm-bench: link %s is lost\n", p->links[i].name);
			return -1;
		}
		routes += n;
	}
	return flush_all(p) ? routes : -1;
}
