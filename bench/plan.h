/* plan.h - messages that are decided before the clock starts, and checked when they arrive: once, whole, at the right
 * session, and in the order in which their sender wrote to their recipient (RFC 6120 10.1).
 * Threads: the one thread of the program.
 * Owns: the messages, from plan_new() to plan_free().
 */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include "sessions.h"

#define PLAN_NONE UINT32_MAX

struct message {
	uint32_t from, to;
	uint32_t previous; /* the last one before it from `from` to `to`, PLAN_NONE: it is the first */
	bool bare;         /* addressed to the bare JID */
	bool delivered;
	uint64_t due_ns;
};

struct plan {
	struct sessions *sessions;
	const struct options *opt;
	char kind; /* first letter of the ids */
	uint32_t n;
	struct message *messages;
	char *filler; /* the longest body */
};

/* The caller fills from, to and bare of each, then plan_link(). */
void plan_init(struct plan *p, struct sessions *s, char kind, uint32_t n);
void plan_link(struct plan *p); /* finds what is `previous` */
void plan_free(struct plan *p);

void plan_send(struct plan *p, uint32_t i, uint64_t due_ns);
/* The same as a session manager would deliver it, for a relay that gives back the bytes on the other link. */
void plan_send_relayed(struct plan *p, uint32_t i, uint64_t due_ns);
/* Is the route one of these messages? Then *i is which. */
bool plan_is_mine(const struct plan *p, const struct frame *f, uint32_t *i) MUST_USE;
/* Checks it; faults go to the load. delayed: it comes from the offline store and must say so. False: it is not
 * delivered by this route. */
bool plan_check(
	struct plan *p, struct load *l, unsigned link, const struct frame *f, uint32_t i, bool delayed) MUST_USE;

#endif
