/* link.c - one component stream: its socket, its buffer, its end.
 * Threads: its acceptor's; ops (write, arm, overflow, free) run on whatever thread uses the outbox.
 * Owns: struct link, freed with the last reference on its outbox. The socket is closed then and not before: while somebody
 * may still be in write() its number must not become another connection's.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/link.h"
#include "io/tls.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"

#define LOGIN_MS 10000
#define LOGIN_BYTES (16u * 1024)   /* the buffer of a link that has not logged in; it is the limit of its frames too */
#define LAST_READS 32              /* when we stop: a peer that goes on sending does not keep us */
#define CLOSING_MS 5000            /* our last words, and the peer's */
#define FAREWELL_MS 200            /* the same when we stop, and all of ours has been sent */

static ssize_t socket_write(const struct link *link, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	ssize_t done;

	do {
		done = sendmsg(link->watch.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (done < 0 && errno == EINTR);
	if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
		return 0;
	return done;
}

static bool is_silent(struct link *link)
{
	return atomic_load_explicit(&link->throttled, memory_order_acquire) &&
		atomic_load_explicit(&link->in_front, memory_order_relaxed) <= 0;
}

/* The one place where bytes leave. */
static ssize_t link_write(struct outbox *ob, const struct iovec *iov, int n)
{
	struct link *link = caa_container_of(ob, struct link, ob);
	ssize_t done;

	if (unlikely(is_silent(link)))
		return 0;
	stat_inc(STAT_LINK_WRITES);
	done = unlikely(link->tls) ? tls_write(link->tls, iov, n) : socket_write(link, iov, n);
	if (unlikely(atomic_load_explicit(&link->throttled, memory_order_relaxed)) && done > 0)
		atomic_fetch_sub_explicit(&link->in_front, done, memory_order_relaxed);
	return done;
}

/* The one place where bytes come in. 0: the end, -1: errno. */
static ssize_t link_recv(struct link *link, char *to, size_t n)
{
	ssize_t got;

	stat_inc(STAT_LINK_READS);
	if (unlikely(link->tls))
		return tls_recv(link->tls, to, n);
	do {
		got = recv(link->watch.fd, to, n, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	return got;
}

void link_ask(struct outbox *ob, uint32_t what)
{
	struct link *link = caa_container_of(ob, struct link, ob);
	struct letter *letter = &link->letter;

	if (atomic_fetch_or(&link->asks, what) != 0)
		return;
	outbox_ref(ob); /* the letter's */
	letter->kind = LETTER_LINK;
	mailbox_post(&link->home->mb, &letter);
}

static void link_arm(struct outbox *ob) { link_ask(ob, ASK_WRITABLE); }
static void link_crowded(struct outbox *ob) { link_ask(ob, ASK_CROWD); }
static void link_overflow(struct outbox *ob)
{
	stat_inc(STAT_LIMIT_LINK_QUEUE);
	link_ask(ob, ASK_CLOSE);
}

/* No acceptor is there any more that could do something with what a lost link was not sent. */
static _Atomic bool orphans;

void links_orphaned(bool now)
{
	atomic_store(&orphans, now);
}

static void link_free(struct outbox *ob)
{
	struct link *link = caa_container_of(ob, struct link, ob);
	struct letter *letter = &link->letter;

	if (link->watch.fd >= 0)
		close(link->watch.fd);
	if (!ob->lost || atomic_load(&orphans)) {
		link_destroy(link);
		return;
	}
	letter->kind = LETTER_IO_WRECK;
	mailbox_post(&link->home->mb, &letter);
}

void link_destroy(struct link *link)
{
	struct span bytes = link->wreck;
	uint32_t ignored;

	while (outbox_lost(&link->ob, &bytes, &ignored))
		;
	tls_free(&link->tls);
	route_shapes_free(&link->scanner.shapes);
	free(link->peer);
	free(link);
}

static const struct outbox_ops link_ops = { link_write, link_arm, link_overflow, link_free, link_crowded };

static void link_name(struct link *link, struct span name)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;
	char host[46];

	if (name.n || getpeername(link->watch.fd, (struct sockaddr *)&peer, &len) != 0) {
		snprintf(link->ob.name, sizeof link->ob.name, SPAN_FMT, SPAN_ARG(name));
		return;
	}
	if (peer.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&peer)->sin6_addr, host, sizeof host);
	else
		inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, host, sizeof host);
	snprintf(link->ob.name, sizeof link->ob.name, "[%s, port=%u]", host,
		(unsigned)ntohs(peer.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&peer)->sin6_port : ((struct sockaddr_in *)&peer)->sin_port));
}

