/* log.c - log lines: formatted and escaped here; written one by one, or once log_start() was called by a thread of the log's.
 * Threads: log_line() any; log_open() and log_close() main, while no other thread logs; log_reopen() any, signal handlers too.
 * Owns: the log's descriptor. Its number never changes: reopening puts the new file below the same number.
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

#define LINE_MAX_BYTES 1024 /* jabberd2's, the newline not counted */
#define ESCAPED_BYTES 4     /* \xNN */

enum log_level log_threshold = LOG_LEVEL_INFO;

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

/* Fixed between log_open() and log_close(). */
static int out = STDOUT_FILENO;
static bool to_syslog;
static char *path, *ident;
static int facility = LOG_LOCAL7;
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

static int open_file(void)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

void log_open(struct span type, const char *name, const char *facility_name, const char *file)
{
	log_close();
	ident = strdup(name ? name : "jabberd/sm");
	facility = facility_of(facility_name);
	to_syslog = span_is(type, "syslog");
	if (to_syslog) {
		openlog(ident, LOG_PID, facility);
		return;
	}
	if (!span_is(type, "file"))
		return;
	path = file ? strdup(file) : NULL;
	int fd = path ? open_file() : -1;
	if (fd < 0) {
		fprintf(stderr, "%s: log file cannot be opened (%s), logging to stdout\n", path ? path : "log.file",
			path ? strerror(errno) : "not given");
		/* A number of our own, so that a later log_reopen() can put the file there. */
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	}
	out = fd < 0 ? STDOUT_FILENO : fd;
}

static void count_lost(uint64_t lines)
{
	atomic_fetch_add(&lost, lines);
}

void log_start(void)
{
	/* Without: line by line. */
	if (!to_syslog && !log_writer_runs() && !log_writer_start(out, count_lost))
		log_warning("log: no thread of its own (out of memory)");
}

void log_close(void)
{
	log_writer_stop();
	if (to_syslog)
		closelog();
	if (out != STDOUT_FILENO)
		close(out);
	out = STDOUT_FILENO;
	to_syslog = false;
	free(path);
	free(ident);
	path = ident = NULL;
}

void log_reopen(void)
{
	atomic_store(&reopen_wanted, true);
}

static void reopen(void)
{
	if (to_syslog) {
		closelog();
		openlog(ident, LOG_PID, facility);
		return;
	}
	if (!path || out == STDOUT_FILENO)
		return;
	if (log_writer_runs())
		log_writer_flush(); /* what was said before belongs into the old file */
	int fd = open_file();
	if (fd < 0) {
		log_error("%s: log file cannot be opened (%s), the old one goes on", path, strerror(errno));
		return;
	}
	dup3(fd, out, O_CLOEXEC); /* atomic: a line of another thread goes to the old file or to the new one */
	close(fd);
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
static bool write_line(const char *line, size_t n)
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
	if (to_syslog) {
		size_t n = append_escaped(line, 0, text);
		syslog(levels[level].priority, SPAN_FMT, (int)n, line);
		return;
	}
	size_t n = append_escaped(line, put_head(line, level), text);

	line[n++] = '\n';
	if (!(log_writer_runs() ? log_writer_put(line, n, level <= LOG_LEVEL_WARNING) : write_line(line, n)))
		count_lost(1);
}

static void emit_lost(void)
{
	char text[96];
	uint64_t n = atomic_exchange(&lost, 0);
	if (n == 0)
		return;
	snprintf(text, sizeof(text), "log: %llu lines lost (the log could not be written)", (unsigned long long)n);
	uint64_t before = atomic_load(&lost);
	emit(LOG_LEVEL_WARNING, span_str(text));
	if (atomic_load(&lost) != before)
		atomic_fetch_add(&lost, n - 1); /* still no room: the line that would have told is no loss of its own */
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES + 1];
	va_list args;
	int saved = errno;
	if (level > log_threshold)
		return;
	if (unlikely(atomic_load(&reopen_wanted)) && atomic_exchange(&reopen_wanted, false)) {
		emit(LOG_LEVEL_NOTICE, SPAN("reopening log ..."));
		reopen();
		emit(LOG_LEVEL_NOTICE, SPAN("log started"));
	}
	if (unlikely(atomic_load(&lost)))
		emit_lost();
	errno = saved;
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
