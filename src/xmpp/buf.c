/* buf.c - the one way bytes of ours are written.
 * Threads: one at a time.
 * Owns: the buffer's memory.
 */
#include "shardsm/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "xmpp/scan.h"

void buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

bool buf_grow(struct buf *b, size_t more)
{
	if (b->failed)
		return false;
	if (more <= b->cap - b->n)
		return true;
	/* Half of the range is plenty, and keeps every sum below inside 32 bits. */
	if (more > INT32_MAX - (size_t)b->n) {
		b->failed = true;
		return false;
	}
	uint32_t cap = b->cap ? b->cap : 256;
	while (cap - b->n < more)
		cap *= 2;
	char *p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void buf_put_more(struct buf *b, struct span raw)
{
	if (raw.n == 0 || !buf_grow(b, raw.n))
		return;
	memcpy(b->p + b->n, raw.p, raw.n);
	b->n += raw.n;
}

static const char *escape_of(char c, bool attribute)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '\'':
		return "&apos;";
	case '"':
		return "&quot;";
	case '\r': /* a parser would read it as a line feed */
		return "&#13;";
	case '\n': /* ... and these as blanks, in a value */
		return attribute ? "&#10;" : NULL;
	case '\t':
		return attribute ? "&#9;" : NULL;
	}
	return NULL;
}

bool text_plain(struct span text)
{
	const char *end = text.p + text.n, *tail = end - (text.n & 15);

	if (text.n < 16)
		return scan_run(text.p, end, SC_PLAIN) == end;
	/* The last look overlaps the one before it, so that no byte is looked at alone. */
	return scan_plain(text.p, tail) == tail && scan_plain(end - 16, end) == end;
}

static void put_escaped(struct buf *b, struct span text, bool attribute)
{
	const char *p = text.p, *end = text.p + text.n;

	if (likely(text_plain(text))) {
		buf_put(b, text);
		return;
	}
	while (p < end) {
		const char *run = scan_plain(p, end);
		buf_put(b, span_of(p, (size_t)(run - p)));
		if (run == end)
			return;
		p = run + 1;
		const char *escape = escape_of(*run, attribute);
		uint32_t cp;
		int n;
		if (escape) {
			buf_str(b, escape);
		} else if (*run == ']' || *run == '\n' || *run == '\t') {
			buf_put(b, span_of(run, 1));
		} else if ((unsigned char)*run >= 0x80 && (n = scan_utf8(run, end, &cp)) > 0) {
			buf_put(b, span_of(run, (size_t)n));
			p = run + n;
		} else {
			/* One ill-formed byte would cost the link: the replacement character costs one character. */
			buf_put(b, SPAN("\xef\xbf\xbd"));
		}
	}
}

void buf_text(struct buf *b, struct span text)
{
	put_escaped(b, text, false);
}

void buf_attr(struct buf *b, const char *name, struct span text)
{
	struct span n = span_str(name);

	if (!buf_grow(b, (size_t)n.n + text.n + 4))
		return;
	char *at = b->p + b->n;

	*at++ = ' ';
	memcpy(at, n.p, n.n);
	at += n.n;
	*at++ = '=';
	*at++ = '\'';
	b->n = (uint32_t)(at - b->p);
	put_escaped(b, text, true);
	buf_put(b, SPAN("'"));
}

void buf_uint(struct buf *b, uint64_t v)
{
	buf_fmt(b, "%" PRIu64, v);
}

void buf_int(struct buf *b, int64_t v)
{
	buf_fmt(b, "%" PRId64, v);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	size_t room = 64; /* most are numbers: written once */

	while (buf_grow(b, room)) {
		va_list ap;

		va_start(ap, fmt);
		int n = vsnprintf(b->p + b->n, room, fmt, ap);
		va_end(ap);
		if (n < 0) {
			b->failed = true;
			return;
		}
		if ((size_t)n < room) {
			b->n += (uint32_t)n;
			return;
		}
		room = (size_t)n + 1;
	}
}

/* n digits and what follows them. */
static void put_digits(struct buf *b, int64_t v, int n, char behind)
{
	char text[8];

	text[n] = behind;
	for (int i = n; i-- > 0; v /= 10)
		text[i] = (char)('0' + v % 10);
	buf_put(b, span_of(text, (size_t)n + 1));
}

static void put_utc(struct buf *b, int64_t unix_seconds)
{
	/* Days to a date of the proleptic Gregorian calendar, years counted from 1 March: leap days come last. */
	int64_t days = unix_seconds / 86400, rest = unix_seconds % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t day = doy - (153 * mp + 2) / 5 + 1;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);

	if (year >= 0 && year <= 9999)
		put_digits(b, year, 4, '-');
	else
		buf_fmt(b, "%04" PRId64 "-", year);
	put_digits(b, month, 2, '-');
	put_digits(b, day, 2, 'T');
	put_digits(b, rest / 3600, 2, ':');
	put_digits(b, rest / 60 % 60, 2, ':');
	put_digits(b, rest % 60, 2, 'Z');
}

void buf_utc(struct buf *b, int64_t unix_seconds)
{
	/* Whoever stamps stanzas does so many times a second. */
	static _Thread_local struct { int64_t time; uint32_t n; char text[24]; } last;
	uint32_t before = b->n;

	if (last.n && last.time == unix_seconds) {
		buf_put(b, span_of(last.text, last.n));
		return;
	}
	put_utc(b, unix_seconds);
	last.n = 0;
	if (b->failed || b->n - before > sizeof(last.text))
		return;
	last.time = unix_seconds;
	last.n = b->n - before;
	memcpy(last.text, b->p + before, last.n);
}
