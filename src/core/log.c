/* log.c - log lines: formatted and escaped here; written one by one, or once log_start() was called by a thread of the log's.
 * Threads: log_line() any; log_open(), log_start() and log_close() main, others may be logging; log_reopen() any, signal handlers too.
 * Owns: the log's descriptor. While a sink is in use its number never changes: reopening puts the new file below the same number.
 */
#include "shardsm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/log_writer.h"
#include "shardsm/clock.h"
#include "shardsm/stats.h"

#define LINE_MAX_BYTES 1024 /* jabberd2's, the newline not counted */
#define ESCAPED_BYTES 4     /* \xNN */

_Atomic enum log_level log_threshold = LOG_LEVEL_INFO;

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_NOTICE] = { "notice", LOG_NOTICE },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

/* Where lines go. Changed by filling the sink that is not in use, and waiting until nobody is at the other one any more. */
static struct sink {
	int out;
	bool to_syslog;
	char *path, *ident;
	int facility;
	_Atomic bool buffered;  /* by the log's thread */
	_Atomic uint32_t users; /* threads that are writing a line */
} sinks[2] = { { .out = STDOUT_FILENO, .facility = LOG_LOCAL7 } };
static _Atomic uint32_t in_use;
/* Mutable by any thread. */
static _Atomic bool reopen_wanted;
static _Atomic uint64_t lost; /* lines that could not be written since the last one that could */

static int facility_of(const char *name)
{
	static const int locals[] = { LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6,
		LOG_LOCAL7 };
	if (name && strcmp(name, "log_user") == 0)
		return LOG_USER;
	if (name && strncmp(name, "local", 5) == 0 && name[5] >= '0' && name[5] <= '7' && name[6] == '\0')
		return locals[name[5] - '0'];
	return LOG_LOCAL7;
}

static bool wants_writer; /* main's: log_start() was called */

static void count_lost(uint64_t lines);
static size_t loss_line(char line[static LOG_LOSS_BYTES], uint64_t *lines);
static void loss_told(uint64_t lines);
static const struct log_losses losses = { count_lost, loss_line, loss_told };

static struct sink *sink_enter(void)
{
	for (;;) {
		uint32_t i = atomic_load(&in_use);
		atomic_fetch_add(&sinks[i].users, 1);
		if (atomic_load(&in_use) == i)
			return &sinks[i];
		atomic_fetch_sub(&sinks[i].users, 1);
	}
}

static void sink_leave(struct sink *s)
{
	atomic_fetch_sub(&s->users, 1);
}

/* The other sink, to be filled: nobody is there, or looks at more than its count. */
static struct sink *sink_spare(void)
{
	struct sink *s = &sinks[!atomic_load(&in_use)];
	s->out = STDOUT_FILENO;
	s->to_syslog = false;
	s->path = s->ident = NULL;
	s->facility = LOG_LOCAL7;
	return s;
}

static void sink_switch(void)
{
	struct sink *old = &sinks[atomic_load(&in_use)], *new = &sinks[!atomic_load(&in_use)];
	atomic_store(&in_use, (uint32_t)(new - sinks));
	while (atomic_load(&old->users)) /* a line takes microseconds */
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	if (atomic_exchange(&old->buffered, false))
		log_writer_stop(); /* which writes what is left; lines for the new place do not go through it yet */
	if (old->to_syslog && !new->to_syslog)
		closelog();
	if (old->out != STDOUT_FILENO)
		close(old->out);
	free(old->path);
	free(old->ident);
	old->path = old->ident = NULL;
}

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static void open_sink(struct sink *s, const char *file)
{
	s->path = file ? strdup(file) : NULL;
	int fd = s->path ? open_file(s->path) : -1;
	if (fd < 0) {
		fprintf(stderr, "%s: log file cannot be opened (%s), logging to stdout\n", s->path ? s->path : "log.file",
			s->path ? strerror(errno) : "not given");
		/* A number of our own, so that a later log_reopen() can put the file there. */
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	}
	s->out = fd < 0 ? STDOUT_FILENO : fd;
}

