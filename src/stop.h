/* stop.h - the end of the program, within its time whatever hangs.
 * Threads: main's.
 * Owns: a thread, from stop_begin() to stop_end().
 */
#ifndef SHARDSM_STOP_H
#define SHARDSM_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "shardsm/deadline.h"

#define EXIT_LEFT 3 /* ended, but something had to be left; the log says what */

/* All that is done until stop_end() has ms; SIGTERM and SIGINT shorten it. When it is over the process ends where it stands, with
 * EXIT_LEFT: what was acknowledged has been committed before, at any moment. */
const struct deadline *stop_begin(uint32_t ms);
void stop_now(const char *what); /* what is being done, for the log: a constant */
void stop_end(void);

#endif
