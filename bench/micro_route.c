/* micro_route.c - nanoseconds that a route costs from bytes to envelope.
 * Threads: one.
 * Owns: its buffers, until it exits.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shardsm/route.h"
#include "shardsm/xml.h"

#define HEADER "<stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'>"
#define ROUTE "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'>"
#define SESSION " xmlns:sc='" NS_SESSION "'"
#define IDS " sc:c2s='11' sc:sm='1bd2f0a93c5e77d8################aabbccdd'"

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Fills a buffer with n times frame; '#' stands for a letter that is another one each time. */
static char *many(const char *frame, size_t n, size_t *len)
{
	size_t one = strlen(frame);
	char *buf = malloc(one * n + 1);
	uint32_t x = 1;

	if (!buf)
		exit(1);
	for (size_t i = 0; i < n; i++) {
		memcpy(buf + i * one, frame, one);
		for (char *p = buf + i * one; (p = memchr(p, '#', (size_t)(buf + (i + 1) * one - p)));) {
			x = x * 1664525 + 1013904223;
			*p = (char)('a' + (x >> 24) % 26);
		}
	}
	*len = one * n;
	return buf;
}

static uint64_t scan_all(const char *buf, size_t len, bool mxml)
{
	struct route_scanner s;
	struct route route;
	char extra[4096];
	size_t used;

	route_scanner_init(&s, NULL);
	if (route_next(&s, HEADER, sizeof(HEADER) - 1, &route, &used) != ROUTE_HEADER)
		abort();
	s.mxml = mxml;
	uint64_t start = now();
	for (size_t at = 0; at < len; at += used) {
		if (route_next(&s, buf + at, len - at, &route, &used) != ROUTE_OK)
			abort();
		if (mxml && !route_mxml(&route, buf + at + used - route.len, extra, sizeof(extra)))
			abort();
	}
	return now() - start;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *what, const char *frame, bool mxml)
{
	enum { RUNS = 9, FRAMES = 2000 };
	uint64_t ns[RUNS];
	size_t len;
	char *buf = many(frame, FRAMES, &len);

	for (int i = 0; i < RUNS; i++)
		ns[i] = scan_all(buf, len, mxml);
	qsort(ns, RUNS, sizeof(*ns), by_value);
	double per = (double)ns[RUNS / 2] / FRAMES;
	printf("%-28s %6zu bytes %9.0f ns %7.0f MB/s\n", what, strlen(frame), per, (double)strlen(frame) * 1000 / per);
	free(buf);
}

int main(void)
{
	static const char chat[] = ROUTE "<message xmlns='jabber:client'" SESSION
		" type='chat' to='####@localhost/##' id='########' xml:lang='en'" IDS "><body>hi ####, how are you?</body></message></route>";
	static const char presence[] = ROUTE "<presence xmlns='jabber:client'" SESSION IDS "><show>away</show></presence></route>";
	static const char iq[] = ROUTE "<iq xmlns='jabber:client'" SESSION " type='get' id='r1'" IDS
		"><query xmlns='jabber:iq:roster'/></iq></route>";
	static const char cyrillic[] = "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 ";
	char big[8192], text[2100] = "", russian[2100] = "";

	while (strlen(text) < 2000)
		strcat(text, "the quick brown fox jumps over the lazy dog; ");
	while (strlen(russian) < 2000)
		strcat(russian, cyrillic);
	xml_thread_init();
	measure("chat", chat, false);
	measure("presence", presence, false);
	measure("roster get", iq, false);
	snprintf(big, sizeof(big), ROUTE "<message xmlns='jabber:client'" SESSION " to='bob@localhost/b'" IDS "><body>%s</body></message></route>",
		text);
	measure("chat, 2 KB of ASCII", big, false);
	snprintf(big, sizeof(big), ROUTE "<message xmlns='jabber:client'" SESSION " to='bob@localhost/b'" IDS "><body>%s</body></message></route>",
		russian);
	measure("chat, 2 KB of Cyrillic", big, false);
	measure("chat, by mini-XML", chat, true);
	return 0;
}
