/* deadline.h - a time for several things that come one after the other, which may be cut short while they go on.
 * Threads: one sets it before the others read; any may hurry it.
 */
#ifndef SHARDSM_DEADLINE_H
#define SHARDSM_DEADLINE_H

#include <stdatomic.h>

#include "shardsm/clock.h"

struct deadline {
	_Atomic uint64_t end; /* clock_mono_ms() */
	_Atomic uint32_t ms;  /* the whole of it */
};

static inline void deadline_set(struct deadline *d, uint32_t ms)
{
	atomic_store(&d->ms, ms);
	atomic_store(&d->end, clock_mono_ms() + ms);
}

/* From now on there is this much at most. */
static inline void deadline_hurry(struct deadline *d, uint32_t ms)
{
	if (atomic_load(&d->end) > clock_mono_ms() + ms)
		deadline_set(d, ms);
}

/* Milliseconds until so much of it will have passed; 0: it has. */
static inline int deadline_left(const struct deadline *d, unsigned percent)
{
	uint64_t until = atomic_load(&d->end) - (uint64_t)atomic_load(&d->ms) * (100 - percent) / 100, now = clock_mono_ms();

	return until > now ? (int)(until - now) : 0;
}

#endif
