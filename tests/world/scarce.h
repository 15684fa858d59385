/* scarce.h - memory that runs out: the n-th allocation of a thread fails, or that one and all after it.
 * Threads: each has its own count.
 * Owns: nothing.
 */
#ifndef TESTS_SCARCE_H
#define TESTS_SCARCE_H

#include <stdbool.h>
#include <stdint.h>

/* While it is not 0, this thread's allocations are neither counted nor refused. */
extern _Thread_local int scarce_pause;

/* From now on the n-th allocation of this thread fails, and `more` behind it. n 0: none. */
void scarce_begin(uint64_t n, uint64_t more);
/* No more failures. True: the n-th was reached. */
bool scarce_end(void);

#endif
