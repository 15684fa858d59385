/* notify.h - what a service manager is told: sd_notify(3)'s protocol, a datagram to the socket that the environment names.
 * Threads: any, after notify_open(), which is main's.
 * Owns: the socket, until the end of the process.
 */
#ifndef SHARDSM_NOTIFY_H
#define SHARDSM_NOTIFY_H

#include "shardsm/span.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and takes them out of the environment. Where there is nobody to be told, the rest
 * does nothing. */
void notify_open(void);
bool notify_heard(void);          /* is there somebody? */
uint32_t notify_watchdog_ms(void); /* a sign of life is wanted that often; 0: none is */
/* One or more lines NAME=value. What cannot be delivered is not: the manager waits for the next one. */
void notify(const char *fmt, ...) PRINTF_LIKE(1, 2);
void notify_reloading(void);

#endif
