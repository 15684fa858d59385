/* proxy.c - for the store's tests: stands between the store and its database server and breaks connections at a commit.
 * Threads: one, that serves all connections in turn; the test's threads only ask.
 * Owns: see proxy.h.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy.h"

#define PAIRS_MAX 64

struct pair { int client, server; };

static struct pair pairs[PAIRS_MAX];
static unsigned npairs;
static int listener, wake[2];
static char server_path[200];
static pthread_t thread;
static _Atomic int mode;
static _Atomic unsigned breaks;
static void (*_Atomic after)(void);

static void die(const char *what)
{
	perror(what);
	abort();
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die(path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	return a;
}

static bool pass(int to, const char *p, ssize_t n)
{
	while (n > 0) {
		ssize_t done = send(to, p, (size_t)n, MSG_NOSIGNAL);

		if (done <= 0)
			return false;
		p += done;
		n -= done;
	}
	return true;
}

/* The commit is a message of its own: the store sends it when everything before it was answered. */
static bool is_commit(const char *p, ssize_t n)
{
	return n < 200 && memmem(p, (size_t)n, "COMMIT", 6);
}

static void break_pair(const struct pair *pair, const char *p, ssize_t n)
{
	char answer[4096];

	if (atomic_load(&mode) == BREAK_AFTER_COMMIT) {
		if (!pass(pair->server, p, n) || read(pair->server, answer, sizeof(answer)) <= 0)
			die("the server did not answer the commit");
	}
	close(pair->server);
	atomic_store(&mode, BREAK_NEVER);
	if (after)
		after();
	close(pair->client);
	atomic_fetch_add(&breaks, 1);
}

/* False: the pair is closed. */
static bool serve(const struct pair *pair, int from, int to)
{
	static char buffer[65536];
	ssize_t n = read(from, buffer, sizeof(buffer));

	if (n > 0 && from == pair->client && atomic_load(&mode) != BREAK_NEVER && is_commit(buffer, n)) {
		break_pair(pair, buffer, n);
		return false;
	}
	if (n > 0 && pass(to, buffer, n))
		return true;
	close(pair->client);
	close(pair->server);
	return false;
}

static void take_connection(void)
{
	struct sockaddr_un a = address(server_path);
	int client = accept(listener, NULL, NULL), server = socket(AF_UNIX, SOCK_STREAM, 0);

	if (client < 0 || server < 0 || npairs == PAIRS_MAX)
		die("accept");
	if (connect(server, (struct sockaddr *)&a, sizeof(a))) {
		close(client);
		close(server);
		return;
	}
	pairs[npairs++] = (struct pair){ client, server };
}

static void *run(void *arg)
{
	for (;;) {
		struct pollfd p[2 + 2 * PAIRS_MAX] = { { listener, POLLIN, 0 }, { wake[0], POLLIN, 0 } };
		unsigned n = npairs;

		for (unsigned i = 0; i < n; i++) {
			p[2 + 2 * i] = (struct pollfd){ pairs[i].client, POLLIN, 0 };
			p[3 + 2 * i] = (struct pollfd){ pairs[i].server, POLLIN, 0 };
		}
		if (poll(p, 2 + 2 * n, -1) < 0)
			die("poll");
		if (p[1].revents)
			return arg;
		for (unsigned i = n; i-- > 0;) {
			bool open = true;

			if (p[2 + 2 * i].revents)
				open = serve(&pairs[i], pairs[i].client, pairs[i].server);
			if (open && p[3 + 2 * i].revents)
				open = serve(&pairs[i], pairs[i].server, pairs[i].client);
			if (!open)
				pairs[i] = pairs[--npairs];
		}
		if (p[0].revents)
			take_connection();
	}
}

void proxy_start(const char *path, const char *server)
{
	struct sockaddr_un a = address(path);

	snprintf(server_path, sizeof(server_path), "%s", server);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 100) || pipe(wake) ||
		pthread_create(&thread, NULL, run, NULL))
		die("proxy");
}

void proxy_break(enum proxy_break when, void (*fn)(void))
{
	atomic_store(&after, fn);
	atomic_store(&mode, when);
}

unsigned proxy_breaks(void)
{
	return atomic_load(&breaks);
}

void proxy_stop(void)
{
	if (write(wake[1], "", 1) != 1)
		die("proxy");
	pthread_join(thread, NULL);
	while (npairs--) {
		close(pairs[npairs].client);
		close(pairs[npairs].server);
	}
	npairs = 0;
	close(listener);
}
