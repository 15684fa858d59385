/* stats.h - what is counted: each thread in a block of its own, added up by whoever asks.
 * Threads: any counts, without a lock or a shared cache line; any reads.
 * Owns: the blocks, for the life of the process: a count never goes back when its thread ends.
 */
#ifndef SHARDSM_STATS_H
#define SHARDSM_STATS_H

#include <stdatomic.h>

#include "shardsm/route.h"
#include "shardsm/stanza_error.h"

#define STAT_PAYLOADS (PL_OTHER + 1)
#define STAT_LATENCIES 10 /* buckets of the latency histogram, the last without an end */
#define STAT_BURSTS 12    /* of the histogram of bursts: up to 1, 2, 4, ... packets, the last without an end */

/* A first name and the number of its kind stand for the whole run. */
enum count {
	STAT_IN, /* by enum payload: what shards take from links */
	STAT_OUT = STAT_IN + STAT_PAYLOADS, /* and hand to them */
	STAT_ERRORS = STAT_OUT + STAT_PAYLOADS, /* by enum stanza_condition: stanzas answered with an error */
	STAT_START = STAT_ERRORS + SE_CONDITIONS, /* routes of session control by action */
	STAT_END, STAT_CREATE, STAT_DELETE, STAT_OTHER_ACTION,
	STAT_FAILED_START, STAT_FAILED_END, STAT_FAILED_CREATE, STAT_FAILED_DELETE, STAT_FAILED_OTHER_ACTION,
	STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED,
	STAT_USERS_LOADED, STAT_USERS_UNLOADED,
	STAT_OFFLINE_STORED, STAT_OFFLINE_DELIVERED, STAT_OFFLINE_REFUSED,
	STAT_STORE_SUBMITTED,
	STAT_STORE_READS, /* answered, by enum store_status */
	STAT_STORE_WRITES = STAT_STORE_READS + 3,
	STAT_STORE_LATENCY = STAT_STORE_WRITES + 3, /* by bucket */
	STAT_STORE_LATENCY_US = STAT_STORE_LATENCY + STAT_LATENCIES,
	STAT_STORE_COMMITS, STAT_STORE_COMMITTED,
	STAT_LINKS_UP, STAT_LINKS_DOWN,
	STAT_BURST, /* of shards, by bucket */
	STAT_BURST_PACKETS = STAT_BURST + STAT_BURSTS,
	STAT_SHARD_SLEEPS, STAT_ACCEPTOR_TURNS, STAT_ACCEPTOR_SLEEPS, STAT_WAKES, STAT_LINK_READS, STAT_LINK_WRITES,
	STAT_FRAMES_REFUSED,
	STAT_LIMIT_FRAME_BYTES, STAT_LIMIT_STRUCTURE, STAT_LIMIT_LINK_QUEUE, STAT_LIMIT_WRITE_QUEUE, STAT_LIMIT_SHARD_QUEUE, STAT_LIMIT_USER_QUEUE,
	STAT_LIMIT_PRIVACY, STAT_LIMIT_ROSTER, STAT_LIMIT_OFFLINE, STAT_LIMIT_QUERIES, STAT_LIMIT_WAITING, STAT_LIMIT_BETWEEN_SHARDS, STAT_LIMIT_SLOW_LINK,
	STAT_LIMIT_USER_SESSIONS, STAT_LIMIT_SESSIONS, STAT_LIMIT_USERS, STAT_LIMIT_USER_STANZAS, STAT_LIMIT_REQUESTS, STAT_LIMIT_DIRECTED,
	STAT_LIMIT_PRIVATE, STAT_LIMIT_VCARD,
	STAT_LOG, /* by enum log_level */
	STAT_RELOADS = STAT_LOG + 5, STAT_RELOADS_FAILED,
	STAT_COUNT
};

struct stats {
	_Atomic uint64_t n[STAT_COUNT];
} __attribute__((aligned(128))); /* two lines: they are fetched in pairs */

extern _Thread_local struct stats *stats_own; /* of threads without a block: one that they share, and where counts may be lost */

/* Gives the calling thread a block. Without memory for it the thread counts in the shared one. */
void stats_thread_start(void);

static inline void stat_add(unsigned stat, uint64_t n)
{
	_Atomic uint64_t *at = &stats_own->n[stat];

	/* One writer: no locked instruction. */
	atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void stat_inc(unsigned stat) { stat_add(stat, 1); }
void stat_latency(uint64_t us); /* of a store request */
void stat_burst(uint32_t packets); /* that a shard found waiting, and worked off in one turn */

uint64_t stat_sum(unsigned stat);
/* What is there now of what comes and goes. Never below 0, though the two are read one after the other. */
uint64_t stat_left(unsigned come, unsigned gone);
uint32_t stat_latency_limit_us(unsigned bucket); /* of the last one: UINT32_MAX */

#endif
