/* metrics.c - all that is counted, as text for Prometheus.
 * Threads: main's, registered with RCU.
 * Owns: nothing.
 * Source: Prometheus' text format 0.0.4 and its conventions for names.
 */
#include "admin/admin.h"
#include "config.h"
#include "shardsm/outbox.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"

#define LINKS_MAX 1000u /* names that have a line of their own */

void metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void put_label(struct buf *out, const char *name, struct span value)
{
	buf_fmt(out, "%s=\"", name);
	for (uint32_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\n')
			buf_str(out, "\\n");
		else if (c == '"' || c == '\\')
			buf_fmt(out, "\\%c", c);
		else
			buf_put(out, span_of(&value.p[i], 1));
	}
	buf_str(out, "\"");
}

static void sample(struct buf *out, const char *name, const char *labels, uint64_t value)
{
	buf_fmt(out, "%s%s%s%s %llu\n", name, labels ? "{" : "", labels ? labels : "", labels ? "}" : "", (unsigned long long)value);
}

static void write_by_label(struct buf *out, const char *name, const char *labels, const char *const *values, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (values[i])
			buf_fmt(out, "%s{%s\"%s\"} %llu\n", name, labels, values[i], (unsigned long long)stat_sum(first + i));
}

/* One counter to a line: its family, where it is the first of one; labels; which count. */
static void write_counters(struct buf *out)
{
	static const struct { const char *name, *help, *labels; unsigned stat; } counters[] = {
		{ "shardsm_session_starts_total", "Sessions that began.", NULL, STAT_SESSIONS_STARTED },
		{ "shardsm_session_ends_total", "Sessions that ended.", NULL, STAT_SESSIONS_ENDED },
		{ "shardsm_offline_messages_total", "Messages for nobody online, by what became of them.", "result=\"stored\"", STAT_OFFLINE_STORED },
		{ "shardsm_offline_messages_total", NULL, "result=\"delivered\"", STAT_OFFLINE_DELIVERED },
		{ "shardsm_offline_messages_total", NULL, "result=\"refused\"", STAT_OFFLINE_REFUSED },
		{ "shardsm_store_commits_total", "Groups of requests committed.", NULL, STAT_STORE_COMMITS },
		{ "shardsm_store_committed_requests_total", "Requests in committed groups.", NULL, STAT_STORE_COMMITTED },
		{ "shardsm_frames_refused_total", "Frames of peers that broke a rule of XML or a limit.", NULL, STAT_FRAMES_REFUSED },
		{ "shardsm_limit_hits_total", "How often a limit was in force, by limit.", "limit=\"frame-bytes\"", STAT_LIMIT_FRAME_BYTES },
		{ "shardsm_limit_hits_total", NULL, "limit=\"frame-structure\"", STAT_LIMIT_STRUCTURE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"link-queue-bytes\"", STAT_LIMIT_LINK_QUEUE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"write-queue-bytes\"", STAT_LIMIT_WRITE_QUEUE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"shard-queue-bytes\"", STAT_LIMIT_SHARD_QUEUE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"user-queue-packets\"", STAT_LIMIT_USER_QUEUE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"privacy\"", STAT_LIMIT_PRIVACY },
		{ "shardsm_limit_hits_total", NULL, "limit=\"roster-items\"", STAT_LIMIT_ROSTER },
		{ "shardsm_limit_hits_total", NULL, "limit=\"offline-quota\"", STAT_LIMIT_OFFLINE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"queries\"", STAT_LIMIT_QUERIES },
		{ "shardsm_limit_hits_total", NULL, "limit=\"waiting-bytes\"", STAT_LIMIT_WAITING },
		{ "shardsm_limit_hits_total", NULL, "limit=\"between-shards\"", STAT_LIMIT_BETWEEN_SHARDS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"slow-link\"", STAT_LIMIT_SLOW_LINK },
		{ "shardsm_limit_hits_total", NULL, "limit=\"user-sessions\"", STAT_LIMIT_USER_SESSIONS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"sessions\"", STAT_LIMIT_SESSIONS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"users\"", STAT_LIMIT_USERS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"user-stanzas\"", STAT_LIMIT_USER_STANZAS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"subscription-requests\"", STAT_LIMIT_REQUESTS },
		{ "shardsm_limit_hits_total", NULL, "limit=\"directed-presences\"", STAT_LIMIT_DIRECTED },
		{ "shardsm_limit_hits_total", NULL, "limit=\"private\"", STAT_LIMIT_PRIVATE },
		{ "shardsm_limit_hits_total", NULL, "limit=\"vcard-bytes\"", STAT_LIMIT_VCARD },
		{ "shardsm_sleeps_total", "How often a thread had nothing to do.", "thread=\"worker\"", STAT_SHARD_SLEEPS },
		{ "shardsm_sleeps_total", NULL, "thread=\"acceptor\"", STAT_ACCEPTOR_SLEEPS },
		{ "shardsm_wakes_total", "How often a thread that slept was woken for a message.", NULL, STAT_WAKES },
		{ "shardsm_acceptor_turns_total", "Turns of acceptors.", NULL, STAT_ACCEPTOR_TURNS },
		{ "shardsm_link_reads_total", "System calls that read a link.", NULL, STAT_LINK_READS },
		{ "shardsm_link_writes_total", "System calls that wrote to a link.", NULL, STAT_LINK_WRITES },
		{ "shardsm_config_reloads_total", "How often the configuration was read again.", "result=\"ok\"", STAT_RELOADS },
		{ "shardsm_config_reloads_total", NULL, "result=\"failed\"", STAT_RELOADS_FAILED },
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		if (counters[i].help)
			metrics_family(out, counters[i].name, "counter", counters[i].help);
		sample(out, counters[i].name, counters[i].labels, stat_sum(counters[i].stat));
	}
}

