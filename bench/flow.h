/* flow.h - operations under way: sent in a window (closed loop) or at a rate (open loop), each route handed to the load
 * that it belongs to.
 * Threads: the one thread of the program.
 * Owns: nothing; flow_run() borrows everything for its time.
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include "peer.h"
#include "report.h"

enum fault { FAULT_TWICE, FAULT_MISDELIVERED, FAULT_FROM, FAULT_ALTERED, FAULT_DISORDER, FAULT_BOUNCED, FAULTS };

struct load;

struct load_ops {
	const char *name; /* of its phase */
	/* Writes operation i. Its time runs from due_ns, which open loops put into the past when they are late. */
	void (*send)(struct load *l, uint32_t i, uint64_t due_ns);
	/* False: not one of its routes. */
	bool (*receive)(struct load *l, unsigned link, const struct frame *f);
};

/* One kind of operation. The first member of the kind's own struct. */
struct load {
	const struct load_ops *ops;
	uint32_t n; /* operations that there are to do; flow_run() lowers it when time is up */
	uint32_t sent, done;
	uint32_t each;       /* things counted for one operation, 0 as 1: a burst's messages */
	struct phase *phase; /* set by flow_run(): where its latencies go */
	uint64_t faults[FAULTS];
	char first_fault[512];
};

struct flow {
	const char *name;
	struct peers *peers;
	struct report *report;
	struct load **loads;
	unsigned nloads;
	const uint8_t *order; /* which load the k-th operation is of; NULL: of the first */
	uint32_t window;      /* operations under way at most; without a rate */
	uint64_t rate;        /* a second, 0: closed loop */
	uint64_t duration_ns; /* nothing is sent after it; 0: all is sent */
};

/* One phase of the report (and one for each load when there are several), judged at its end: what was lost, doubled or
 * wrong fails the run. False: it failed. */
bool flow_run(struct flow *f) MUST_USE;

void load_done(struct load *l, uint64_t due_ns); /* an operation is complete */
void load_fault(struct load *l, enum fault what, const struct frame *f);

#endif
