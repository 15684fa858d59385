/* datetime.c - dates and times read back.
 * Threads: any; values.
 * Owns: nothing.
 */
#include <time.h>

#include "shardsm/datetime.h"

/* What is left of the text. */
struct reader {
	const char *p, *end;
	bool ok;
};

static int number(struct reader *r, int digits)
{
	int n = 0;

	while (digits--) {
		if (r->p == r->end || *r->p < '0' || *r->p > '9') {
			r->ok = false;
			return 0;
		}
		n = n * 10 + (*r->p++ - '0');
	}
	return n;
}

static bool skip(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static void want(struct reader *r, char c)
{
	r->ok = skip(r, c) && r->ok;
}

static void fraction(struct reader *r)
{
	if (!skip(r, '.'))
		return;
	number(r, 1);
	while (r->ok && r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
}

/* Seconds east of Greenwich. */
static int zone(struct reader *r)
{
	int sign = skip(r, '+') ? 1 : skip(r, '-') ? -1 : 0, hours, minutes;

	if (!sign) {
		want(r, 'Z');
		return 0;
	}
	hours = number(r, 2);
	want(r, ':');
	minutes = number(r, 2);
	r->ok = r->ok && hours < 24 && minutes < 60;
	return sign * (hours * 3600 + minutes * 60);
}

bool datetime_read(struct span text, int64_t *unix_seconds)
{
	struct reader r = { text.p, text.p + text.n, true };
	struct tm tm = { 0 };
	int offset = 0;

	tm.tm_year = number(&r, 4) - 1900;
	bool dashes = skip(&r, '-');

	tm.tm_mon = number(&r, 2) - 1;
	if (dashes)
		want(&r, '-');
	tm.tm_mday = number(&r, 2);
	want(&r, 'T');
	tm.tm_hour = number(&r, 2);
	want(&r, ':');
	tm.tm_min = number(&r, 2);
	want(&r, ':');
	tm.tm_sec = number(&r, 2);
	if (dashes) {
		fraction(&r);
		offset = zone(&r);
	}
	if (!r.ok || r.p != r.end || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	struct tm day = { .tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday };

	/* timegm() turns the 31st of February into a day of March. */
	timegm(&day);
	if (day.tm_mon != tm.tm_mon || day.tm_mday != tm.tm_mday)
		return false;
	*unix_seconds = (int64_t)timegm(&tm) - offset;
	return true;
}