static void write_traffic(struct buf *out)
{
	static const char *const kinds[STAT_PAYLOADS] = { [PL_NONE] = "none", [PL_MESSAGE] = "message", [PL_PRESENCE] = "presence",
		[PL_IQ] = "iq", [PL_CLIENT] = "other", [PL_SESSION] = "session", [PL_SESSIONS] = "sessions", [PL_OTHER] = "foreign" };
	static const char *const actions[] = { "start", "end", "create", "delete", "other" };
	static const char *const levels[] = { "error", "warning", "notice", "info", "debug" };
	const char *conditions[SE_CONDITIONS];

	for (unsigned i = 0; i < SE_CONDITIONS; i++)
		conditions[i] = stanza_error((enum stanza_condition)i)->condition;
	metrics_family(out, "shardsm_stanzas_total", "counter", "What workers took from links (in) and handed to them (out), by kind.");
	write_by_label(out, "shardsm_stanzas_total", "direction=\"in\",kind=", kinds, STAT_IN, STAT_PAYLOADS);
	write_by_label(out, "shardsm_stanzas_total", "direction=\"out\",kind=", kinds, STAT_OUT, STAT_PAYLOADS);
	metrics_family(out, "shardsm_stanza_errors_total", "counter", "Stanzas answered with an error, by condition.");
	write_by_label(out, "shardsm_stanza_errors_total", "condition=", conditions, STAT_ERRORS, SE_CONDITIONS);
	metrics_family(out, "shardsm_session_requests_total", "counter", "Requests of c2s, by action.");
	write_by_label(out, "shardsm_session_requests_total", "action=", actions, STAT_START, 5);
	metrics_family(out, "shardsm_session_request_failures_total", "counter", "Requests of c2s that were refused or failed, by action.");
	write_by_label(out, "shardsm_session_request_failures_total", "action=", actions, STAT_FAILED_START, 5);
	metrics_family(out, "shardsm_log_lines_total", "counter", "Lines logged, by level.");
	write_by_label(out, "shardsm_log_lines_total", "level=", levels, STAT_LOG, 5);
}

static void write_store(struct buf *out)
{
	static const char *const results[] = { [STORE_OK] = "ok", [STORE_FAILED] = "failed", [STORE_FULL] = "full" };
	uint64_t n = 0, us;

	metrics_family(out, "shardsm_store_requests_total", "counter", "Requests to the database that were answered.");
	write_by_label(out, "shardsm_store_requests_total", "kind=\"read\",result=", results, STAT_STORE_READS, 3);
	write_by_label(out, "shardsm_store_requests_total", "kind=\"write\",result=", results, STAT_STORE_WRITES, 3);
	metrics_family(out, "shardsm_store_latency_seconds", "histogram", "From the request to the answer, waiting included.");
	us = stat_sum(STAT_STORE_LATENCY_US);
	for (unsigned i = 0; i < STAT_LATENCIES; i++) {
		uint32_t limit = stat_latency_limit_us(i);

		n += stat_sum(STAT_STORE_LATENCY + i);
		if (i + 1 < STAT_LATENCIES)
			buf_fmt(out, "shardsm_store_latency_seconds_bucket{le=\"%g\"} %llu\n", limit / 1e6, (unsigned long long)n);
	}
	buf_fmt(out, "shardsm_store_latency_seconds_bucket{le=\"+Inf\"} %llu\nshardsm_store_latency_seconds_sum %llu.%06llu\n"
		     "shardsm_store_latency_seconds_count %llu\n", (unsigned long long)n, (unsigned long long)(us / 1000000),
		(unsigned long long)(us % 1000000), (unsigned long long)n);
}