void log_open(struct span type, const char *name, const char *facility_name, const char *file)
{
	struct sink *s = sink_spare();
	s->ident = strdup(name ? name : "jabberd/sm");
	s->facility = facility_of(facility_name);
	s->to_syslog = span_is(type, "syslog");
	if (s->to_syslog)
		openlog(s->ident, LOG_PID, s->facility);
	else if (span_is(type, "file"))
		open_sink(s, file);
	sink_switch();
	if (wants_writer)
		log_start();
}

void log_start(void)
{
	struct sink *s = &sinks[atomic_load(&in_use)];
	wants_writer = true;
	if (s->to_syslog || atomic_load(&s->buffered))
		return;
	/* Without: line by line. */
	if (log_writer_start(s->out, &losses))
		atomic_store_explicit(&s->buffered, true, memory_order_release);
	else
		log_warning("log: no thread of its own (out of memory)");
}

void log_close(void)
{
	wants_writer = false;
	sink_spare();
	sink_switch();
}

void log_flush(void)
{
	struct sink *s = sink_enter();

	if (atomic_load(&s->buffered))
		log_writer_flush();
	sink_leave(s);
}

void log_reopen(void)
{
	atomic_store(&reopen_wanted, true);
}

static void reopen(void)
{
	struct sink *s = sink_enter();
	bool file = !s->to_syslog && s->path && s->out != STDOUT_FILENO;
	int fd;
	if (file && atomic_load(&s->buffered))
		log_writer_flush(); /* what was said before belongs into the old file */
	if (s->to_syslog) {
		closelog();
		openlog(s->ident, LOG_PID, s->facility);
	} else if (file && (fd = open_file(s->path)) >= 0) {
		dup3(fd, s->out, O_CLOEXEC); /* atomic: a line of another thread goes to the old file or to the new one */
		close(fd);
	} else if (file) {
		log_error("%s: log file cannot be opened (%s), the old one goes on", s->path, strerror(errno));
	}
	sink_leave(s);
}

/* Length of the well-formed UTF-8 sequence at s that is printable, 0 where there is none. */
static size_t printable(const unsigned char *s, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
		return 0;
	uint32_t c = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* C1 controls and the separators that some viewers break a line at are not printable either. */
	bool bad = c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0 || c == 0x2028 || c == 0x2029;
	return bad ? 0 : len;
}

/* Appends text to line[n..LINE_MAX_BYTES), escaped; cut between characters. */
static size_t append_escaped(char *line, size_t n, struct span text)
{
	const unsigned char *s = (const unsigned char *)text.p;
	for (size_t i = 0; i < text.n;) {
		if (s[i] >= 0x20 && s[i] < 0x7f && n < LINE_MAX_BYTES) {
			line[n++] = (char)s[i++];
			continue;
		}
		size_t take = printable(s + i, text.n - i);
		if (n + (take ? take : ESCAPED_BYTES) > LINE_MAX_BYTES)
			break;
		if (take) {
			memcpy(line + n, s + i, take);
			n += take;
			i += take;
		} else {
			static const char hex[] = "0123456789abcdef";
			line[n++] = '\\';
			line[n++] = 'x';
			line[n++] = hex[s[i] >> 4];
			line[n++] = hex[s[i] & 15];
			i++;
		}
	}
	return n;
}

/* False: the line is lost. A full pipe or terminal loses lines too: no thread of a server may wait for whoever reads its log. */
static bool write_line(int out, const char *line, size_t n)
{
	struct pollfd ready = { .fd = out, .events = POLLOUT };
	ssize_t done;
	if (poll(&ready, 1, 0) <= 0 || !(ready.revents & POLLOUT))
		return false;
	do
		done = write(out, line, n);
	while (done < 0 && errno == EINTR);
	return done == (ssize_t)n;
}

