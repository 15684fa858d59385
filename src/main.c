/* main.c - reads what it is to be, starts store, shards and links, waits for signals, stops them in that order.
 * Threads: the main thread; it owns signals.
 * Owns: everything that is opened here, until the end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "program.h"
#include "stop.h"
#include "supervise.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"
#include "shardsm/notify.h"
#include "shardsm/rcu.h"
#include "shardsm/xml.h"

#define EXIT_CONFIG 2

static void gave_up(void *arg)
{
	struct program *p = arg;

	atomic_store(&p->gave_up, true);
	pthread_kill(p->main_thread, SIGTERM);
}

static void ready(void *arg)
{
	(void)arg;
	supervise_ready();
}

/* jabberd2's form: the number alone, no newline. */
static void write_pidfile(const char *path)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;

	if (!path)
		return;
	if (fd < 0 || dprintf(fd, "%ld", (long)getpid()) < 0)
		log_error("couldn't write pidfile %s (%s)", path, strerror(errno));
	else
		log_info("process id is %ld, written to %s", (long)getpid(), path);
	if (fd >= 0)
		close(fd);
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
}

static bool open_server(struct program *p)
{
	const struct options *o = &p->options;

	p->domains = calloc(o->ndomains, sizeof(*p->domains));
	p->names = names_new();
	if (!p->domains || !p->names) {
		log_error("out of memory at start");
		return false;
	}
	for (unsigned i = 0; i < o->ndomains; i++)
		p->domains[i] = span_str(o->domains[i]);
	if (p->line.check && !store_look(p->config, o->store_threads, p->found, sizeof(p->found)))
		return false;
	if (!p->line.check && !(p->store = store_open(p->config, o->store_threads)))
		return false;
	p->server = server_new(&(struct server_settings){ .config = p->config, .id = span_str(o->id), .domains = p->domains,
		.ndomains = o->ndomains, .nshards = o->workers, .names = p->names, .store = p->store,
		.detour = o->local_via_router, .tuning = server_tuning_of(o, p->config) });
	return p->server != NULL;
}

static bool open_io(struct program *p)
{
	const struct options *o = &p->options;
	struct io_listen *listens = p->listens = calloc(o->nlistens + 1, sizeof(*listens));
	struct io_config c = { .acceptors = o->acceptors, .shards = server_mailboxes(p->server), .nshards = o->workers,
		.names = p->names, .tuning = io_tuning_of(o, &p->security), .route_mxml = o->route_parser_mxml, .id = span_str(o->id),
		.domains = p->domains, .ndomains = o->ndomains, .listens = listens, .nlistens = o->nlistens,
		.gave_up = gave_up, .ready = ready, .arg = p };

	if (!listens)
		return false;
	listens_of(listens, o, &p->security);
	if (o->dial)
		c.router = (struct io_router){ o->router.ip, o->router.port, o->router.user, o->router.pass, o->router.retry_init,
			o->router.retry_lost, o->router.retry_sleep };
	p->io = io_open(&c);
	return p->io != NULL;
}

static bool open_standstill(struct program *p)
{
	const struct options *o = &p->options;
	struct mailbox **boxes = calloc(o->workers + o->acceptors, sizeof(struct mailbox *));

	for (unsigned i = 0; boxes && i < o->workers; i++)
		boxes[i] = server_mailboxes(p->server)[i];
	for (unsigned i = 0; boxes && i < o->acceptors; i++)
		boxes[o->workers + i] = io_mailbox(p->io, i);
	p->standstill = boxes ? standstill_new(boxes, o->workers + o->acceptors) : NULL;
	free(boxes);
	return p->standstill != NULL;
}

static bool reload_asked(struct buf *said, void *arg)
{
	supervise_reload(true);
	bool ok = reload(arg, said);

	supervise_reload(false);
	return ok;
}

static bool open_admin(struct program *p)
{
	const struct options *o = &p->options;

	p->admin = admin_open(&(struct admin_settings){ .socket = o->control_socket, .metrics_ip = o->metrics_ip,
		.metrics_port = o->metrics_port, .server = p->server, .names = p->names, .workers = o->workers, .acceptors = o->acceptors,
		.store_threads = o->store_threads, .reload = reload_asked, .tick = supervise, .arg = p });
	return p->admin != NULL;
}

static const char *tls_word(const struct tls_context *tls)
{
	return !tls ? "" : tls_required(tls) ? ", TLS required" : ", TLS if the other side has it";
}

