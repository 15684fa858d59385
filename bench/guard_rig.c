/* guard_rig.c - acceptor and shards in turn, on the thread of the test.
 * Threads: see guard_rig.h.
 * Owns: see guard_rig.h.
 */
#include "guard_rig.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/link.h"
#include "shard/shard.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"
#include "shardsm/xml.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else /* nothing is counted then, which guard.py tells */
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_TOGGLE_COLLECT ((void)0)
#endif

SHARD_THREAD_BEGIN /* the one thread here is every shard's */

#define SOCKET_BYTES (4 << 20)

static struct {
	struct config *config;
	struct names *names;
	struct store *store;
	struct server *server;
	struct io *io;
	struct span domain;
	int c2s; /* our end of the link */
	bool counting;
	struct buf output;
} rig;

void rig_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("guard: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

/* Keys and ids, the same in every run: hash tables have the same collisions. (The linker puts it in getrandom()'s place.) */
ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags)
{
	static uint64_t state = 1;
	unsigned char *p = to;

	(void)flags;
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		p[i] = (unsigned char)(state >> 56);
	}
	return (ssize_t)n;
}

/* --- turns, the counted part ------------------------------------------------------------------------------------------- */

static void counted(void)
{
	if (rig.counting)
		CALLGRIND_TOGGLE_COLLECT;
}

static bool shards_turn(void)
{
	bool worked = false;

	counted();
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		worked |= shard_turn(rig.server->shards[i]);
	counted();
	return worked;
}

static bool store_owes(void)
{
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		if (atomic_load(&rig.server->shards[i]->open_parks))
			return true;
	return false;
}

/* As shards sleep: until the store has posted something. */
static void shards_sleep(void)
{
	struct pollfd fds[RIG_SHARDS];
	bool sleep = true;

	counted();
	for (unsigned i = 0; i < RIG_SHARDS; i++) {
		fds[i] = (struct pollfd){ .fd = rig.server->boxes[i]->fd, .events = POLLIN };
		sleep &= mailbox_may_sleep(rig.server->boxes[i]);
	}
	rcu_sleep();
	counted();
	while (sleep && poll(fds, RIG_SHARDS, -1) < 0 && errno == EINTR)
		;
	counted();
	rcu_wake();
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		mailbox_woken(rig.server->boxes[i]);
	counted();
}

static void read_output(void)
{
	char some[65536];
	ssize_t n;

	while ((n = recv(rig.c2s, some, sizeof(some), MSG_DONTWAIT)) > 0)
		buf_put(&rig.output, span_of(some, (size_t)n));
	if (n == 0 || rig.output.failed)
		rig_die("the link was closed, or there is no memory: the log, guard.log, may say why");
}

void rig_send(struct span bytes)
{
	if (send(rig.c2s, bytes.p, bytes.n, MSG_DONTWAIT) != (ssize_t)bytes.n)
		rig_die("a burst of %u bytes does not fit the socket", bytes.n);
	counted();
	acceptor_turn(&rig.io->acceptors[0]);
	counted();
	for (;;) {
		while (shards_turn())
			;
		if (!store_owes())
			break;
		shards_sleep();
	}
	read_output();
}

struct span rig_output(void) { return buf_span(&rig.output); }
void rig_forget(void) { buf_clear(&rig.output); }

void rig_count(void)
{
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_TOGGLE_COLLECT; /* this thread's own; the others are the store's */
	rig.counting = true;
}

/* --- opening ----------------------------------------------------------------------------------------------------------- */

static void open_server(void)
{
	rig.server = server_new(&(struct server_settings){ .config = rig.config, .id = SPAN("sm"), .domains = &rig.domain, .ndomains = 1,
		.nshards = RIG_SHARDS, .names = rig.names, .store = rig.store,
		.tuning = { .limits = route_limits_default, .user_queue = 1000 } });
	if (!rig.server)
		rig_die("no server");
	for (unsigned i = 0; i < RIG_SHARDS; i++)
		rig.server->shards[i]->thread = pthread_self();
	rig.io = io_open(&(struct io_config){ .acceptors = 1, .shards = server_mailboxes(rig.server), .nshards = RIG_SHARDS,
		.names = rig.names, .id = SPAN("sm"), .domains = &rig.domain, .ndomains = 1,
		.tuning = { .limits = route_limits_default, .link_bytes = UINT64_MAX, .shard_bytes = UINT64_MAX } });
	if (!rig.io)
		rig_die("no links");
}

/* A link whose password was right a moment ago. */
static void open_link(void)
{
	int ends[2], size = SOCKET_BYTES;
	struct link *link;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
		rig_die("no socket (%m)");
	for (unsigned i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rig.c2s = ends[0];
	link = link_new(&rig.io->acceptors[0], ends[1], SPAN(RIG_C2S));
	if (!link)
		rig_die("no link");
	link->stage = IN_RESTART;
	rig_send(SPAN("<stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'>"));
	rig_send(SPAN("<bind xmlns='" NS_COMPONENT "' name='" RIG_C2S "'/>"));
	if (link->stage != LINK_ONLINE)
		rig_die("the link was refused");
}

void rig_open(const char *config, struct span domain)
{
	hash_init();
	rig.domain = domain;
	rig.config = config_load(config, NULL);
	if (!rig.config)
		exit(2);
	log_open(SPAN("file"), NULL, NULL, "guard.log");
	log_start();
	xml_thread_init();
	rcu_thread_start();
	stats_thread_start();
	buf_init(&rig.output);
	rig.names = names_new();
	rig.store = store_open(rig.config, 2);
	if (!rig.names || !rig.store)
		rig_die("no store");
	open_server();
	open_link();
}

void rig_close(void)
{
	/* The process ends: the store alone has something to bring to an end. */
	store_close(&rig.store);
	log_close();
}

SHARD_THREAD_END
