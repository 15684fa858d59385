/* log_writer.h - the log's own thread: lines are copied to it and written many at a time.
 * Threads: log_writer_put() and log_writer_flush() any, between start and stop; those two main, stop while no other thread puts.
 * Owns: its buffers and its thread, from start to stop; the descriptor is the log's.
 */
#ifndef SHARDSM_CORE_LOG_WRITER_H
#define SHARDSM_CORE_LOG_WRITER_H

#include "shardsm/span.h"

/* What could not be written, called by the writer's thread. It is told of before anything else is written. */
#define LOG_LOSS_BYTES 160
struct log_losses {
	void (*add)(uint64_t lines);
	size_t (*line)(char line[static LOG_LOSS_BYTES], uint64_t *lines); /* that says how many lines were lost; 0: none were */
	void (*told)(uint64_t lines);                                     /* that line is written */
};

/* False: no memory or no thread, nothing changes. */
bool log_writer_start(int fd, const struct log_losses *losses) MUST_USE;
/* A whole line, its newline included. soon: not after the next batch. False: the buffer is full, the line is the caller's to count. */
bool log_writer_put(const char *line, size_t n, bool soon) MUST_USE;
/* Waits, at most a second, until what was put before is written. */
void log_writer_flush(void);
/* Writes what there is and ends the thread; what a reader that has stopped reading leaves no room for is lost. */
void log_writer_stop(void);

#endif
