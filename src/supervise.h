/* supervise.h - what main sees to each second while the others serve: are they alive, and what does the service manager hear.
 * Threads: main's, but supervise_ready().
 */
#ifndef SHARDSM_SUPERVISE_H
#define SHARDSM_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

struct program;

void supervise_start(const struct program *p); /* threads run from now on */
void supervise_ready(void);                    /* any thread: every name is bound at the router */
uint32_t supervise(void *arg);                 /* the program; returns in how many milliseconds it wants to be called again, at the latest */
void supervise_reload(bool begins);            /* the config is read again; ends */
/* The service manager allows the end its time. */
void supervise_stopping(uint32_t ms);

#endif