/* "Wed Oct 21 04:29:00 2015 [notice] ". The time of a second is worked out once by each thread. */
static size_t put_head(char *line, enum log_level level)
{
	static _Thread_local time_t second = -1;
	static _Thread_local char when[32];
	time_t now = (time_t)clock_wall();
	struct tm tm;

	if (now != second) {
		if (!localtime_r(&now, &tm) || !asctime_r(&tm, when))
			strcpy(when, "-\n");
		when[strcspn(when, "\n")] = '\0';
		second = now;
	}
	size_t n = strlen(when), name = strlen(levels[level].name);

	memcpy(line, when, n);
	memcpy(line + n, " [", 2);
	memcpy(line + n + 2, levels[level].name, name);
	memcpy(line + n + 2 + name, "] ", 2);
	return n + 4 + name;
}

static void emit(enum log_level level, struct span text)
{
	char line[LINE_MAX_BYTES + 1];
	struct sink *s = sink_enter();
	if (s->to_syslog) {
		size_t n = append_escaped(line, 0, text);
		syslog(levels[level].priority, SPAN_FMT, (int)n, line);
		sink_leave(s);
		return;
	}
	size_t n = append_escaped(line, put_head(line, level), text);

	line[n++] = '\n';
	if (!(atomic_load_explicit(&s->buffered, memory_order_acquire) ? log_writer_put(line, n, level <= LOG_LEVEL_WARNING)
									  : write_line(s->out, line, n)))
		count_lost(1);
	sink_leave(s);
}

static void count_lost(uint64_t lines)
{
	atomic_fetch_add(&lost, lines);
}

static void loss_told(uint64_t lines)
{
	atomic_fetch_sub(&lost, lines);
}

static size_t put_loss(char line[static LOG_LOSS_BYTES], uint64_t lines)
{
	size_t n = put_head(line, LOG_LEVEL_WARNING);
	int more = snprintf(line + n, LOG_LOSS_BYTES - n, "log: %llu lines lost (the log could not be written)\n", (unsigned long long)lines);

	return n + (size_t)more;
}

static size_t loss_line(char line[static LOG_LOSS_BYTES], uint64_t *lines)
{
	*lines = atomic_load(&lost);
	return *lines ? put_loss(line, *lines) : 0;
}

/* Where there is no thread for it. */
static void emit_lost(void)
{
	char line[LOG_LOSS_BYTES];
	struct sink *s = sink_enter();

	if (!s->to_syslog && !atomic_load(&s->buffered)) {
		uint64_t lines = atomic_exchange(&lost, 0);

		if (lines && !write_line(s->out, line, put_loss(line, lines)))
			count_lost(lines);
	}
	sink_leave(s);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES + 1];
	va_list args;
	int saved = errno;
	if (level > atomic_load_explicit(&log_threshold, memory_order_relaxed))
		return;
	if (unlikely(atomic_load(&reopen_wanted)) && atomic_exchange(&reopen_wanted, false)) {
		emit(LOG_LEVEL_NOTICE, SPAN("reopening log ..."));
		reopen();
		emit(LOG_LEVEL_NOTICE, SPAN("log started"));
	}
	if (unlikely(atomic_load(&lost)))
		emit_lost();
	errno = saved;
	stat_inc(STAT_LOG + level);
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n >= 0)
		emit(level, span_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
	errno = saved;
}

bool log_allowed(struct log_limit *limit, uint32_t burst)
{
	uint32_t now = (uint32_t)(clock_mono_ms() / 1000) + 1; /* never 0, which a fresh limit holds */
	uint32_t seen = atomic_load(&limit->second);
	if (seen != now && atomic_compare_exchange_strong(&limit->second, &seen, now)) {
		uint32_t count = atomic_exchange(&limit->count, 0);
		if (count > burst)
			log_notice("log: %u lines like the next one were left out", count - burst);
	}
	return atomic_fetch_add(&limit->count, 1) < burst;
}
