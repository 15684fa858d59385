/* tls.h - one link's TLS, on its non-blocking socket; contexts are in shardsm/tls.h.
 * Threads: the link's acceptor; tls_free() on whatever thread frees the link.
 * Owns: a session is the link's; the socket is not the session's.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <sys/types.h>
#include <sys/uio.h>

#include "shardsm/tls.h"

struct tls;

struct tls *tls_new(const struct tls_context *context, int fd) MUST_USE;
void tls_free(struct tls **tls);

enum tls_progress { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };
enum tls_progress tls_handshake(struct tls *tls, char why[static TLS_WHY_MAX]);
void tls_describe(const struct tls *tls, char what[static TLS_WHY_MAX]); /* version, cipher and whose certificate: for the log */

/* As recv() on a non-blocking socket: 0 is the end, -1 with errno. */
ssize_t tls_recv(struct tls *tls, char *to, size_t n);
/* As outbox_ops.write. Counts a byte when the record that it is in is with the kernel; after 0 the same bytes must come again first. */
ssize_t tls_write(struct tls *tls, const struct iovec *iov, int n);
bool tls_blocked(const struct tls *tls); /* goes on when the socket takes bytes */
bool tls_pending(const struct tls *tls); /* has bytes that epoll does not know of */
void tls_end(struct tls *tls);           /* close_notify, if it can go out now */

#endif
