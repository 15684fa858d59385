/* io_host.c - links without a server behind them: shards that say what they got, for links.py.
 * Threads: main's reads commands; one for each shard prints.
 * Owns: everything until the end of main.
 *
 * Options: key=value (listen, user, pass, secret, router, init, lost, sleep, acceptors, shards, domains, shard-bytes, link-bytes,
 * frame-bytes, login-ms, files, mxml). Commands on stdin, one a line: "send NAME BYTES", "hold" (shards take
 * nothing), "step" (one takes what it has), "release", "places", "quiesce", "stop".
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "io/link.h"
#include "shardsm/hash.h"
#include "shardsm/io.h"
#include "shardsm/log.h"
#include "shardsm/packet.h"
#include "shardsm/rcu.h"
#include "shardsm/xml.h"

#define SHARDS_MAX 8

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate = PTHREAD_COND_INITIALIZER;
static int turns = -1; /* that shards may take; -1: any number */
static struct mailbox boxes[SHARDS_MAX], *box_list[SHARDS_MAX];
static pthread_t threads[SHARDS_MAX];

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&out_lock);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
	va_end(ap);
}

static void print_packet(unsigned shard, const struct packet *p)
{
	struct span to = p->to.s ? jid_full(&p->to) : SPAN("-"), from = p->from.s ? jid_full(&p->from) : SPAN("-");

	say("packet shard=%u payload=%u flags=%u error=%u to=" SPAN_FMT " from=" SPAN_FMT " sm=" SPAN_FMT " link=%s frame=" SPAN_FMT, shard,
		p->route.payload, p->flags, p->route.error, SPAN_ARG(to), SPAN_ARG(from), SPAN_ARG(packet_slice(p, p->route.sm)),
		p->link->name, (int)p->route.len, p->frame);
}

static void print_peer(unsigned shard, struct peer_gone *peer)
{
	say("%s shard=%u name=%.*s link=%s", peer->letter.kind == LETTER_PEER_HERE ? "here" : "gone", shard, (int)peer->name_len, peer->name,
		peer->link->name);
	outbox_unref(&peer->link);
	free(peer);
}

static void let_take(int n)
{
	pthread_mutex_lock(&gate_lock);
	turns = n;
	pthread_cond_broadcast(&gate);
	pthread_mutex_unlock(&gate_lock);
}

/* Was it told to take this one turn? */
static bool may_take(void)
{
	pthread_mutex_lock(&gate_lock);
	while (!turns)
		pthread_cond_wait(&gate, &gate_lock);
	bool told = turns > 0;

	turns -= told;
	pthread_mutex_unlock(&gate_lock);
	return told;
}

static void *shard_run(void *arg)
{
	struct mailbox *mb = arg;
	unsigned shard = (unsigned)(mb - boxes);
	bool stop = false;

	rcu_thread_start();
	while (!stop) {
		struct letter *last, *l, *next;

		rcu_sleep();
		mailbox_wait(mb, -1);
		bool told = may_take();

		rcu_wake();
		for (l = mailbox_take(mb, &last); l; l = next) {
			next = mailbox_next(l, last);
			if (l->kind == LETTER_BATCH) {
				struct batch *b = (struct batch *)l;

				for (struct packet *p = batch_first(b); p; p = batch_next(b, p))
					print_packet(shard, p);
				batch_free(&b);
			} else if (l->kind == LETTER_STOP) {
				stop = true;
				free(l);
			} else {
				print_peer(shard, (struct peer_gone *)l);
			}
		}
		if (told)
			say("stepped");
		rcu_quiet();
	}
	rcu_thread_end();
	return NULL;
}

static void gave_up(void *arg)
{
	(void)arg;
	say("gave-up");
}

static void ready(void *arg)
{
	(void)arg;
	say("ready");
}

static const char *option(int argc, char **argv, const char *key, const char *fallback)
{
	for (int i = 1; i < argc; i++) {
		size_t n = strlen(key);

		if (strncmp(argv[i], key, n) == 0 && argv[i][n] == '=')
			return argv[i] + n + 1;
	}
	return fallback;
}

static long number(int argc, char **argv, const char *key, long fallback)
{
	const char *text = option(argc, argv, key, NULL);

	return text ? strtol(text, NULL, 10) : fallback;
}

static void send_to(struct names *names, struct out_tray *tray, char *args)
{
	char *bytes = strchr(args, ' ');
	struct outbox *ob;

	if (!bytes)
		return;
	*bytes++ = 0;
	rcu_enter();
	ob = strcmp(args, "router") == 0 ? names_router_rcu(names) : names_find_rcu(names, span_str(args), NULL);
	if (!ob || !out_put(tray, ob, span_str(bytes)))
		say("nobody");
	out_flush(tray);
	rcu_leave();
	rcu_quiet();
}

