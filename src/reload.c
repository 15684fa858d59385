/* reload.c - the config file, read again while the server runs.
 * Threads: main's; the others stand still while the new values take the place of the old ones.
 * Owns: the config and the options in force.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "program.h"
#include "shardsm/buf.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"
#include "shardsm/tunables.h"
#include "shardsm/xml.h"

struct server_tuning server_tuning_of(const struct options *o, const struct config *config)
{
	return (struct server_tuning){ .limits = o->route_limits, .auto_create = config_has(config, "user.auto-create"),
		.user_queue = o->user_queue_packets, .shard_bytes = o->shard_queue_bytes, .waiting_bytes = o->waiting_bytes,
		.user_sessions = o->user_sessions, .sessions = o->sessions, .users = o->users };
}

struct io_tuning io_tuning_of(const struct options *o, const struct security *s)
{
	return (struct io_tuning){ .limits = o->route_limits, .router_tls = s->router, .link_bytes = o->link_queue_bytes,
		.links_bytes = o->write_queue_bytes, .silence_s = o->link_silence, .shard_bytes = o->shard_queue_bytes };
}

void listens_of(struct io_listen *listens, const struct options *o, const struct security *s)
{
	for (unsigned i = 0; i < o->nlistens; i++)
		listens[i] = (struct io_listen){ o->listens[i].ip, o->listens[i].port, o->listens[i].user, o->listens[i].pass,
			o->listens[i].secret, s->listens[i] };
}

void open_log_of(const struct options *o)
{
	log_open(span_str(o->log.type), o->log.ident, o->log.facility, o->log.file);
}

static void tell(struct buf *said, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void tell(struct buf *said, enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_line(level, "%s", line);
	if (said) {
		buf_str(said, line);
		buf_str(said, "\n");
	}
}

static void complaint(const char *line, void *said)
{
	tell(said, LOG_LEVEL_ERROR, "%s", line);
}

/* What is as it was at the start, whatever the file says now. */
static void name_unchanged(const struct program *p, const struct config *config, struct buf *said)
{
	static const struct { const char *key, *but; } fixed[] = {
		{ "id", NULL }, { "pidfile", NULL }, { "router", NULL }, { "local", NULL }, { "threads", NULL }, { "route-parser", NULL },
		{ "local-delivery", NULL }, { "storage", "storage.limits" }, { "modules", NULL },
		{ "user.verify", "user.verify.mails-per-hour" },
		{ "user.template.publish.db-table", NULL },
		{ "control", NULL }, { "metrics", NULL },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!config_same(p->config, config, fixed[i].key, fixed[i].but))
			tell(said, LOG_LEVEL_WARNING, "%s: %s is another one now: that needs a restart", config_path(config), fixed[i].key);
}

static bool same_listens(const struct options *a, const struct options *b)
{
	bool same = a->nlistens == b->nlistens;

	for (unsigned i = 0; same && i < a->nlistens; i++)
		same = strcmp(a->listens[i].ip, b->listens[i].ip) == 0 && a->listens[i].port == b->listens[i].port;
	return same;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void change_log(const struct options *old, const struct options *new)
{
	if (!same_text(old->log.type, new->log.type) || !same_text(old->log.ident, new->log.ident) ||
		!same_text(old->log.facility, new->log.facility) || !same_text(old->log.file, new->log.file))
		open_log_of(new);
}

/* Everything that the file says, checked: nothing has changed yet. False: it was told why. */
static bool read_all(struct config *config, struct options *o, struct security *s, struct change *change, struct buf *said)
{
	bool ok = options_read(o, config) && security_load(s, o, config);

	store_check_config(config);
	if (!server_read_options(config, change)) {
		tell(said, LOG_LEVEL_ERROR, "%s: not read (out of memory)", config_path(config));
		return false;
	}
	return ok && config_errors(config) == 0;
}

/* Addresses stay what they are. Where the file has the same ones, whatever else it says of them is in force. Where it has others, a password
 * or a certificate may be another listener's: what is in force stays, and with it the options that its texts are in. */
static void turn_listens(struct program *p, struct options *o, struct security *s)
{
	if (same_listens(&p->options, o)) {
		struct tls_context **old = p->security.listens;

		p->security.listens = s->listens;
		s->listens = old;
		listens_of(p->listens, o, &p->security);
	} else if (p->live_config != p->config) {
		struct options *live = &p->live_options;
		struct listen_options *listens = live->listens;
		unsigned n = live->nlistens;

		live->listens = o->listens;
		live->nlistens = o->nlistens;
		o->listens = listens;
		o->nlistens = n;
	}
}

/* Leaves in s what is not in force any more. */
static void put_in_force(struct program *p, struct change *change, const struct config *config, struct options *o, struct security *s)
{
	const struct server_tuning server = server_tuning_of(o, config);
	const struct io_tuning io = io_tuning_of(o, s);
	struct tls_context *router = p->security.router;

	standstill_begin(p->standstill);
	change_apply(change);
	server_retune(p->server, &server);
	io_retune(p->io, &io);
	p->security.router = s->router;
	s->router = router;
	turn_listens(p, o, s);
	standstill_end(p->standstill);
}

/* The config that is not needed any more; never the one that the program was started with. */
static void forget_live(struct program *p)
{
	if (p->live_config == p->config)
		return;
	options_free(&p->live_options);
	config_free(&p->live_config);
}

bool reload(struct program *p, struct buf *said)
{
	struct change *change = change_new();
	struct options o = { 0 };
	struct security s = { 0 };
	struct config *config;
	bool ok;

	config_complain_to(complaint, said);
	config = change ? config_load(p->line.config_path, p->line.id) : NULL;
	xml_thread_init();
	ok = config && read_all(config, &o, &s, change, said);
	config_complain_to(NULL, NULL);
	if (ok) {
		config_warn_unknown(config);
		name_unchanged(p, config, said);
		if (!same_listens(&p->options, &o))
			tell(said, LOG_LEVEL_WARNING, "%s: the addresses of listen are others now: that needs a restart, for their passwords too",
				config_path(config));
		put_in_force(p, change, config, &o, &s);
		security_free(&s); /* links that were made from it keep their part */
		change_log(&p->live_options, &o);
		change_free(&change); /* what was in force before; its texts may be the old config's */
		forget_live(p);
		p->live_config = config;
		p->live_options = o;
		stat_inc(STAT_RELOADS);
		tell(said, LOG_LEVEL_NOTICE, "%s: read again, in force", p->line.config_path);
		return true;
	}
	stat_inc(STAT_RELOADS_FAILED);
	change_free(&change);
	security_free(&s);
	options_free(&o);
	config_free(&config);
	tell(said, LOG_LEVEL_ERROR, "%s: not read again, the old configuration stays in force", p->line.config_path);
	return false;
}

void reload_close(struct program *p)
{
	forget_live(p);
}
