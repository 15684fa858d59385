/* command.c - the control socket: one line asked, an answer in lines, the end.
 * Threads: main's, registered with RCU.
 * Owns: nothing.
 * The first line of an answer is "ok" or "error: " with what would be right; the rest is for people. What users are is asked of their
 * shards; the connection waits for them, main does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "admin/admin.h"
#include "config.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

#define SESSIONS_LISTED 10000u

static void refuse(struct admin *admin, struct connection *c, const char *what)
{
	buf_clear(&c->out);
	buf_fmt(&c->out, "error: %s\n", what);
	connection_answer(admin, c);
}

/* --- what shards answer ---------------------------------------------------------------------------------------------------- */

static void wait_for(struct admin *admin, struct connection *c, enum server_question question, const struct jid *jid)
{
	const struct server_answer q = { .to = &admin->box, .token = c->id, .question = question, .limit = SESSIONS_LISTED / admin->set.workers + 1 };

	c->due = server_ask(admin->set.server, &q, jid);
	if (!c->due) {
		refuse(admin, c, "out of memory");
		return;
	}
	c->stage = WAITING;
	admin_watch(admin, &c->watch, 0, true); /* whoever ends its own side of the connection may wait all the same */
}

void command_collect(struct admin *admin, struct server_answer *answer)
{
	struct connection *c = connection_find(admin, answer->token);

	if (c) { /* else it did not wait */
		buf_put(&c->out, buf_span(&answer->text));
		c->out.failed |= answer->text.failed;
		c->count += answer->count;
		c->left_out += answer->left_out;
		if (--c->due == 0)
			c->answered(admin, c);
	}
	server_answer_free(answer);
}

static void wait_for_jid(struct admin *admin, struct connection *c, enum server_question question, struct span text)
{
	char room[JID_MAX + 1];
	struct jid jid;

	if (jid_prep(&jid, text, room))
		wait_for(admin, c, question, &jid);
	else
		refuse(admin, c, "that is not a JID; right would be one like alice@example.org, or alice@example.org/home");
}

static void sessions_answered(struct admin *admin, struct connection *c)
{
	if (c->left_out)
		buf_fmt(&c->out, "and %u more\n", c->left_out);
	buf_fmt(&c->out, "%u sessions\n", c->count + c->left_out);
	connection_answer(admin, c);
}

static void sessions(struct admin *admin, struct connection *c, struct span arg)
{
	c->answered = sessions_answered;
	if (arg.n)
		wait_for_jid(admin, c, ASK_SESSIONS, arg);
	else
		wait_for(admin, c, ASK_SESSIONS, NULL);
}

static void user_answered(struct admin *admin, struct connection *c)
{
	if (c->out.n == sizeof("ok\n") - 1)
		buf_str(&c->out, "not in memory: no session, nothing on the way\n");
	connection_answer(admin, c);
}

static void user(struct admin *admin, struct connection *c, struct span arg)
{
	c->answered = user_answered;
	wait_for_jid(admin, c, ASK_USER, arg);
}

static void kick_answered(struct admin *admin, struct connection *c)
{
	if (!c->count) {
		refuse(admin, c, "there is no such session; `sessions' lists those that there are");
		return;
	}
	buf_fmt(&c->out, "%u sessions ended\n", c->count);
	connection_answer(admin, c);
}

static void kick(struct admin *admin, struct connection *c, struct span arg)
{
	c->answered = kick_answered;
	wait_for_jid(admin, c, ASK_KICK, arg);
}

/* --- what main knows itself ------------------------------------------------------------------------------------------------ */

static void put_link(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	if (!name.n)
		name = SPAN("router");
	buf_fmt(arg, "link: " SPAN_FMT " at %s%s, %llu bytes to be written\n", SPAN_ARG(name), ob->name, flags & NAME_DEFAULT ? " (default route)" : "",
		(unsigned long long)atomic_load_explicit(&ob->queued, memory_order_relaxed));
}

static void put_store(struct buf *b)
{
	uint64_t n[3];

	for (unsigned i = 0; i < 3; i++)
		n[i] = stat_sum(STAT_STORE_READS + i) + stat_sum(STAT_STORE_WRITES + i);
	buf_fmt(b, "store: %llu requests answered, %llu failed, %llu put off, %llu under way\n", (unsigned long long)n[STORE_OK],
		(unsigned long long)n[STORE_FAILED], (unsigned long long)n[STORE_FULL], (unsigned long long)metrics_in_flight());
}

static void status(struct admin *admin, struct connection *c, struct span arg)
{
	struct buf *b = &c->out;
	const struct admin_settings *s = &admin->set;

	(void)arg;
	buf_fmt(b, "version: " PACKAGE_NAME " " PACKAGE_VERSION "\nup: %lld seconds%s\n", (long long)((clock_mono_ms() - admin->started_ms) / 1000),
		admin->draining ? ", draining" : "");
	buf_fmt(b, "threads: %u acceptors, %u workers, %u for the store\n", s->acceptors, s->workers, s->store_threads);
	buf_fmt(b, "sessions: %llu\nusers in memory: %llu\n", (unsigned long long)stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED),
		(unsigned long long)stat_left(STAT_USERS_LOADED, STAT_USERS_UNLOADED));
	for (uint32_t i = 0; i < s->workers; i++) {
		struct server_load load = server_load(s->server, i);

		buf_fmt(b, "shard %u: %llu bytes queued, %u handlers wait\n", i, (unsigned long long)load.queue_bytes, load.parked);
	}
	put_store(b);
	metrics_each_link(admin, put_link, b);
	connection_answer(admin, c);
}