/* How many links each acceptor has. */
static void say_places(struct io *io)
{
	char text[128];
	int n = 0;

	for (uint32_t i = 0; i < io->cfg.acceptors; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, " %u", (unsigned)atomic_load(&io->acceptors[i].nlinks));
	say("places%s", text);
}

static struct deadline deadline;

static void commands(struct io *io, struct names *names)
{
	struct out_tray *tray = out_tray_new();
	static char line[1 << 20];

	rcu_sleep();
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		rcu_wake();
		if (strncmp(line, "send ", 5) == 0)
			send_to(names, tray, line + 5);
		rcu_sleep();
		if (strcmp(line, "places") == 0)
			say_places(io);
		if (strcmp(line, "hold") == 0)
			let_take(0);
		if (strcmp(line, "step") == 0)
			let_take(1);
		if (strcmp(line, "release") == 0)
			let_take(-1);
		if (strcmp(line, "quiesce") == 0) {
			deadline_set(&deadline, 2000);
			io_quiesce(io, &deadline);
			say("quiesced");
		}
		if (strcmp(line, "stop") == 0)
			break;
	}
	let_take(-1);
	rcu_wake();
	out_tray_free(&tray);
	rcu_sleep();
}

int main(int argc, char **argv)
{
	struct io_listen listen = { "127.0.0.1", (uint16_t)number(argc, argv, "listen", 0), option(argc, argv, "user", "jabberd"),
		option(argc, argv, "pass", "secret"), option(argc, argv, "secret", NULL) };
	struct span domains[] = { SPAN("localhost"), SPAN("vhost.example") };
	struct io_config cfg = {
		.acceptors = (uint32_t)number(argc, argv, "acceptors", 1),
		.shards = box_list,
		.nshards = (uint32_t)number(argc, argv, "shards", 2),
		.tuning.limits = route_limits_default,
		.route_mxml = number(argc, argv, "mxml", 0) != 0,
		.id = SPAN("sm"),
		.domains = domains,
		.ndomains = 2,
		.router = { number(argc, argv, "router", 0) ? "127.0.0.1" : NULL, (uint16_t)number(argc, argv, "router", 0),
			option(argc, argv, "user", "jabberd"), option(argc, argv, "pass", "secret"), (int)number(argc, argv, "init", 3),
			(int)number(argc, argv, "lost", 3), (int)number(argc, argv, "sleep", 1) },
		.listens = &listen,
		.nlistens = option(argc, argv, "listen", NULL) ? 1 : 0,
		.login_ms = (uint32_t)number(argc, argv, "login-ms", 0),
		.tuning.link_bytes = (uint64_t)number(argc, argv, "link-bytes", 64 << 20),
		.tuning.shard_bytes = (uint64_t)number(argc, argv, "shard-bytes", 64 << 20),
		.gave_up = gave_up,
		.ready = ready,
	};
	struct io *io;

	hash_init();
	log_open(SPAN("stdout"), "io_host", NULL, NULL);
	rcu_thread_start();
	if (number(argc, argv, "frame-bytes", 0))
		cfg.tuning.limits.frame_bytes = (uint32_t)number(argc, argv, "frame-bytes", 0);
	cfg.names = names_new();
	for (unsigned i = 0; i < cfg.nshards; i++) {
		box_list[i] = &boxes[i];
		if (!mailbox_init(&boxes[i], "shard") || pthread_create(&threads[i], NULL, shard_run, &boxes[i]) != 0)
			return 1;
	}
	if (number(argc, argv, "files", 0))
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){ (rlim_t)number(argc, argv, "files", 0), (rlim_t)number(argc, argv, "files", 0) });
	io = io_open(&cfg);
	if (!io || !io_start(io)) {
		names_free(&cfg.names);
		return 1;
	}
	say("started %u", cfg.nlistens ? (unsigned)io_listening(io, 0) : 0);
	commands(io, cfg.names);
	deadline_set(&deadline, 2000);
	io_quiesce(io, &deadline);
	for (unsigned i = 0; i < cfg.nshards; i++) {
		struct letter *l = calloc(1, sizeof *l);

		l->kind = LETTER_STOP;
		mailbox_post(&boxes[i], &l);
		pthread_join(threads[i], NULL);
	}
	say(io_stop(&io, &deadline) ? "nothing left" : "something left");
	rcu_wake();
	names_free(&cfg.names);
	rcu_settle();
	for (unsigned i = 0; i < cfg.nshards; i++)
		mailbox_fini(&boxes[i]);
	rcu_thread_end();
	log_close();
	say("stopped");
	return 0;
}
