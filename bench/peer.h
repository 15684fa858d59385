/* peer.h - the other end of a session manager: one or more c2s that dial a listening shardsm, or the router that an sm
 * dials, with one c2s behind it; or both ends of a relay. The same scenarios run over both.
 * Threads: the one thread of the program.
 * Owns: the links and their sockets, until peers_close().
 * Source: jabberd2 component protocol 1.0.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench.h"
#include "wire.h"

#define PEER_NAME 64
#define PEER_BOUND 16
#define PEER_LINKS 64

struct peer_link {
	struct wire wire;
	char name[PEER_NAME]; /* of the c2s whose sessions are on this link */
};

struct peers {
	const struct options *opt;
	unsigned n;
	struct peer_link *links;
	bool router;
	/* Router: what the sm bound. Routes to these names go back in, as a router would send them. */
	unsigned nbound;
	char bound[PEER_BOUND][PEER_NAME];
	uint64_t looped;     /* routes sent back in */
	uint64_t unroutable; /* routes for nobody here, dropped */
};

/* One route for a c2s of ours. */
typedef void (*peer_route_fn)(void *arg, unsigned link, const struct frame *f);

/* Connects, authenticates, binds; returns when the domain is served, ends the program when that fails. */
void peers_open(struct peers *p, const struct options *opt);
void peers_close(struct peers *p);

/* Waits up to timeout_ns for something to read or to write, hands every route to fn, writes what was queued. Queued
 * bytes are written on entry, too. Routes handed out, -1: a link is lost. */
long peers_poll(struct peers *p, int64_t timeout_ns, peer_route_fn fn, void *arg);
uint64_t peers_bytes_in(const struct peers *p);
size_t peers_pending(const struct peers *p); /* bytes that no socket took yet */

#endif
