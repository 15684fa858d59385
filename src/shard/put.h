/* put.h - bytes one behind the other where there is room for all of them: for stanzas that are written in one piece.
 * Threads: any; values.
 * Owns: nothing.
 */
#ifndef SHARDSM_SHARD_PUT_H
#define SHARDSM_SHARD_PUT_H

#include "shardsm/span.h"

/* Returns where the next byte goes. */
static inline char *put(char *at, struct span s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

#define PUT(at, literal) put(at, SPAN(literal))

#endif
