/* guard_rig.h - a whole session manager on one thread: an acceptor, shards, a c2s on a socket. Only the store has threads of its own.
 * Threads: one, which is acceptor and shards in turn, so that the same bytes take the same instructions every time.
 * Owns: everything, from rig_open() to rig_close().
 */
#ifndef BENCH_GUARD_RIG_H
#define BENCH_GUARD_RIG_H

#include "shardsm/buf.h"

#define RIG_SHARDS 2
#define RIG_C2S "c2s"

void rig_die(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn)); /* exits 2 */

/* config: its one domain is `domain`, its database is there or can be made. Ends the program when that fails. */
void rig_open(const char *config, struct span domain);
void rig_close(void);

/* The c2s writes bytes, whole frames, as one burst: read by the acceptor at once, worked off by the shards and answered by the store until
 * nothing is on its way any more. At most what a socket holds. */
void rig_send(struct span bytes);
/* What the c2s has been written since rig_forget(). Valid until the next call of rig_send(). */
struct span rig_output(void);
void rig_forget(void);

/* From here on callgrind counts what acceptor, shards and store execute, and nothing of the rig's own. */
void rig_count(void);

#endif
