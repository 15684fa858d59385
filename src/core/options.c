/* options.c - settings: defaults, ranges, and what to write where a value is wrong.
 * Threads: main, at start.
 * Owns: nothing; struct options owns its strings.
 */
#include "shardsm/options.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/config-file.h"
#include "core/options-tls.h"
#include "shardsm/jid.h"

#define MIB ((int64_t)1 << 20)

static char *copy(struct span s)
{
	char *text = config_must(malloc(s.n + 1));
	if (s.n)
		memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return text;
}

/* NULL where there is neither the key nor a fallback. */
static char *text(struct config *config, const char *key, const char *fallback)
{
	return config_has(config, key) || fallback ? copy(config_text(config, key, fallback)) : NULL;
}

/* A bare domain, prepared; NULL after a complaint. */
static char *domain(struct config *config, const struct config_value *v, struct span name)
{
	char buf[JID_MAX + 1];
	struct jid jid;
	if (jid_prep(&jid, name, buf) && !jid.node_len && !jid_has_resource(&jid))
		return copy(jid_domain(&jid));
	config_bad(config, v, "\"" SPAN_FMT "\" is not a domain name; right would be one like example.org", SPAN_ARG(name));
	return NULL;
}

static void check_ip(struct config *config, const struct config_value *v, const char *ip)
{
	struct in6_addr addr;
	if (v && inet_pton(AF_INET, ip, &addr) != 1 && inet_pton(AF_INET6, ip, &addr) != 1)
		config_bad(config, v, "\"%s\" is not an IP address; right would be one like 127.0.0.1 or ::1", ip);
}

static void read_router(struct router_options *r, struct config *config)
{
	r->ip = text(config, "router.ip", "127.0.0.1");
	check_ip(config, config_get(config, "router.ip", 0), r->ip);
	r->port = (uint16_t)config_int(config, "router.port", 5347, 1, 65535);
	r->user = text(config, "router.user", "jabberd");
	r->pass = text(config, "router.pass", "secret");
	options_read_router_tls(&r->tls, config, r->ip);
	r->retry_init = (int)config_int(config, "router.retry.init", 3, RETRY_FOREVER, INT32_MAX);
	r->retry_lost = (int)config_int(config, "router.retry.lost", 3, RETRY_FOREVER, INT32_MAX);
	r->retry_sleep = (int)config_int(config, "router.retry.sleep", 2, 0, 86400);
	if (r->retry_sleep < 1)
		r->retry_sleep = 1; /* as jabberd2 reads a 0 */
}

static char *text_below(struct config *config, const struct config_value *v, const char *name, const char *fallback)
{
	const struct config_value *child = config_below(config, v, name, 0);
	return child ? copy(config_value_text(child)) : fallback ? copy(span_str(fallback)) : NULL;
}

static void read_listens(struct options *o, struct config *config)
{
	unsigned n = config_count(config, "listen");
	o->listens = config_must(calloc(n + 1, sizeof(*o->listens)));
	for (o->nlistens = 0; o->nlistens < n; o->nlistens++) {
		const struct config_value *v = config_get(config, "listen", o->nlistens);
		struct listen_options *l = &o->listens[o->nlistens];
		l->line = v->line;
		l->ip = text_below(config, v, "ip", "127.0.0.1");
		check_ip(config, config_below(config, v, "ip", 0), l->ip);
		l->port = (uint16_t)config_value_int(config, config_below(config, v, "port", 0), 5347, 0, 65535);
		l->user = text_below(config, v, "user", "jabberd");
		l->pass = text_below(config, v, "pass", "secret");
		l->secret = text_below(config, v, "secret", NULL);
		options_read_listen_tls(&l->tls, config, v, l->ip);
	}
}

static void add_domain(struct options *o, char *name)
{
	for (unsigned i = 0; name && i < o->ndomains; i++) {
		if (strcmp(o->domains[i], name) == 0) {
			free(name);
			return;
		}
	}
	if (name)
		o->domains[o->ndomains++] = name;
}

static void read_domains(struct options *o, struct config *config)
{
	unsigned n = config_count(config, "local.id");
	const struct config_value *id = config_get(config, "id", 0);
	struct span name = config_text(config, "id", "sm");
	o->id = domain(config, id, name);
	o->domains = config_must(calloc(n + 1, sizeof(*o->domains)));
	for (unsigned i = 0; i < n; i++) {
		const struct config_value *v = config_get(config, "local.id", i);
		add_domain(o, domain(config, v, config_value_text(v)));
	}
	o->domains_are_id = n == 0;
	if (n == 0 && o->id)
		add_domain(o, copy(span_str(o->id)));
}

/* One of two words; true: it is the second one. */
static bool either(struct config *config, const char *key, const char *first, const char *second)
{
	struct span word = config_text(config, key, first);
	if (!span_is(word, first) && !span_is(word, second))
		config_bad(config, config_get(config, key, 0), "\"" SPAN_FMT "\" is neither \"%s\" nor \"%s\"", SPAN_ARG(word),
			first, second);
	return span_is(word, second);
}

static void read_threads(struct options *o, struct config *config)
{
	struct span workers = config_text(config, "threads.workers", "auto");
	o->acceptors = (unsigned)config_int(config, "threads.acceptors", 1, 1, THREADS_MAX);
	o->store_threads = (unsigned)config_int(config, "threads.store", 2, 1, THREADS_MAX);
	if (span_is(workers, "auto")) {
		long cores = sysconf(_SC_NPROCESSORS_ONLN);
		o->workers = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
	} else {
		o->workers = (unsigned)config_int(config, "threads.workers", 1, 1, THREADS_MAX);
	}
}

