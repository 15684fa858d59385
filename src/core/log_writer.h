/* log_writer.h - the log's own thread: lines are copied to it and written many at a time.
 * Threads: log_writer_put() and log_writer_flush() any, between start and stop; those two main, stop while no other thread puts.
 * Owns: its buffers and its thread, from start to stop; the descriptor is the log's.
 */
#ifndef SHARDSM_CORE_LOG_WRITER_H
#define SHARDSM_CORE_LOG_WRITER_H

#include "shardsm/span.h"

/* lost: is told how many lines could not be written, by the writer's thread. False: no memory or no thread, nothing changes. */
bool log_writer_start(int fd, void (*lost)(uint64_t lines)) MUST_USE;
/* A whole line, its newline included. soon: not after the next batch. False: the buffer is full, the line is the caller's to count. */
bool log_writer_put(const char *line, size_t n, bool soon) MUST_USE;
/* Waits, at most a second, until what was put before is written. */
void log_writer_flush(void);
/* Writes what there is and ends the thread; what a reader that has stopped reading leaves no room for is lost. */
void log_writer_stop(void);

#endif
