/* log_writer.c - the log's own thread: lines are copied to it and written many at a time.
 * Threads: its own; any puts, under a mutex that is never held while the disk works.
 * Owns: two buffers, one that is filled while the other is written.
 *
 * A process that is killed, or that crashes, takes the lines of its last COLLECT_MS with it. One that ends writes them all.
 */
#include "core/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shardsm/heart.h"

#define BUFFER_BYTES (1u << 20) /* some ten thousand lines: a second's, on a busy server */
#define COLLECT_MS 5            /* from a first line to the write that takes it and those behind it */
#define READER_MS 200           /* how long the end waits for whoever reads a full pipe */
#define FLUSH_MS 1000

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t filled, written;
	pthread_t thread;
	int fd;
	const struct log_losses *losses;
	bool torn;                   /* the thread's: the last line that was written lacks its end */
	char *filling, *writing;     /* by mutex, down to stop; writing: the thread's */
	size_t used;                 /* of filling */
	uint64_t taken, done;        /* buffers that the thread took, and wrote */
	bool idle;                   /* it waits for a first line */
	bool soon, stop;
} w = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (ms % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

static bool stopping(void)
{
	pthread_mutex_lock(&w.mutex);
	bool stop = w.stop;

	pthread_mutex_unlock(&w.mutex);
	return stop;
}

/* A full pipe or terminal is waited for: the lines that come meanwhile are lost once the buffer is full, no thread but this
 * one stands still. */
static bool writable(void)
{
	struct pollfd ready = { .fd = w.fd, .events = POLLOUT };

	for (;;) {
		bool last = stopping();
		int n = poll(&ready, 1, READER_MS);

		if (n > 0)
			return ready.revents & POLLOUT;
		if (n == 0 && last)
			return false;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/* A full disk takes half of a line: what is written when there is room again begins a new one. */
static bool write_whole(const char *p, size_t n)
{
	ssize_t done;

	if (n == 0)
		return true;
	if (!writable())
		return false;
	do {
		done = write(w.fd, p, n);
	} while (done < 0 && errno == EINTR);
	if (done > 0)
		w.torn = p[done - 1] != '\n';
	return done == (ssize_t)n;
}

/* False: it is as full as before. */
static bool begin(void)
{
	char line[LOG_LOSS_BYTES];
	uint64_t lines;

	if (w.torn && !write_whole("\n", 1))
		return false;
	size_t n = w.losses->line(line, &lines);

	if (n == 0)
		return true;
	if (!write_whole(line, n))
		return false;
	w.losses->told(lines);
	return true;
}

static void write_out(const char *p, size_t n)
{
	uint64_t lines = 0;
	bool ready = begin();
	struct stat st;
	/* A pipe that poll() says has room takes that much without waiting. */
	size_t most = fstat(w.fd, &st) == 0 && S_ISREG(st.st_mode) ? BUFFER_BYTES : PIPE_BUF;

	while (ready && n && writable()) {
		ssize_t done = write(w.fd, p, n < most ? n : most);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			break;
		if (done > 0) {
			p += done;
			w.torn = p[-1] != '\n';
			n -= (size_t)done;
		}
	}
	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	if (lines)
		w.losses->add(lines);
}

/* Waits for lines and takes them. 0: it is time to stop. */
static size_t take(void)
{
	struct timespec until;
	size_t n;
	char *p;

	while (!w.used && !w.stop) {
		w.idle = true;
		heart_rest();
		pthread_cond_wait(&w.filled, &w.mutex);
		heart_wake();
	}
	w.idle = false;
	until = in_ms(COLLECT_MS);
	while (!w.soon && !w.stop && pthread_cond_timedwait(&w.filled, &w.mutex, &until) != ETIMEDOUT)
		;
	w.soon = false;
	n = w.used;
	p = w.writing;
	w.writing = w.filling;
	w.filling = p;
	w.used = 0;
	w.taken++;
	return n;
}

static void *writer_main(void *arg)
{
	size_t n;

	(void)arg;
	heart_start("log");
	pthread_mutex_lock(&w.mutex);
	while ((n = take()) > 0) {
		pthread_mutex_unlock(&w.mutex);
		heart_rest(); /* a disk or a reader that hangs costs lines, not the server */
		write_out(w.writing, n);
		heart_wake();
		pthread_mutex_lock(&w.mutex);
		w.done = w.taken;
		pthread_cond_broadcast(&w.written);
	}
	pthread_mutex_unlock(&w.mutex);
	heart_end();
	return NULL;
}

bool log_writer_put(const char *line, size_t n, bool soon)
{
	pthread_mutex_lock(&w.mutex);
	bool fits = BUFFER_BYTES - w.used >= n;

	if (fits) {
		memcpy(w.filling + w.used, line, n);
		w.used += n;
	}
	soon = (soon || w.used > BUFFER_BYTES / 2) && !w.soon;
	w.soon |= soon;
	if (soon || w.idle)
		pthread_cond_signal(&w.filled);
	w.idle = false;
	pthread_mutex_unlock(&w.mutex);
	return fits;
}

void log_writer_flush(void)
{
	struct timespec until = in_ms(FLUSH_MS);

	pthread_mutex_lock(&w.mutex);
	uint64_t want = w.taken + (w.used > 0);

	w.soon = true;
	pthread_cond_signal(&w.filled);
	while (w.done < want && pthread_cond_timedwait(&w.written, &w.mutex, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&w.mutex);
}

static bool thread_start(void)
{
	sigset_t all, before;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool ok = pthread_create(&w.thread, NULL, writer_main, NULL) == 0;

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!ok)
		return false;
	pthread_setname_np(w.thread, "log");
	heart_await_start();
	return true;
}

static void release(void)
{
	pthread_cond_destroy(&w.filled);
	pthread_cond_destroy(&w.written);
	free(w.filling);
	free(w.writing);
}

bool log_writer_start(int fd, const struct log_losses *losses)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr))
		return false;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w.filled, &attr);
	pthread_cond_init(&w.written, &attr);
	pthread_condattr_destroy(&attr);
	w.fd = fd;
	w.losses = losses;
	w.torn = false;
	w.filling = malloc(BUFFER_BYTES);
	w.writing = malloc(BUFFER_BYTES);
	w.used = 0;
	w.idle = w.soon = w.stop = false;
	if (!w.filling || !w.writing || !thread_start()) {
		release();
		return false;
	}
	return true;
}

void log_writer_stop(void)
{
	pthread_mutex_lock(&w.mutex);
	w.stop = true;
	pthread_cond_signal(&w.filled);
	pthread_mutex_unlock(&w.mutex);
	pthread_join(w.thread, NULL);
	release();
}
