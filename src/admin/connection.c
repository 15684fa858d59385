/* connection.c - one question, one answer, the end: what the control socket and the metrics have in common.
 * Threads: main's.
 * Owns: connections, until they part. Bounded in number, in bytes asked and in time, so nobody on the other side is waited for.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"

static void part(struct admin *admin, struct connection *c)
{
	struct connection **at = &admin->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->door->open--;
	close(c->watch.fd);
	/* An event of this turn may still name it. */
	c->stage = GONE;
	c->next = admin->gone;
	admin->gone = c;
}

static void bury(struct admin *admin)
{
	while (admin->gone) {
		struct connection *c = admin->gone;

		admin->gone = c->next;
		buf_free(&c->out);
		free(c);
	}
}

static bool again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* What is left of the answer. Then our side ends, and the other one's end is waited for: closing at once, with something unread, could
 * take the answer's last bytes away from it. */
static void push(struct admin *admin, struct connection *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send(c->watch.fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);

		if (again(n)) {
			admin_watch(admin, &c->watch, EPOLLOUT, true);
			return;
		}
		if (n < 0) {
			part(admin, c);
			return;
		}
		c->sent += (uint32_t)n;
	}
	c->stage = PARTING;
	shutdown(c->watch.fd, SHUT_WR);
	admin_watch(admin, &c->watch, EPOLLIN, true);
}

void connection_answer(struct admin *admin, struct connection *c)
{
	c->stage = ANSWERING;
	if (c->out.failed) {
		log_limited(LOG_LEVEL_ERROR, "admin: an answer was lost (out of memory)");
		part(admin, c);
		return;
	}
	push(admin, c);
}

static void ask(struct admin *admin, struct connection *c)
{
	ssize_t n = recv(c->watch.fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);

	if (again(n))
		return;
	if (n < 0) {
		part(admin, c);
		return;
	}
	c->in_len += (uint32_t)n;
	c->door->asked(admin, c, n == 0 || c->in_len == sizeof(c->in));
	/* It may be gone by now. */
}

static void ready(struct admin *admin, struct watch *w, uint32_t events)
{
	struct connection *c = (struct connection *)w;
	char rest[4096];

	(void)events;
	switch (c->stage) {
	case ASKING:
		ask(admin, c);
		break;
	case WAITING:
		part(admin, c); /* only an end is reported here */
		break;
	case ANSWERING:
		push(admin, c);
		break;
	case GONE:
		break;
	case PARTING: {
		ssize_t n = recv(w->fd, rest, sizeof(rest), 0);

		if (n == 0 || (n < 0 && !again(n)))
			part(admin, c);
		break;
	}
	}
}

static bool may_steer(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

/* The one that has been there longest. */
static void make_room(struct admin *admin, struct door *door)
{
	struct connection *oldest = NULL;

	for (struct connection *c = admin->connections; c; c = c->next)
		if (c->door == door)
			oldest = c;
	if (oldest)
		part(admin, oldest);
}

void connection_accept(struct admin *admin, struct watch *w, uint32_t events)
{
	struct door *door = (struct door *)w;
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *c;

	(void)events;
	if (fd < 0)
		return;
	if (door->open == CONNECTIONS_MAX)
		make_room(admin, door);
	c = malloc(sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	*c = (struct connection){ .watch = { ready, fd }, .next = admin->connections, .door = door, .id = ++admin->last_id,
		.deadline = clock_mono_ms() + CONNECTION_MS };
	admin->connections = c;
	door->open++;
	if (!admin_watch(admin, &c->watch, EPOLLIN, false)) {
		part(admin, c);
	} else if (door->local && !may_steer(fd)) {
		buf_str(&c->out, "error: this socket is for root and for the user that shardsm runs as\n");
		connection_answer(admin, c);
	}
}

struct connection *connection_find(struct admin *admin, uint64_t id)
{
	struct connection *c = admin->connections;

	while (c && c->id != id)
		c = c->next;
	return c;
}

void connections_sweep(struct admin *admin, uint64_t now)
{
	struct connection *next;

	for (struct connection *c = admin->connections; c; c = next) {
		next = c->next;
		if (now >= c->deadline)
			part(admin, c);
	}
	bury(admin);
}

void connections_close(struct admin *admin)
{
	while (admin->connections)
		part(admin, admin->connections);
	bury(admin);
}
