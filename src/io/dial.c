/* dial.c - the router that we dial: connecting, binding, and connecting again.
 * Threads: acceptor 0's.
 * Owns: nothing; the link is the acceptor's. Waiting is a time to look at, never a sleep.
 * Log lines are the stock sm's, which scripts match.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/link.h"
#include "shardsm/log.h"

static void give_up(struct acceptor *a)
{
	const struct io_config *cfg = &a->io->cfg;

	if (a->dial.over)
		return;
	a->dial.over = true;
	if (cfg->gave_up)
		cfg->gave_up(cfg->arg);
}

/* One attempt failed, or the connection did: what next. */
static void dial_again(struct acceptor *a, bool at_once)
{
	const struct io_router *router = &a->io->cfg.router;

	if (a->phase != PHASE_RUN || a->dial.over)
		return;
	if (a->dial.left == 0) {
		log_error("gave up on the router at %s, port=%u: is it running, and do <router><ip>, <port>, <user> and <pass> agree with it?",
			router->ip, (unsigned)router->port);
		give_up(a);
		return;
	}
	log_notice("attempting reconnect (%d left)", a->dial.left);
	if (a->dial.left > 0)
		a->dial.left--;
	a->dial.at = a->now + (at_once ? 1 : (uint64_t)router->retry_sleep * 1000);
}

static void dial_failed(struct acceptor *a, const char *why)
{
	log_notice("connection to router closed (%s)", why);
	dial_again(a, false);
}

/* Nothing that the router could help: no attempt is used up. */
static void dial_short(struct acceptor *a, const char *why)
{
	log_limited(LOG_LEVEL_ERROR, "the router cannot be dialled now (%s): raise the limit of open files, or that of memory", why);
	a->dial.at = a->now + (uint64_t)a->io->cfg.router.retry_sleep * 1000;
}

static bool is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void dial_now(struct acceptor *a)
{
	const struct io_router *router = &a->io->cfg.router;
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *ai = NULL;
	char name[64], port[8];
	struct link *link;
	int fd, n;

	log_notice("attempting connection to router at %s, port=%u", router->ip, (unsigned)router->port);
	snprintf(port, sizeof port, "%u", (unsigned)router->port);
	if (getaddrinfo(router->ip, port, &hints, &ai) != 0) {
		log_error("<router>: %s is not an address: give an IPv4 or IPv6 address in <ip>", router->ip);
		give_up(a);
		return;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS)) {
		int error = errno;

		if (fd >= 0)
			close(fd);
		freeaddrinfo(ai);
		if (is_short(error))
			dial_short(a, strerror(error));
		else
			dial_failed(a, strerror(error));
		return;
	}
	freeaddrinfo(ai);
	n = snprintf(name, sizeof name, "%s:%u (router)", router->ip, (unsigned)router->port);
	link = link_new(a, fd, span_of(name, (size_t)n < sizeof name ? (size_t)n : sizeof name - 1));
	if (!link) {
		dial_short(a, strerror(ENOMEM));
		return;
	}
	atomic_fetch_add_explicit(&a->nlinks, 1, memory_order_relaxed);
	link->router = true;
	link->stage = OUT_CONNECT;
	a->dial.link = link;
	acceptor_watch(a, &link->watch, EPOLLOUT);
}

void dial_timer(struct acceptor *a)
{
	a->dial.at = 0;
	dial_now(a);
}

void dial_connected(struct link *link)
{
	int error = 0, one = 1;
	socklen_t len = sizeof error;

	if (getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		link_lost(link, strerror(error));
		return;
	}
	setsockopt(link->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	link->stage = OUT_HEADER;
	acceptor_watch(link->home, &link->watch, EPOLLIN | EPOLLHUP);
	stream_open(link);
}

static void send_bind(struct link *link, struct span name, bool multi)
{
	struct buf b;

	buf_init(&b);
	buf_str(&b, "<bind xmlns='" NS_COMPONENT "'");
	if (multi)
		buf_str(&b, " multi='to'");
	buf_attr(&b, "name", name);
	buf_str(&b, "/>");
	if (b.failed)
		link_lost(link, "out of memory");
	else
		link_send(link, buf_span(&b));
	buf_free(&b);
	link->binds++;
}

void dial_logged_in(struct link *link)
{
	const struct io_config *cfg = &link->home->io->cfg;

	log_notice("connection to router established");
	send_bind(link, cfg->id, false);
	for (uint32_t i = 0; i < cfg->ndomains; i++) {
		if (!span_eq(cfg->domains[i], cfg->id))
			send_bind(link, cfg->domains[i], true);
	}
}

void dial_bound(struct link *link, const struct route *route)
{
	const struct io_config *cfg = &link->home->io->cfg;

	if (link->binds == 0)
		return;
	if (route->error == 409 && link->home->dial.known) {
		/* The link that we lost may not be lost for the router yet, which then keeps our names for it. */
		log_notice("router refused bind request (409): the lost link may still have the name, trying again");
		link_lost(link, "bind refused");
		return;
	}
	if (route->error) {
		log_error("router refused bind request (%u)", (unsigned)route->error);
		log_error(route->error == 409 ? "a name of ours is taken: stop the other session manager, or change <id> or <local><id>" :
				"the router does not let us have a name of ours: see its <aci>, and our <id> and <local><id>");
		link->refused = true;
		link_lost(link, "bind refused");
		return;
	}
	/* The first answer is for our id: from then on the router takes routes from us. */
	names_set_router(cfg->names, &link->ob);
	if (--link->binds > 0)
		return;
	log_notice(SPAN_FMT " ready for sessions", SPAN_ARG(cfg->id));
	link->home->dial.left = cfg->router.retry_lost;
	link->home->dial.known = true;
	if (cfg->ready)
		cfg->ready(cfg->arg);
}

void dial_lost(struct acceptor *a, struct link *link, const char *why)
{
	if (a->dial.link == link)
		a->dial.link = NULL;
	log_notice("connection to router closed%s%s%s", why ? " (" : "", why ? why : "", why ? ")" : "");
	if (link->refused && a->phase == PHASE_RUN)
		give_up(a);
	else
		dial_again(a, link->at_once && link->known && a->now - link->since >= (uint64_t)a->io->cfg.router.retry_sleep * 1000);
}
