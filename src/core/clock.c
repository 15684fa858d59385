/* clock.c - wall clock and monotonic clock, the first one movable by tests.
 * Threads: any.
 * Owns: the offset, shared by all threads.
 */
#include "shardsm/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *offset_file; /* NULL: the clock is not moved */
static _Atomic int64_t offset, offset_read_at;

static void look_for_offset_file(void)
{
	const char *name = getenv("SHARDSM_CLOCK_OFFSET_FILE");
	offset_file = name && *name ? name : NULL;
	atomic_store(&offset_read_at, INT64_MIN);
}

/* The file may be gone or half-written for a moment: then the last offset stands. */
static void read_offset(void)
{
	long long seconds;
	FILE *in = fopen(offset_file, "re");
	if (!in)
		return;
	if (fscanf(in, "%lld", &seconds) == 1)
		atomic_store(&offset, seconds);
	fclose(in);
}

int64_t clock_wall(void)
{
	struct timespec now;
	pthread_once(&once, look_for_offset_file);
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (!offset_file)
		return now.tv_sec;
	int64_t seen = atomic_load(&offset_read_at);
	if (seen != now.tv_sec && atomic_compare_exchange_strong(&offset_read_at, &seen, now.tv_sec))
		read_offset();
	return now.tv_sec + atomic_load(&offset);
}

uint64_t clock_mono_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_mono_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