static void reload(struct admin *admin, struct connection *c, struct span arg)
{
	struct buf said;

	(void)arg;
	buf_init(&said);
	if (!admin->set.reload(&said, admin->set.arg)) {
		buf_clear(&c->out);
		buf_str(&c->out, "error: nothing has changed\n");
	}
	buf_put(&c->out, buf_span(&said));
	buf_free(&said);
	connection_answer(admin, c);
}

static void log_level(struct admin *admin, struct connection *c, struct span arg)
{
	static const char *const levels[] = { [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
		[LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug" };
	unsigned i = 0, n = sizeof(levels) / sizeof(levels[0]);

	while (arg.n && i < n && !span_is(arg, levels[i]))
		i++;
	if (i == n) {
		refuse(admin, c, "there is no such level; right would be error, warning, notice, info or debug");
		return;
	}
	if (arg.n) {
		log_notice("log level: %s", levels[i]);
		log_threshold = (enum log_level)i;
	}
	buf_fmt(&c->out, "log level: %s\n", levels[log_threshold]);
	connection_answer(admin, c);
}

static void metrics(struct admin *admin, struct connection *c, struct span arg)
{
	(void)arg;
	metrics_write(admin, &c->out);
	connection_answer(admin, c);
}

static void drain(struct admin *admin, struct connection *c, struct span arg)
{
	(void)arg;
	server_drain(admin->set.server);
	admin->draining = true;
	log_notice("draining: no session starts any more, the end comes with the end of the last one");
	buf_fmt(&c->out, "%llu sessions to wait for\n", (unsigned long long)stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED));
	connection_answer(admin, c);
}

static void stop(struct admin *admin, struct connection *c, struct span arg)
{
	(void)arg;
	admin->stop = true;
	buf_str(&c->out, "shutting down\n");
	connection_answer(admin, c);
}

/* --- reading ---------------------------------------------------------------------------------------------------------------- */

static void help(struct admin *admin, struct connection *c, struct span arg);

enum takes { NOTHING, MAY, MUST };
static const struct command {
	const char *name, *takes, *does;
	enum takes arg;
	void (*fn)(struct admin *admin, struct connection *c, struct span arg);
} commands[] = {
	{ "status", "", "what is running, and how full its queues are", NOTHING, status },
	{ "sessions", " [JID]", "who is online", MAY, sessions },
	{ "user", " JID", "what is in memory of a user", MUST, user },
	{ "kick", " JID[/RESOURCE]", "ends a user's sessions, or one of them", MUST, kick },
	{ "reload", "", "reads the configuration again", NOTHING, reload },
	{ "log-level", " [LEVEL]", "says or sets what is logged: error, warning, notice, info, debug", MAY, log_level },
	{ "metrics", "", "all counts, as Prometheus reads them", NOTHING, metrics },
	{ "drain", "", "lets no session start any more, and stops when the last one has ended", NOTHING, drain },
	{ "stop", "", "ends all sessions and the server", NOTHING, stop },
	{ "help", "", "this", NOTHING, help },
};

static void help(struct admin *admin, struct connection *c, struct span arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		uint32_t from = c->out.n;

		buf_fmt(&c->out, "%s%s", commands[i].name, commands[i].takes);
		buf_fmt(&c->out, "%*s%s\n", (int)(24 - (c->out.n - from)), "", commands[i].does);
	}
	connection_answer(admin, c);
}

static void run(struct admin *admin, struct connection *c, struct span line)
{
	const char *space = memchr(line.p, ' ', line.n);
	struct span name = space ? span_of(line.p, (size_t)(space - line.p)) : line;
	struct span arg = space ? span_of(space + 1, line.n - name.n - 1u) : (struct span){ 0 };
	char usage[160];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *cmd = &commands[i];

		if (!span_is(name, cmd->name))
			continue;
		if ((cmd->arg == MUST && !arg.n) || (cmd->arg == NOTHING && arg.n)) {
			snprintf(usage, sizeof(usage), "wanted: %s%s", cmd->name, cmd->takes);
			refuse(admin, c, usage);
			return;
		}
		buf_str(&c->out, "ok\n");
		cmd->fn(admin, c, arg);
		return;
	}
	refuse(admin, c, "there is no such command; `help' lists those that there are");
}

void command_asked(struct admin *admin, struct connection *c, bool whole)
{
	const char *end = memchr(c->in, '\n', c->in_len);

	if (!end && !whole)
		return;
	if (!end && c->in_len == sizeof(c->in)) {
		refuse(admin, c, "that line is too long; `help' lists the commands");
		return;
	}
	uint32_t n = end ? (uint32_t)(end - c->in) : c->in_len;

	while (n && (c->in[n - 1] == '\r' || c->in[n - 1] == ' '))
		n--;
	run(admin, c, span_of(c->in, n));
}