void link_login(struct link *link)
{
	struct route_limits limits = link->home->io->cfg.tuning.limits;

	if (limits.frame_bytes > LOGIN_BYTES / 2)
		limits.frame_bytes = LOGIN_BYTES / 2;
	route_scanner_init(&link->scanner, &limits);
}

struct link *link_new(struct acceptor *a, int fd, struct span name)
{
	struct link *link = calloc(1, sizeof *link);

	if (link) {
		link->in = malloc(LOGIN_BYTES);
		link->gone = peer_letters_new(a->io, (struct span){ 0 });
	}
	if (!link || !link->in || !link->gone) {
		log_limited(LOG_LEVEL_ERROR, "a connection was dropped (out of memory)");
		if (link) {
			free(link->in);
			peer_letters_free(a->io, &link->gone);
		}
		free(link);
		close(fd);
		return NULL;
	}
	outbox_init(&link->ob, &link_ops, a->io->cfg.tuning.link_bytes);
	link->home = a;
	link->in_cap = LOGIN_BYTES;
	link->watch = (struct watch){ .ready = link_ready, .fd = fd };
	link_name(link, name);
	link_login(link);
	link->deadline = a->now + (a->io->cfg.login_ms ? a->io->cfg.login_ms : LOGIN_MS);
	link->next = a->links;
	link->at = &a->links;
	if (a->links)
		a->links->at = &link->next;
	a->links = link;
	acceptor_watch(a, &link->watch, EPOLLIN);
	return link;
}

/* The other end's machine may go without a word: then nothing but the lack of acknowledgements tells. Probed half way while there is
 * nothing to send, and three times from then on. */
