/* clock.h - the time, in one place, so that tests can move it.
 * Threads: any.
 * SHARDSM_CLOCK_OFFSET_FILE in the environment (tests only) names a file that holds seconds to add to the wall clock, read again at every second.
 */
#ifndef SHARDSM_CLOCK_H
#define SHARDSM_CLOCK_H

#include <stdint.h>

int64_t clock_wall(void);       /* unix seconds, movable */
uint64_t clock_mono_ms(void);   /* milliseconds since some start, never steps */
uint64_t clock_mono_us(void);   /* the same in microseconds */

#endif
