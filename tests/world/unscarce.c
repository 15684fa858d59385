/* unscarce.c - memory that never runs out: for programs that play scripts and leave the allocator alone.
 * Threads: any.
 * Owns: nothing.
 */
#include "scarce.h"

_Thread_local int scarce_pause;
