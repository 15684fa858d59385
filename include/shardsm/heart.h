/* heart.h - signs of life: every thread gives them, main looks for them.
 * Threads: each beats for itself; hearts_alive() is main's.
 * Owns: a thread's heart, from heart_start() to heart_end().
 */
#ifndef SHARDSM_HEART_H
#define SHARDSM_HEART_H

#include <stdbool.h>
#include <stdint.h>

/* Nobody who is not at rest sleeps longer than this. */
#define HEART_MS 1000

/* From here on this thread must be seen alive, or be at rest. Without memory nobody looks at it. */
void heart_start(const char *name);
/* By whoever has just started such a thread: until it has come that far. One that never does is not let go unnoticed. */
void heart_await_start(void);
void heart_end(void);
void heart_beat(void); /* once a turn; of a thread that has not started: nothing */
/* Waits for somebody else, as long as that takes: a database, a disk, other threads. */
void heart_rest(void);
void heart_wake(void);

/* False: a thread has given no sign for so long. It is named in the log, once, and once more when it is there again. */
bool hearts_alive(uint64_t now_ms, uint32_t ms);

#endif
