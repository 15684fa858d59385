/* relay.c - the floor under a session manager's cost: two links, every element that comes in on one goes out on the
 * other, found by its end and written as it was. No session, no check, no lookup. Threads: one. Owns: a listening
 * socket, then two links with a buffer each, until either is closed. Usage: relay - listens on a free port of 127.0.0.1
 * and prints it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER (1u << 20)
#define END "</route>"

struct end {
	int fd;
	size_t n, whole; /* bytes read; of these, complete elements */
	size_t written;
	char data[BUFFER];
};

static struct end ends[2];

/* Where the last complete element ends: each one's end is looked for, as a reader of elements must. */
static size_t cut(const char *data, size_t from, size_t n)
{
	const char *p = data + from, *end;
	while ((end = memmem(p, (size_t)(data + n - p), END, sizeof END - 1)))
		p = end + sizeof END - 1;
	return (size_t)(p - data);
}

/* 0: closed. */
static int pump(struct end *in, int out)
{
	ssize_t n = 1;

	if (in->n < BUFFER && in->written == in->whole) {
		n = recv(in->fd, in->data + in->n, BUFFER - in->n, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return 0;
		if (n > 0) {
			in->n += (size_t)n;
			in->whole = cut(in->data, in->whole, in->n);
		}
	}
	while (in->written < in->whole) {
		n = send(out, in->data + in->written, in->whole - in->written, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		in->written += (size_t)n;
	}
	memmove(in->data, in->data + in->whole, in->n - in->whole);
	in->n -= in->whole;
	in->whole = in->written = 0;
	return 1;
}

static int accept_one(int fd)
{
	int one = 1, link = accept(fd, NULL, NULL);
	if (link >= 0)
		setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return link;
}

int main(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 2) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
		perror("relay");
		return 1;
	}
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	for (int i = 0; i < 2; i++)
		if ((ends[i].fd = accept_one(fd)) < 0)
			return 1;
	for (;;) {
		struct pollfd fds[2];
		for (int i = 0; i < 2; i++) {
			int stuck_here = ends[i].written < ends[i].whole,
			    stuck_there = ends[!i].written < ends[!i].whole;
			fds[i] = (struct pollfd){
				ends[i].fd, (short)((stuck_here ? 0 : POLLIN) | (stuck_there ? POLLOUT : 0)), 0};
		}
		if (poll(fds, 2, -1) < 0)
			return 1;
		for (int i = 0; i < 2; i++)
			if ((fds[i].revents & ~POLLOUT && !pump(&ends[i], ends[!i].fd)) ||
				(fds[i].revents & POLLOUT && !pump(&ends[!i], ends[i].fd)))
				return 0;
	}
}
