/* listen.c - sockets that components dial.
 * Threads: main's while opening, acceptor 0's after.
 * Owns: listening sockets until acceptor_close(); an accepted one until it is with its acceptor.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/link.h"
#include "shardsm/log.h"

#define BACKLOG 1024
#define ACCEPTS_A_TURN 32
/* Out of descriptors: nothing to do but to look again later; without the pause the full backlog would keep the thread spinning. */
#define ACCEPT_PAUSE_MS 500
/* Links that have not logged in, all together: each may hold a buffer and a descriptor. */
#define STRANGERS_MAX (2 * STRANGERS_MANY)

bool listener_open(struct listener *l, const struct io_listen *config)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM }, *ai = NULL;
	struct sockaddr_storage at;
	socklen_t len = sizeof at;
	char port[8];
	int one = 1;

	*l = (struct listener){ .watch = { .ready = listener_ready, .fd = -1 }, .config = config };
	snprintf(port, sizeof port, "%u", (unsigned)config->port);
	if (getaddrinfo(config->ip, port, &hints, &ai) != 0) {
		log_error("<listen>: %s is not an address: give an IPv4 or IPv6 address of this machine in <ip>", config->ip);
		return false;
	}
	l->watch.fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->watch.fd >= 0)
		setsockopt(l->watch.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (l->watch.fd < 0 || bind(l->watch.fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(l->watch.fd, BACKLOG) != 0) {
		log_error("<listen>: cannot listen on %s, port %u (%m): %s", config->ip, (unsigned)config->port,
			errno == EADDRINUSE ? "stop what has the port (a router?), or give another <port>" :
			errno == EACCES     ? "give a <port> above 1023" :
			"give an address of this machine in <ip>");
		freeaddrinfo(ai);
		return false;
	}
	freeaddrinfo(ai);
	if (getsockname(l->watch.fd, (struct sockaddr *)&at, &len) == 0)
		l->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port : ((struct sockaddr_in *)&at)->sin_port);
	log_notice("[%s, port=%u] listening for components", config->ip, (unsigned)l->port);
	return true;
}

/* Gives the socket to an acceptor. */
static void hand_out(struct acceptor *a, int fd, const struct io_listen *config)
{
	struct fresh *fresh = malloc(sizeof *fresh);
	struct letter *letter;

	if (!fresh) {
		close(fd);
		return;
	}
	*fresh = (struct fresh){ .letter.kind = LETTER_IO_FRESH, .fd = fd, .listen = config };
	letter = &fresh->letter;
	mailbox_post(&io_place(a->io)->mb, &letter);
}

void listener_ready(struct acceptor *a, struct watch *w, uint32_t events)
{
	struct listener *l = caa_container_of(w, struct listener, watch);

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof peer;
		int fd = accept4(w->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (fd < 0) {
			log_limited(LOG_LEVEL_ERROR, "[%s, port=%u] cannot accept (%m): raise the limit of open files", l->config->ip,
				(unsigned)l->port);
			acceptor_watch(a, w, 0);
			l->again = a->now + ACCEPT_PAUSE_MS;
			return;
		}
		if (atomic_load_explicit(&a->io->strangers, memory_order_relaxed) >= STRANGERS_MAX) {
			log_limited(LOG_LEVEL_WARNING, "[%s, port=%u] turned a connection away (%d others have not logged in)", l->config->ip,
				(unsigned)l->port, STRANGERS_MAX);
			close(fd);
			continue;
		}
		if (penalty_turns_away(&a->io->penalties, (struct sockaddr *)&peer, a->now)) {
			log_limited(LOG_LEVEL_WARNING, "[%s, port=%u] turned a connection away (too many logins from its address failed)", l->config->ip,
				(unsigned)l->port);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		atomic_fetch_add_explicit(&a->io->strangers, 1, memory_order_relaxed);
		hand_out(a, fd, l->config);
	}
}

void listener_again(struct acceptor *a, struct listener *l)
{
	if (l->again == 0 || a->now < l->again)
		return;
	l->again = 0;
	acceptor_watch(a, &l->watch, EPOLLIN);
}
