/* gen.h - routes made up from a seed, well-formed and mutilated.
 * Threads: any; a struct gen has one user.
 * Owns: nothing.
 */
#ifndef TESTS_GEN_H
#define TESTS_GEN_H

#include "shardsm/buf.h"

struct gen {
	uint64_t x; /* the seed */
};

uint32_t gen_below(struct gen *g, uint32_t n);
static inline bool gen_one_in(struct gen *g, uint32_t n) { return gen_below(g, n) == 0; }

/* A frame as a jabberd2 link (accept: a XEP-0114 link) may carry it: mostly as processes write them, now and then as XML merely allows. */
void gen_frame(struct gen *g, bool accept, struct buf *out);
/* Changes a few bytes or tokens: mostly no longer well-formed. */
void gen_mutate(struct gen *g, struct buf *doc);

#endif
