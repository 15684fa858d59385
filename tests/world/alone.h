/* alone.h - chance and grace periods of a process with one thread: the same each time, and over when nothing is being done.
 * Threads: one.
 * Owns: what waits for the end of a grace period.
 *
 * To be linked with WORLD_WRAP: it stands in for getrandom() and for call_rcu().
 */
#ifndef TESTS_ALONE_H
#define TESTS_ALONE_H

#include "shardsm/span.h"

/* What getrandom() gives from here on. */
void alone_chance(uint64_t seed);
/* Frees what nobody can see any more, which is everything that was given to rcu_after(). */
void alone_grace(void);
/* Says what is wrong, and ends the process as a fuzzer wants it. */
void broken(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