static void check_only(struct program *p)
{
	const struct options *o = &p->options;
	char modules[600];

	server_describe(p->server, modules, sizeof(modules));
	printf("%s: good\nid: %s\n", config_path(p->config), o->id);
	for (unsigned i = 0; i < o->ndomains; i++)
		printf("domain: %s\n", o->domains[i]);
	if (o->dial)
		printf("router: %s, port %u%s\n", o->router.ip, o->router.port, tls_word(p->security.router));
	for (unsigned i = 0; i < o->nlistens; i++)
		printf("listen: %s, port %u%s\n", o->listens[i].ip, o->listens[i].port, tls_word(p->security.listens[i]));
	printf("threads: %u acceptors, %u workers, %u for the store\nstorage: %s\n%s", o->acceptors, o->workers, o->store_threads, p->found,
		modules);
}

static void say_start(const struct program *p)
{
	const struct options *o = &p->options;

	log_notice("version: " PACKAGE_NAME " " PACKAGE_VERSION);
	if (o->domains_are_id)
		log_notice("id: %s", o->id);
	else
		for (unsigned i = 0; i < o->ndomains; i++)
			log_notice("[%s] configured", o->domains[i]);
	if (o->dial && !o->router.tls.pemfile && o->router.tls.required)
		log_warning("the link to the router at %s crosses the network in clear: a <pemfile> in <router>, and in the router's <local>, protects it",
			o->router.ip);
	log_notice("threads: %u acceptors, %u workers, %u for the store", o->acceptors, o->workers, o->store_threads);
}

/* From here on every step ends in its share of the time: the shards come first, because what they send is what the links write, and what
 * they ask is what the store carries out. */
static bool stop(struct program *p)
{
	const uint32_t ms = (uint32_t)p->live_options.stop_seconds * 1000;
	const struct deadline *deadline = stop_begin(ms);
	bool done;

	supervise_stopping(ms);
	server_drain(p->server);
	log_notice("shutting down");
	io_quiesce(p->io, deadline);
	stop_now("a shard is at work");
	done = server_stop(p->server, deadline);
	stop_now("links are written");
	if (!io_stop(&p->io, deadline)) {
		log_warning("shutting down: not all that the links sent could be worked off, or not all that was meant for them written");
		done = false;
	}
	stop_now("the database is at work");
	store_close(&p->store);
	admin_close(&p->admin);
	return done;
}

static int serve(struct program *p)
{
	bool done;

	if (!server_start(p->server) || !io_start(p->io))
		return EXIT_FAILURE;
	log_start();
	supervise_start(p);
	admin_run(p->admin);
	done = stop(p);
	stop_end();
	return atomic_load(&p->gave_up) ? EXIT_FAILURE : done ? EXIT_SUCCESS : EXIT_LEFT;
}

static void close_all(struct program *p)
{
	reload_close(p);
	standstill_free(&p->standstill);
	server_free(&p->server);
	names_free(&p->names);
	rcu_settle();
	free(p->domains);
	free(p->listens);
	security_free(&p->security);
	options_free(&p->options);
	config_free(&p->config);
}

int main(int argc, char **argv)
{
	static struct program p;
	int status;

	standard_descriptors();
	if (!cmdline_read(&p.line, argc, argv, &status))
		return status;
	umask(027);
	p.config = config_load(p.line.config_path, p.line.id);
	xml_thread_init();
	if (!p.config || !options_read(&p.options, p.config) || !security_load(&p.security, &p.options, p.config))
		return EXIT_CONFIG;
	p.live_config = p.config;
	p.live_options = p.options;
	p.main_thread = pthread_self();
	if (p.line.debug)
		log_threshold = LOG_LEVEL_DEBUG;
	if (!p.line.check)
		open_log_of(&p.options);
	log_notice("starting up");
	config_warn_unknown(p.config);
	if (!p.line.check)
		notify_open();
	hash_init();
	block_signals();
	if (!open_server(&p))
		return config_errors(p.config) ? EXIT_CONFIG : EXIT_FAILURE;
	if (config_errors(p.config))
		return EXIT_CONFIG;
	if (p.line.check) {
		check_only(&p);
		return EXIT_SUCCESS;
	}
	write_pidfile(p.options.pidfile);
	say_start(&p);
	raise_descriptor_limit();
	if (!open_io(&p) || !open_standstill(&p) || !open_admin(&p))
		return EXIT_FAILURE;
	status = serve(&p);
	log_notice("stopped");
	log_close();
	close_all(&p);
	return status;
}
