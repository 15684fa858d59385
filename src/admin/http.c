/* http.c - HTTP/1.1 as far as GET /metrics needs it: one request for each connection.
 * Threads: main's.
 * Owns: nothing.
 * Source: RFC 9112; the text format of Prometheus, version 0.0.4. Bodies of requests are not read.
 */
#include "admin/admin.h"

static void reply(struct admin *admin, struct connection *c, const char *status, struct span body, bool head)
{
	buf_fmt(&c->out, "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %u\r\n"
			 "Allow: GET, HEAD\r\nConnection: close\r\n\r\n", status, body.n);
	if (!head)
		buf_put(&c->out, body);
	connection_answer(admin, c);
}

/* The next word of the first line, up to a space or the line's end. */
static struct span word(const char **at, const char *end)
{
	const char *from = *at;

	while (*at < end && **at != ' ')
		(*at)++;
	struct span s = span_of(from, (size_t)(*at - from));

	if (*at < end)
		(*at)++;
	return s;
}

static void metrics(struct admin *admin, struct connection *c, bool head)
{
	struct buf body;

	buf_init(&body);
	metrics_write(admin, &body);
	if (body.failed)
		reply(admin, c, "503 Service Unavailable", SPAN("out of memory\n"), head);
	else
		reply(admin, c, "200 OK", buf_span(&body), head);
	buf_free(&body);
}

void http_asked(struct admin *admin, struct connection *c, bool whole)
{
	const char *at = c->in, *end = memmem(c->in, c->in_len, "\r\n", 2);

	if (!memmem(c->in, c->in_len, "\r\n\r\n", 4)) {
		if (whole)
			reply(admin, c, c->in_len == sizeof(c->in) ? "431 Request Header Fields Too Large" : "400 Bad Request",
				SPAN("wanted: GET /metrics HTTP/1.1, an empty line behind the header\n"), false);
		return;
	}
	struct span method = word(&at, end), target = word(&at, end), version = word(&at, end);
	const char *query = memchr(target.p, '?', target.n);
	struct span path = query ? span_of(target.p, (size_t)(query - target.p)) : target;
	bool head = span_is(method, "HEAD");

	if (at != end || version.n != 8 || memcmp(version.p, "HTTP/1.", 7) != 0 || !target.n)
		reply(admin, c, "400 Bad Request", SPAN("wanted: GET /metrics HTTP/1.1\n"), false);
	else if (!head && !span_is(method, "GET"))
		reply(admin, c, "405 Method Not Allowed", SPAN("wanted: GET\n"), false);
	else if (!span_is(path, "/metrics"))
		reply(admin, c, "404 Not Found", SPAN("wanted: /metrics\n"), head);
	else
		metrics(admin, c, head);
}
