/* stop.c - watches over the end of the program: main may hang in it, with a thread that never comes back or a dead database.
 * Threads: stop_main() is its own; the rest is main's.
 * Owns: the thread.
 */
#include "stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shardsm/log.h"

#define HURRY_MS 500 /* of whoever asks a second time: for what is nearly done */

static struct {
	struct deadline deadline;
	_Atomic(const char *) doing;
	_Atomic bool over;
	pthread_t thread;
	bool started;
} stop;

static void *stop_main(void *arg)
{
	sigset_t asked;
	int left;

	(void)arg;
	sigemptyset(&asked);
	sigaddset(&asked, SIGTERM);
	sigaddset(&asked, SIGINT);
	while ((left = deadline_left(&stop.deadline, 100)) > 0) {
		int got = sigtimedwait(&asked, NULL, &(struct timespec){ .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L });

		if (atomic_load(&stop.over))
			return NULL;
		if (got > 0 && deadline_left(&stop.deadline, 100) > HURRY_MS) {
			log_notice("shutting down in a hurry");
			deadline_hurry(&stop.deadline, HURRY_MS);
		}
	}
	if (atomic_load(&stop.over))
		return NULL;
	log_error("shutting down: the time is up (%s): it is left", atomic_load(&stop.doing));
	log_flush();
	_exit(EXIT_LEFT);
}

const struct deadline *stop_begin(uint32_t ms)
{
	deadline_set(&stop.deadline, ms);
	stop_now("links are read");
	stop.started = pthread_create(&stop.thread, NULL, stop_main, NULL) == 0;
	if (stop.started)
		pthread_setname_np(stop.thread, "stop");
	return &stop.deadline;
}

void stop_now(const char *what)
{
	atomic_store(&stop.doing, what);
}

void stop_end(void)
{
	atomic_store(&stop.over, true);
	if (!stop.started)
		return;
	pthread_kill(stop.thread, SIGTERM);
	pthread_join(stop.thread, NULL);
}
