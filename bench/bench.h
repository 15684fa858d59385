/* bench.h - what all parts of the load generator share: its options, its clock, how it gives up.
 * Threads: the one thread of the program.
 * Owns: nothing; options borrow the command line.
 */
#ifndef BENCH_H
#define BENCH_H

#include "bodies.h"
#include "shardsm/span.h"

enum address { ADDRESS_FULL, ADDRESS_BARE, ADDRESS_MIXED };

struct options {
	const char *scenario;
	const char *host; /* to dial, as a listening sm's c2s or a relay's client; NULL: play the router */
	bool relay;
	uint16_t port; /* to dial or to listen on, 0: any free one */
	const char *port_file;
	const char *user, *pass, *domain;
	unsigned links; /* streams to dial */
	const char *name; /* of the c2s on each, with a number behind it */
	uint32_t sessions;
	uint32_t contacts; /* of each session, online ones */
	uint64_t ops;
	uint32_t window;     /* operations under way at most */
	uint64_t rate;       /* operations a second, 0: as fast as the window lets */
	uint64_t login_rate; /* the same of session control */
	double duration_s;   /* nothing is sent after it, 0: all operations are */
	double hold_s;       /* silence in the scenario idle */
	unsigned rounds;     /* of users who come and go in it */
	struct bodies bodies;
	uint32_t partners; /* recipients that one session writes to, 0: everybody */
	enum address address;
	uint64_t seed;
	bool presence, end_sessions, quiet;
	unsigned timeout_s; /* no progress for so long: the run failed */
	int pid;            /* of the sm, 0: not watched */
	const char *pid_file;
	const char *json, *label;
	bool sql; /* print the users, and do no more */
};

/* Exit codes: 1 the run failed (losses, wrong deliveries, a link lost), 2 it could not begin. */
void bench_die(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn)); /* exits 2 */
void *bench_realloc(void *p, size_t n) MUST_USE; /* never NULL; realloc(3) with an exit */
void *bench_calloc(size_t n, size_t size) MUST_USE;
uint64_t bench_now(void); /* monotonic ns */

/* splitmix64: the same seed makes the same load on every machine. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
static inline uint32_t bench_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)(((bench_random(state) >> 32) * limit) >> 32);
}

#endif
