/* log.h - log lines, in jabberd2's format.
 * Threads: any; log_open() and log_close() are main's, others may be logging meanwhile. log_reopen() asks; the next line carries it out.
 * A line begins with its subject, in lower case, its cause in parentheses: `bob@localhost/b: roster push failed (disk full)`.
 * Control characters and bytes that are not UTF-8 come out escaped (\x1b).
 */
#ifndef SHARDSM_LOG_H
#define SHARDSM_LOG_H

#include <stdatomic.h>

#include "shardsm/span.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Again: the new place in the stead of the old one, no line is lost. type: "syslog", "file", anything else is stdout. A file that cannot be opened falls back to stdout, said on stderr. */
void log_open(struct span type, const char *ident, const char *facility, const char *file);
/* Once serving begins: from here on lines are written by a thread of the log's, a few ms later and many at a time, and log_close() must be
 * called for the last of them. Errors and warnings are written at once. When whoever reads the log is that slow that a megabyte waits,
 * further lines are lost, and a line says how many. */
void log_start(void);
void log_reopen(void); /* async-signal-safe */
void log_flush(void); /* all that was said is written, or a second has passed */
void log_close(void);
extern _Atomic enum log_level log_threshold; /* -D: LOG_LEVEL_DEBUG */

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) do { if (unlikely(atomic_load_explicit(&log_threshold, memory_order_relaxed) >= LOG_LEVEL_DEBUG)) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__); } while (0)

/* For lines that a peer can trigger: at most `burst` a second of each place, then one line that counts what was dropped. */
struct log_limit { _Atomic uint32_t second, count; };
bool log_allowed(struct log_limit *limit, uint32_t burst);
#define log_limited(level, ...) do { static struct log_limit limit_; if (log_allowed(&limit_, 10)) log_line(level, __VA_ARGS__); } while (0)

#endif