static void watch_silence(const struct link *link)
{
	int seconds = (int)link->home->io->cfg.tuning.silence_s, fd = link->watch.fd, one = 1;
	int idle = seconds / 2, pause = seconds / 6 ? seconds / 6 : 1, probes = 3;
	unsigned ms = (unsigned)seconds * 1000;

	if (seconds == 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof pause);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void link_retune(struct link *link)
{
	const struct io_tuning *tuning = &link->home->io->cfg.tuning;

	if (link->stage == LINK_ONLINE)
		watch_silence(link);
	link->ob.limit = tuning->link_bytes;
	/* A login has narrower limits until its stream begins anew. */
	if (link->stage == IN_RESTART || link->stage >= OUT_RESTART)
		link->scanner.limits = tuning->limits;
	if (link->scanner.shapes) { /* what it remembers passed the old limits */
		route_shapes_free(&link->scanner.shapes);
		link->scanner.shapes = route_shapes_new();
	}
}

static void link_unthrottle(struct link *link)
{
	if (atomic_exchange(&link->throttled, false))
		link_ask(&link->ob, ASK_WRITABLE);
}

void link_send(struct link *link, struct span bytes)
{
	if (!out_put(link->home->out, &link->ob, bytes))
		link_ask(&link->ob, ASK_CLOSE);
}

static void no_stranger(struct link *link)
{
	if (link->counted)
		atomic_fetch_sub_explicit(&link->home->io->strangers, 1, memory_order_relaxed);
	link->counted = false;
}

void link_online(struct link *link)
{
	link->stage = LINK_ONLINE;
	link->ob.keeps = true;
	stat_inc(STAT_LINKS_UP);
	link->known = true;
	link->since = link->home->now;
	link->deadline = 0;
	watch_silence(link);
	no_stranger(link);
	digest_free(&link->digest);
	if (!link->ob.accept && !link->scanner.shapes)
		link->scanner.shapes = route_shapes_new();
}

/* jabberd2's router does the same: the answer first, then nothing until the component asks again; what waits is bounded as for a link that
 * does not read. */
void link_throttle(struct link *link)
{
	bool on = !link->throttled;

	if (!on)
		link_unthrottle(link);
	link_send(link, SPAN("<throttle xmlns='" NS_COMPONENT "'/>"));
	out_flush(link->home->out);
	log_limited(LOG_LEVEL_NOTICE, "%s %sthrottling packets on request", link->ob.name, on ? "" : "un");
	if (!on)
		return;
	atomic_store_explicit(&link->in_front, (int64_t)atomic_load(&link->ob.queued), memory_order_relaxed);
	atomic_store_explicit(&link->throttled, true, memory_order_release);
}

bool link_drained(const struct link *link)
{
	return atomic_load_explicit(&((struct link *)(uintptr_t)link)->ob.queued, memory_order_relaxed) == 0;
}

void link_watch(struct link *link, uint32_t set, uint32_t clear)
{
	/* EPOLLHUP is reported anyhow; naming it keeps the mask from becoming empty, which would take the socket out. */
	uint32_t events = (link->watch.events | set | EPOLLHUP) & ~clear;

	acceptor_watch(link->home, &link->watch, events);
}

void link_stop_reading(struct link *link)
{
	link_watch(link, 0, EPOLLIN);
}

/* Takes what was gone to the shards and to the other components. Once. */
static void link_forget(struct link *link)
{
	struct acceptor *a = link->home;

	hold_leave(link);
	takeover_end(link);
	no_stranger(link);
	if (link->known)
		stat_inc(STAT_LINKS_DOWN);
	if (link->router) {
		names_set_router(a->io->cfg.names, NULL);
	} else {
		bind_forget(link);
	}
	if (a->phase <= PHASE_LAST && link->known) {
		peer_letters_aim(a->io, link->gone, LETTER_PEER_GONE, link);
		acceptor_tell_shards(a, link->gone);
	}
	peer_letters_free(a->io, &link->gone);
}

void link_lost(struct link *link, const char *why)
{
	struct acceptor *a = link->home;
	enum link_stage was = link->stage;

	if (was == LINK_CLOSED)
		return;
	if (was != LINK_CLOSING) {
		link_forget(link);
		if (!link->router && link->known)
			log_notice("%s disconnect%s%s%s", link->ob.name, why ? " (" : "", why ? why : "", why ? ")" : "");
		else if (!link->router)
			log_limited(LOG_LEVEL_NOTICE, "%s disconnect%s%s%s", link->ob.name, why ? " (" : "", why ? why : "", why ? ")" : "");
	}
	link->stage = LINK_CLOSED;
	atomic_fetch_sub_explicit(&a->nlinks, 1, memory_order_relaxed);
	acceptor_watch(a, &link->watch, 0);
	outbox_close(&link->ob);
	if (link->tls)
		tls_end(link->tls);
	shutdown(link->watch.fd, SHUT_RDWR);
	*link->at = link->next;
	if (link->next)
		link->next->at = link->at;
	link->next = a->dead;
	a->dead = link;
	digest_free(&link->digest);
	if (link->router)
		dial_lost(a, link, why);
}

/* Closing: when everything is with the kernel the write side ends, and the peer gets its time to read and to close; closing at once
 * with unread bytes of its in our buffer would reset the connection, and our last words with it. */
static void link_closing(struct link *link)
{
	if (link->stage != LINK_CLOSING || !link_drained(link))
		return;
	if (link->tls)
		tls_end(link->tls);
	shutdown(link->watch.fd, SHUT_WR);
	link_watch(link, EPOLLIN, 0);
	if (link->home->phase == PHASE_FINISH)
		link->deadline = link->home->now + FAREWELL_MS;
}

void link_end(struct link *link, const char *condition, const char *why)
{
	struct acceptor *a = link->home;

	if (!link_alive(link)) {
		link_closing(link);
		return;
	}
	if (why)
		log_limited(LOG_LEVEL_NOTICE, "%s closed: %s", link->ob.name, why);
	if (link->stage == OUT_CONNECT || link_shakes_hands(link)) {
		link_lost(link, why);
		return;
	}
	link_unthrottle(link);
	stream_error(link, condition, why);
	link_send(link, SPAN("</stream:stream>"));
	link_forget(link);
	link->stage = LINK_CLOSING;
	link->in_off = link->in_len = 0;
	link->deadline = a->now + CLOSING_MS;
	link_watch(link, 0, EPOLLIN);
	out_flush(a->out);
	link_closing(link);
}

static void link_writable(struct link *link)
{
	outbox_writable(&link->ob);
	link_closing(link);
}

static bool link_reads(const struct link *link)
{
	return link->stage != LINK_CLOSED && (link->watch.events & EPOLLIN);
}

/* TLS has taken more from the socket than was asked of it: epoll will not say so. After the other links had their turn. */
static void link_read_on(struct link *link)
{
	if (link->tls && tls_pending(link->tls))
		link_ask(&link->ob, ASK_READABLE);
}

void link_asked(struct link *link)
{
	uint32_t asks = atomic_exchange(&link->asks, 0);
	struct outbox *ob = &link->ob;

	if (asks & ASK_CROWD)
		crowd_thin_out(link->home->io);
	if (link->stage != LINK_CLOSED) {
		if (asks & ASK_SUCCEEDED)
			link_lost(link, "it acknowledges nothing, and another has come for its name");
		else if (asks & ASK_CLOSE)
			link_lost(link, "it does not read what is sent to it, or there is no memory to send");
		else if (is_silent(link)) /* until link_throttle() asks again */
			;
		else if ((asks & ASK_WRITABLE) && link->tls && !tls_blocked(link->tls))
			link_writable(link);
		else if (asks & ASK_WRITABLE)
			link_watch(link, EPOLLOUT, 0);
		if ((asks & ASK_READABLE) && link_reads(link))
			link_readable(link);
	}
	outbox_unref(&ob);
}

void link_resume(struct link *link)
{
	struct packet packet;

	hold_forgive(link);
	packet.route = link->held_route;
	if (link->stage == IN_HANDSHAKE)
		component_online(link);
	else if (!forward_frame(link, link->in + link->held_off, &packet))
		return;
	link_pump(link);
	if (!link_alive(link) || link->held || link->home->phase != PHASE_RUN)
		return;
	link_watch(link, EPOLLIN, 0);
	link_read_on(link);
}

/* The frame or header before in_off. */
static bool link_frame(struct link *link, struct packet *packet)
{
	const char *frame = link->in + link->in_off - packet->route.len;

	if (likely(link->stage == LINK_ONLINE))
		return forward_frame(link, frame, packet);
	stream_frame(link, frame, &packet->route);
	return true;
}

void link_pump(struct link *link)
{
	struct packet packet; /* its route is read in place; the rest is set when it goes to a shard */

	while (link_alive(link) && !link->held && link->in_off < link->in_len) {
		size_t used = 0;
		const char *at = link->in + link->in_off;
		enum route_result r = route_next(&link->scanner, at, link->in_len - link->in_off, &packet.route, &used);

		link->in_off += (uint32_t)used;
		switch (r) {
		case ROUTE_MORE:
			return;
		case ROUTE_OK:
			if (!link_frame(link, &packet))
				return;
			break;
		case ROUTE_HEADER:
			stream_header(link, at, used);
			break;
		case ROUTE_CLOSE:
			if (link->router)
				link_lost(link, "the router ended the stream");
			else
				link_end(link, NULL, NULL);
			return;
		case ROUTE_BAD:
			stat_inc(STAT_FRAMES_REFUSED);
			link_end(link, link->scanner.condition, link->scanner.error);
			return;
		}
	}
}

/* Room for more bytes behind in_len; what was worked off goes. False: no memory, or more than may be. */
static bool link_room(struct link *link)
{
	uint32_t most = link->stage == LINK_ONLINE ? link->home->io->cfg.tuning.limits.frame_bytes + READ_BYTES : LOGIN_BYTES;
	uint32_t left = link->in_len - link->in_off, cap = link->in_cap;

	if (link->in_off) {
		memmove(link->in, link->in + link->in_off, left);
		link->in_off = 0;
		link->in_len = left;
	}
	if (link->stage == LINK_ONLINE && cap < READ_BYTES)
		cap = READ_BYTES;
	else if (left == 0 && cap > READ_BYTES)
		cap = READ_BYTES;
	else if (cap - left < cap / 4 && cap < most)
		cap = cap * 2 < most ? cap * 2 : most;
	if (cap != link->in_cap) {
		char *p = realloc(link->in, cap);

		if (!p)
			return false;
		link->in = p;
		link->in_cap = cap;
	}
	return link->in_cap > link->in_len;
}

/* One read. True: there may be more. */
static bool link_read(struct link *link, size_t *turn)
{
	uint32_t room;
	ssize_t n;

	assert(!link_shakes_hands(link));
	if (!link_room(link)) {
		link_end(link, "policy-violation", "more bytes than a frame may have");
		return false;
	}
	room = link->in_cap - link->in_len;
	n = link_recv(link, link->in + link->in_len, room < link->home->turn_bytes ? room : link->home->turn_bytes);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		if (link->tls && tls_blocked(link->tls))
			link_watch(link, EPOLLOUT, 0);
		return false;
	}
	if (n <= 0) {
		link_lost(link, n < 0 ? strerror(errno) : NULL);
		return false;
	}
	*turn += (size_t)n;
	atomic_store_explicit(&link->home->busy, atomic_load_explicit(&link->home->busy, memory_order_relaxed) + (size_t)n, memory_order_relaxed);
	if (link->stage == LINK_CLOSING)
		return true;
	link->in_len += (uint32_t)n;
	hold_forgive(link);
	link_pump(link);
	return link_alive(link) && !link->held && !link_shakes_hands(link); /* what comes next is TLS's own, see starttls_go_on() */
}

