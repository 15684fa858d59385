/* links_wire.h - sockets without a kernel: what the links read and write is in memory, and epoll tells of it.
 * Threads: one.
 * Owns: the bytes of a wire until both of its ends are closed.
 *
 * To be linked with LINKS_WRAP: it stands in for recv, sendmsg, shutdown, close, epoll_ctl and epoll_wait on descriptors of its own.
 */
#ifndef TESTS_FUZZ_LINKS_WIRE_H
#define TESTS_FUZZ_LINKS_WIRE_H

#include "shardsm/buf.h"

/* What a link may have with the kernel: then it has to wait for room. */
#define WIRE_BYTES 1024

/* The descriptor for the link; the peer calls the rest with it. */
int wire_open(void);
void wire_say(int fd, struct span bytes);
/* All that it was told and has not read; true: there was something. */
bool wire_hear(int fd, struct buf *out);
void wire_end(int fd);   /* the peer says no more */
void wire_close(int fd); /* the peer is gone */
bool wire_none(void);    /* nobody has any end of one open */

#endif