static void read_limits(struct options *o, struct config *config)
{
	struct route_limits *r = &o->route_limits;
	/* Below the lower ends c2s's own packets would not pass; above the upper ones mini-XML takes seconds or gigabytes. */
	r->frame_bytes = (uint32_t)config_int(config, "limits.frame-bytes", MIB, 4096, 256 * MIB);
	r->depth = (uint16_t)config_int(config, "limits.depth", 64, 8, 1024);
	r->attributes = (uint16_t)config_int(config, "limits.attributes", 64, 16, 1024);
	r->elements = (uint32_t)config_int(config, "limits.elements", 4096, 64, MIB);
	o->link_queue_bytes = (uint64_t)config_int(config, "limits.link-queue-bytes", 64 * MIB, MIB, 65536 * MIB);
	o->write_queue_bytes = (uint64_t)config_int(config, "limits.write-queue-bytes", 4 * (int64_t)o->link_queue_bytes, MIB, 4 * 65536 * MIB);
	o->shard_queue_bytes = (uint64_t)config_int(config, "limits.shard-queue-bytes", 32 * MIB, MIB, 65536 * MIB);
	/* The kernel counts the pauses between its probes in whole seconds. */
	o->link_silence = (uint32_t)config_int(config, "limits.link-silence", 30, 5, 7200);
	o->user_queue_packets = (uint32_t)config_int(config, "limits.user-queue-packets", 1000, 1, 1000000);
	o->waiting_bytes = (uint64_t)config_int(config, "limits.waiting-bytes", 256 * MIB, MIB, 65536 * MIB);
	o->user_sessions = (uint32_t)config_int(config, "limits.user-sessions", 100, 0, INT32_MAX);
	o->sessions = (uint32_t)config_int(config, "limits.sessions", 0, 0, INT32_MAX);
	o->users = (uint32_t)config_int(config, "limits.users", 0, 0, INT32_MAX);
	if ((uint64_t)r->frame_bytes > o->link_queue_bytes || (uint64_t)r->frame_bytes > o->shard_queue_bytes)
		config_bad(config, config_get(config, "limits", 0),
			"one frame of frame-bytes does not fit in a queue; make the queues larger or the frame smaller");
}

static void read_log(struct options *o, struct config *config)
{
	const struct config_value *v = config_get(config, "log", 0);
	struct span type = v ? config_attr(v, "type") : (struct span){ 0 };
	o->log.type = copy(type.p ? type : SPAN("stdout"));
	o->log.ident = text(config, "log.ident", "jabberd/sm");
	o->log.facility = text(config, "log.facility", "local7");
	o->log.file = text(config, "log.file", NULL);
	if (span_is(type, "file") && !o->log.file)
		config_bad(config, v, "type='file' without a <file>; right would be <file>/var/log/jabberd2/sm.log</file>");
}

static void read_admin(struct options *o, struct config *config)
{
	const struct config_value *path = config_get(config, "control.socket", 0);
	o->control_socket = text(config, "control.socket", NULL);
	if (path && o->control_socket[0] != '/')
		config_bad(config, path, "\"%s\" is not a path from the root; right would be one like /run/jabberd2/shardsm.sock", o->control_socket);
	if (!config_has(config, "metrics"))
		return;
	o->metrics_ip = text(config, "metrics.ip", "127.0.0.1");
	check_ip(config, config_get(config, "metrics.ip", 0), o->metrics_ip);
	o->metrics_port = (uint16_t)config_int(config, "metrics.port", 9547, 0, 65535);
}

bool options_read(struct options *o, struct config *config)
{
	*o = (struct options){ 0 };
	read_domains(o, config);
	o->pidfile = text(config, "pidfile", NULL);
	read_listens(o, config);
	o->dial = config_has(config, "router") || o->nlistens == 0;
	read_router(&o->router, config);
	read_log(o, config);
	read_threads(o, config);
	o->route_parser_mxml = either(config, "route-parser", "scan", "mxml");
	o->local_via_router = either(config, "local-delivery", "direct", "router");
	if (o->local_via_router && !o->dial)
		config_bad(config, config_get(config, "local-delivery", 0),
			"\"router\" needs a <router> that local packets can go through; right would be \"direct\"");
	o->stop_seconds = (unsigned)config_int(config, "stop-timeout", 4, 1, 3600);
	read_limits(o, config);
	read_admin(o, config);
	return config_errors(config) == 0;
}

void options_free(struct options *o)
{
	char *strings[] = { o->id, o->pidfile, o->router.ip, o->router.user, o->router.pass,
		o->log.type, o->log.ident, o->log.facility, o->log.file, o->control_socket, o->metrics_ip };
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		free(strings[i]);
	options_free_tls(&o->router.tls);
	for (unsigned i = 0; i < o->nlistens; i++) {
		struct listen_options *l = &o->listens[i];
		free(l->ip);
		free(l->user);
		free(l->pass);
		free(l->secret);
		options_free_tls(&l->tls);
	}
	for (unsigned i = 0; i < o->ndomains; i++)
		free(o->domains[i]);
	free(o->listens);
	free(o->domains);
	*o = (struct options){ 0 };
}