#define UNREAD_MS 5

/* Who sends, and does not read as fast what comes back, is not read either: else it would be closed for what itself has asked for.
 * Nor who sends much, while more is left of links that are gone than may wait: it may be what fills them. */
static bool is_to_wait(const struct link *link)
{
	return !outbox_room(&link->ob) || (hold_sends_much(link) && outboxes_keep_much());
}

static bool is_unread(struct link *link)
{
	if (likely(!is_to_wait(link)) || link->stage != LINK_ONLINE)
		return false;
	link->unread = true;
	link_watch(link, 0, EPOLLIN);
	acceptor_look(link->home, UNREAD_MS);
	return true;
}

void link_unread_look(struct link *link)
{
	if (is_to_wait(link)) {
		acceptor_look(link->home, UNREAD_MS);
		return;
	}
	link->unread = false;
	if (!link_alive(link) || link->held || link->home->phase != PHASE_RUN)
		return;
	link_watch(link, EPOLLIN, 0);
	link_read_on(link);
}

void link_readable(struct link *link)
{
	size_t turn = 0;

	if (unlikely(is_unread(link)))
		return;

	/* A record at a time in TLS, as much as there is in clear. */
	while (link_read(link, &turn) && link->tls && link_reads(link) && turn < link->home->turn_bytes)
		;
	if (unlikely(link->tls) && link_reads(link) && turn >= link->home->turn_bytes)
		link_read_on(link);
}

void link_read_last(struct link *link)
{
	size_t turn = 0;

	for (int i = 0; i < LAST_READS && link->stage == LINK_ONLINE && !link->held && link_read(link, &turn); i++)
		;
}

void link_ready(struct acceptor *a, struct watch *w, uint32_t events)
{
	struct link *link = caa_container_of(w, struct link, watch);

	(void)a;
	if (link->stage == LINK_CLOSED)
		return;
	if (link->stage == OUT_CONNECT) {
		dial_connected(link);
		return;
	}
	if (unlikely(link_shakes_hands(link))) {
		starttls_go_on(link);
		return;
	}
	if (events & EPOLLOUT) {
		link_watch(link, 0, EPOLLOUT);
		link_writable(link);
		/* An answer of TLS's own may have kept it from reading. */
		events |= link->tls ? EPOLLIN : 0;
	}
	if ((events & EPOLLIN) && link_reads(link))
		link_readable(link);
	else if (link->stage != LINK_CLOSED && (events & (EPOLLHUP | EPOLLERR)))
		link_lost(link, "connection lost");
}
