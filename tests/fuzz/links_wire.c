/* links_wire.c - sockets without a kernel.
 * Threads: one.
 * Owns: see links_wire.h.
 */
#include "links_wire.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../world/alone.h"

#define FIRST 5000 /* descriptors that the kernel does not give */
#define WIRES 512  /* a link that is gone is kept while a shard has not heard of it */

static struct wire {
	bool ours, theirs; /* open: the link's end, the peer's */
	bool ended;        /* the peer says no more */
	struct buf in;     /* to the link, read up to in_off */
	uint32_t in_off;
	struct buf out;    /* to the peer */
	struct epoll_event watch;
} wires[WIRES];
static int top; /* those from here on are free */

static struct wire *wire_of(int fd)
{
	return fd >= FIRST && fd < FIRST + WIRES ? &wires[fd - FIRST] : NULL;
}

int wire_open(void)
{
	int i = 0;

	while (i < WIRES && (wires[i].ours || wires[i].theirs))
		i++;
	if (i == WIRES)
		broken("links that are gone are kept for ever");
	top = i < top ? top : i + 1;
	wires[i] = (struct wire){ .ours = true, .theirs = true };
	buf_init(&wires[i].in);
	buf_init(&wires[i].out);
	return FIRST + i;
}

void wire_say(int fd, struct span bytes)
{
	struct wire *w = wire_of(fd);

	if (w->ours && !w->ended)
		buf_put(&w->in, bytes);
}

bool wire_hear(int fd, struct buf *out)
{
	struct wire *w = wire_of(fd);
	bool some = w->out.n;

	buf_put(out, buf_span(&w->out));
	buf_clear(&w->out);
	return some;
}

void wire_end(int fd) { wire_of(fd)->ended = true; }

static void drop(struct wire *w)
{
	if (w->ours || w->theirs)
		return;
	buf_free(&w->in);
	buf_free(&w->out);
	while (top && !wires[top - 1].ours && !wires[top - 1].theirs)
		top--;
}

void wire_close(int fd)
{
	struct wire *w = wire_of(fd);

	w->theirs = false;
	drop(w);
}

bool wire_none(void) { return top == 0; }

/* --- what the links call ----------------------------------------------------------------------------------------------- */

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t n, int flags)
{
	struct wire *w = wire_of(fd);

	(void)flags;
	if (n > w->in.n - w->in_off)
		n = w->in.n - w->in_off;
	if (n == 0 && (w->ended || !w->theirs))
		return 0;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(to, w->in.p + w->in_off, n);
	w->in_off += (uint32_t)n;
	return (ssize_t)n;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct wire *w = wire_of(fd);
	ssize_t done = 0;

	(void)flags;
	if (!w->theirs) {
		errno = EPIPE;
		return -1;
	}
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		size_t room = WIRE_BYTES - w->out.n, n = msg->msg_iov[i].iov_len;

		n = n < room ? n : room;
		buf_put(&w->out, span_of(msg->msg_iov[i].iov_base, n));
		done += (ssize_t)n;
	}
	if (done)
		return done;
	errno = EAGAIN;
	return -1;
}

int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
	(void)fd;
	(void)how;
	return 0;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	struct wire *w = wire_of(fd);

	if (!w)
		return __real_close(fd);
	w->ours = false;
	drop(w);
	return 0;
}

int __real_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	struct wire *w = wire_of(fd);

	if (!w)
		return __real_epoll_ctl(ep, op, fd, event);
	w->watch = op == EPOLL_CTL_DEL ? (struct epoll_event){ 0 } : *event;
	return 0;
}

int __wrap_epoll_wait(int ep, struct epoll_event *events, int n, int ms);
int __wrap_epoll_wait(int ep, struct epoll_event *events, int n, int ms)
{
	int found = 0;

	(void)ep;
	(void)ms;
	for (int i = 0; i < top && found < n; i++) {
		const struct wire *w = &wires[i];
		uint32_t now = (w->in.n > w->in_off || w->ended || !w->theirs ? EPOLLIN : 0u) | (w->out.n < WIRE_BYTES ? EPOLLOUT : 0u);

		now &= w->watch.events;
		if (!w->ours || !w->watch.events || (!now && w->theirs))
			continue;
		events[found] = w->watch;
		events[found++].events = now | (w->theirs ? 0 : EPOLLHUP);
	}
	return found;
}
