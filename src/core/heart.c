/* heart.c - a counter for each thread, on a cache line of its own, and who looks whether it moves.
 * Threads: see the header; the list is under a mutex, which nobody takes in a turn.
 * Owns: hearts.
 */
#include "shardsm/heart.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shardsm/log.h"

struct heart {
	_Atomic uint64_t beats __attribute__((aligned(64)));
	_Atomic bool resting;
	/* fixed for life */
	char name[24];
	long tid;
	/* under the mutex */
	struct heart *next;
	/* the looker's */
	uint64_t seen, since;
	bool missed;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_started = PTHREAD_COND_INITIALIZER;
static struct heart *hearts;
static unsigned started, awaited; /* how often; under the mutex */
static __thread struct heart *own;

void heart_start(const char *name)
{
	struct heart *h = aligned_alloc(_Alignof(struct heart), sizeof(*h));

	if (h) {
		memset(h, 0, sizeof(*h));
		snprintf(h->name, sizeof(h->name), "%s", name);
		h->tid = syscall(SYS_gettid);
	}
	pthread_mutex_lock(&mutex);
	if (h) {
		h->next = hearts;
		hearts = h;
	}
	started++;
	pthread_cond_signal(&has_started);
	pthread_mutex_unlock(&mutex);
	own = h;
}

void heart_await_start(void)
{
	pthread_mutex_lock(&mutex);
	awaited++;
	while (started < awaited)
		pthread_cond_wait(&has_started, &mutex);
	pthread_mutex_unlock(&mutex);
}

void heart_end(void)
{
	struct heart **at = &hearts, *h = own;

	own = NULL;
	if (!h)
		return;
	pthread_mutex_lock(&mutex);
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	pthread_mutex_unlock(&mutex);
	free(h);
}

void heart_beat(void)
{
	/* One writer: no read-modify-write is needed. */
	if (own)
		atomic_store_explicit(&own->beats, atomic_load_explicit(&own->beats, memory_order_relaxed) + 1, memory_order_relaxed);
}

void heart_rest(void)
{
	if (own)
		atomic_store_explicit(&own->resting, true, memory_order_relaxed);
}

void heart_wake(void)
{
	heart_beat();
	if (own)
		atomic_store_explicit(&own->resting, false, memory_order_relaxed);
}

static bool alive(struct heart *h, uint64_t now, uint32_t ms)
{
	uint64_t beats = atomic_load_explicit(&h->beats, memory_order_relaxed);

	if (beats != h->seen || atomic_load_explicit(&h->resting, memory_order_relaxed) || !h->since) {
		if (h->missed)
			log_warning("%s: alive again, after %llu ms", h->name, (unsigned long long)(now - h->since));
		h->seen = beats;
		h->since = now;
		h->missed = false;
		return true;
	}
	if (now - h->since < ms)
		return true;
	if (!h->missed)
		log_error("%s: no sign of life for %llu ms (thread %ld)", h->name, (unsigned long long)(now - h->since), h->tid);
	h->missed = true;
	return false;
}

bool hearts_alive(uint64_t now_ms, uint32_t ms)
{
	bool all = true;

	pthread_mutex_lock(&mutex);
	for (struct heart *h = hearts; h; h = h->next)
		all &= alive(h, now_ms, ms);
	pthread_mutex_unlock(&mutex);
	return all;
}