/* How threads hand work to each other: a burst is what a worker finds waiting, and works off in one turn. */
static void write_turns(struct buf *out)
{
	uint64_t n = 0;

	metrics_family(out, "shardsm_worker_burst_packets", "histogram", "Packets that waited for a worker when it took them.");
	for (unsigned i = 0; i < STAT_BURSTS; i++) {
		n += stat_sum(STAT_BURST + i);
		if (i + 1 < STAT_BURSTS)
			buf_fmt(out, "shardsm_worker_burst_packets_bucket{le=\"%u\"} %llu\n", 1u << i, (unsigned long long)n);
	}
	buf_fmt(out, "shardsm_worker_burst_packets_bucket{le=\"+Inf\"} %llu\nshardsm_worker_burst_packets_sum %llu\n"
		     "shardsm_worker_burst_packets_count %llu\n", (unsigned long long)n, (unsigned long long)stat_sum(STAT_BURST_PACKETS),
		(unsigned long long)n);
}

uint64_t metrics_in_flight(void)
{
	uint64_t answered = 0, submitted;

	for (unsigned i = 0; i < 3; i++)
		answered += stat_sum(STAT_STORE_READS + i) + stat_sum(STAT_STORE_WRITES + i);
	submitted = stat_sum(STAT_STORE_SUBMITTED);
	return submitted > answered ? submitted - answered : 0;
}

static void write_gauges(const struct admin *admin, struct buf *out)
{
	const struct { const char *name, *help; uint64_t value; } gauges[] = {
		{ "shardsm_sessions", "Sessions there are.", stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED) },
		{ "shardsm_users", "Users in memory.", stat_left(STAT_USERS_LOADED, STAT_USERS_UNLOADED) },
		{ "shardsm_links", "Links that are logged in.", stat_left(STAT_LINKS_UP, STAT_LINKS_DOWN) },
		{ "shardsm_salvage_bytes", "What links that are gone were not sent, until it is on its way again.", outboxes_kept() },
		{ "shardsm_store_requests_in_flight", "Requests to the database without an answer yet.", metrics_in_flight() },
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
		metrics_family(out, gauges[i].name, "gauge", gauges[i].help);
		sample(out, gauges[i].name, NULL, gauges[i].value);
	}
	metrics_family(out, "shardsm_shard_queue_bytes", "gauge", "Packets on the way to a worker or in work there.");
	for (uint32_t i = 0; i < admin->set.workers; i++)
		buf_fmt(out, "shardsm_shard_queue_bytes{shard=\"%u\"} %llu\n", i, (unsigned long long)server_load(admin->set.server, i).queue_bytes);
	metrics_family(out, "shardsm_shard_parked_packets", "gauge", "Handlers of a worker that wait for the database or for a link.");
	for (uint32_t i = 0; i < admin->set.workers; i++)
		buf_fmt(out, "shardsm_shard_parked_packets{shard=\"%u\"} %u\n", i, server_load(admin->set.server, i).parked);
}

void metrics_each_link(const struct admin *admin, void (*fn)(struct span name, unsigned flags, struct outbox *ob, void *arg), void *arg)
{
	struct outbox *router;

	rcu_enter();
	router = names_router_rcu(admin->set.names);
	if (router)
		fn(SPAN(""), 0, router, arg);
	names_each_rcu(admin->set.names, fn, arg);
	rcu_leave();
}

struct links {
	struct buf *out;
	uint32_t n;
};

static void write_link(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	struct links *links = arg;

	(void)flags;
	if (links->n++ >= LINKS_MAX)
		return;
	buf_str(links->out, "shardsm_link_queue_bytes{");
	put_label(links->out, "name", name);
	put_label(links->out, ",link", span_str(ob->name));
	buf_fmt(links->out, "} %llu\n", (unsigned long long)atomic_load_explicit(&ob->queued, memory_order_relaxed));
}

static void write_links(const struct admin *admin, struct buf *out)
{
	struct links links = { out, 0 };

	metrics_family(out, "shardsm_link_queue_bytes", "gauge", "What waits to be written to a link, by name that is bound there.");
	metrics_each_link(admin, write_link, &links);
}

void metrics_write(const struct admin *admin, struct buf *out)
{
	metrics_family(out, "shardsm_build_info", "gauge", "Version; the value is always 1.");
	sample(out, "shardsm_build_info", "version=\"" PACKAGE_VERSION "\"", 1);
	write_gauges(admin, out);
	write_traffic(out);
	write_counters(out);
	write_turns(out);
	write_store(out);
	write_links(admin, out);
	process_write(admin, out);
}
