/* rcu.h - the one door to liburcu's QSBR flavour.
 * Threads: every thread that looks things up registers once, says quiescent once per turn, and is offline while it sleeps.
 */
#ifndef SHARDSM_RCU_H
#define SHARDSM_RCU_H

#ifndef SHARDSM_TSAN /* inlined, ThreadSanitizer would see half of it */
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-qsbr.h>

static inline void rcu_thread_start(void) { urcu_qsbr_register_thread(); }
static inline void rcu_thread_end(void) { urcu_qsbr_unregister_thread(); }
static inline void rcu_quiet(void) { urcu_qsbr_quiescent_state(); }
static inline void rcu_sleep(void) { urcu_qsbr_thread_offline(); }
static inline void rcu_wake(void) { urcu_qsbr_thread_online(); }
static inline void rcu_enter(void) { urcu_qsbr_read_lock(); }
static inline void rcu_leave(void) { urcu_qsbr_read_unlock(); }
static inline void rcu_after(struct rcu_head *head, void (*fn)(struct rcu_head *)) { urcu_qsbr_call_rcu(head, fn); }
static inline void rcu_settle(void) { urcu_qsbr_barrier(); } /* waits until every rcu_after() has run */

#endif
