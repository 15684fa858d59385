/* compare.c - a struct route held against what expat reads in the same frame.
 * Threads: any.
 * Owns: what it allocates, until it returns.
 */
#include "compare.h"

#include <stdlib.h>

#include "oracle.h"

struct held {
	const struct route *r;
	const char *frame;
	const struct oracle_envelope *e;
};

static bool value_ok(const struct held *h, struct slice s, const struct oracle_value *v)
{
	return v->present == (s.off != 0) && span_is(slice_of(h->frame, s), v->text);
}

/* "namespace|local" */
static struct span local_of(const char *name)
{
	const char *bar = strrchr(name, '|');
	return span_str(bar ? bar + 1 : name);
}

static struct span ns_of(const char *name)
{
	const char *bar = strrchr(name, '|');
	return bar ? span_of(name, (size_t)(bar - name)) : (struct span){ 0 };
}

/* A stanza's namespace; a component may say either on its link. */
static bool is_stanzas(struct span ns, bool accept)
{
	return span_is(ns, NS_CLIENT) || (accept && span_is(ns, NS_ACCEPT));
}

static enum element expected_element(const char *top, bool accept)
{
	static const struct {
		const char *name;
		enum element element;
	} names[] = { { "route", EL_ROUTE }, { "presence", EL_ADVERT }, { "bind", EL_BIND }, { "unbind", EL_UNBIND }, { "throttle", EL_THROTTLE } };

	if (accept)
		return is_stanzas(ns_of(top), true) && (span_is(local_of(top), "message") || span_is(local_of(top), "presence") ||
			span_is(local_of(top), "iq")) ? EL_STANZA : EL_OTHER;
	for (size_t i = 0; span_is(ns_of(top), NS_COMPONENT) && i < sizeof(names) / sizeof(*names); i++)
		if (span_is(local_of(top), names[i].name))
			return names[i].element;
	return EL_OTHER;
}

static enum payload expected_payload(const char *payload, bool accept)
{
	struct span local = local_of(payload), ns = ns_of(payload);

	if (!*payload)
		return PL_NONE;
	if (is_stanzas(ns, accept))
		return span_is(local, "message") ? PL_MESSAGE : span_is(local, "presence") ? PL_PRESENCE : span_is(local, "iq") ? PL_IQ : PL_CLIENT;
	if (span_is(ns, NS_SESSION))
		return span_is(local, "session") ? PL_SESSION : span_is(local, "sessions") ? PL_SESSIONS : PL_OTHER;
	return PL_OTHER;
}

static unsigned expected_error(const struct oracle_value *v)
{
	char *end;
	unsigned long n = strtoul(v->text, &end, 10);

	if (!v->present)
		return 0;
	return *v->text == '\0' || *end || n == 0 || n > 65535 || v->text[0] == ' ' ? 500 : (unsigned)n;
}

static enum route_type expected_type(const struct oracle_value *v)
{
	if (!v->present)
		return RT_UNICAST;
	return strcmp(v->text, "broadcast") == 0 ? RT_BROADCAST : strcmp(v->text, "log") == 0 ? RT_LOG : RT_OTHER;
}

static const char *compare_top(const struct held *h, bool accept)
{
	const struct route *r = h->r;
	const struct oracle_envelope *e = h->e;

	if (!value_ok(h, r->to, &e->to))
		return "to";
	if (!value_ok(h, r->from, &e->from))
		return "from";
	if (accept)
		return r->name.off || r->error || r->type != RT_UNICAST ? "a route's own fields on a stanza" : NULL;
	if (!value_ok(h, r->name, &e->name))
		return "name";
	if (r->error != expected_error(&e->error))
		return "error";
	if (r->type != expected_type(&e->type))
		return "type";
	if (r->element == EL_ADVERT && !value_ok(h, r->stanza_type, &e->type))
		return "stanza_type of an advert";
	if (!!(r->flags & ROUTE_MULTI) != (strcmp(e->multi.text, "to") == 0))
		return "multi";
	if (!!(r->flags & ROUTE_DEFAULT) != (r->element == EL_BIND && e->has_default))
		return "default";
	if (!!(r->flags & ROUTE_LOG) != (r->element == EL_BIND && e->has_log))
		return "log";
	return NULL;
}

static const char *compare_child(const struct held *h)
{
	const struct route *r = h->r;

	if (!span_eq(slice_of(h->frame, r->child), local_of(h->e->child)) || (r->child.off != 0) != (*h->e->child != '\0'))
		return "child";
	struct span tag = slice_of(h->frame, r->tag);
	bool prefixed = memchr(tag.p, ':', tag.n) != NULL;
	if (r->child_ns.off)
		return span_eq(slice_of(h->frame, r->child_ns), ns_of(h->e->child)) ? NULL : "child_ns";
	if (!prefixed && r->child.off && !span_eq(ns_of(h->e->child), ns_of(h->e->payload)))
		return "child_ns absent";
	return NULL;
}

static const char *compare_payload(const struct held *h, bool accept)
{
	static const struct oracle_value none;
	const struct route *r = h->r;
	const struct oracle_envelope *e = h->e;
	const struct oracle_value *c2s = accept ? &none : &e->c2s, *sm = accept ? &none : &e->sm, *failed = accept ? &none : &e->failed;

	if (!value_ok(h, r->stanza_to, &e->stanza_to) || !!(r->flags & ROUTE_TO) != e->stanza_to.present)
		return "stanza_to";
	if (!value_ok(h, r->stanza_from, &e->stanza_from))
		return "stanza_from";
	if (!value_ok(h, r->stanza_type, &e->stanza_type))
		return "stanza_type";
	if (!value_ok(h, r->action, &e->action))
		return "action";
	if (!value_ok(h, r->target, &e->target))
		return "target";
	if (!value_ok(h, r->c2s, c2s) || !!(r->flags & ROUTE_HAS_C2S) != c2s->present)
		return "c2s";
	if (!value_ok(h, r->sm, sm) || !!(r->flags & ROUTE_HAS_SM) != sm->present)
		return "sm";
	if (!!(r->flags & ROUTE_FAILED) != failed->present)
		return "failed";
	struct span id = slice_of(h->frame, r->id);
	if ((r->id.off != 0) != e->id.present || memchr(id.n ? id.p : "", '\'', id.n) || memchr(id.n ? id.p : "", '"', id.n))
		return "id";
	struct buf decoded;
	buf_init(&decoded);
	oracle_decode(id, '\'', &decoded);
	bool same = span_is(buf_span(&decoded), e->id.text);
	buf_free(&decoded);
	return same ? compare_child(h) : "id's value";
}

const char *compare_envelope(const struct route *r, const char *frame, bool accept)
{
	struct oracle_envelope e;
	struct held h = { r, frame, &e };

	if (!oracle_envelope(span_of(frame, r->len), accept ? NS_ACCEPT : NULL, accept ? 1 : 2, &e))
		return "not well-formed";
	if (e.cut)
		return NULL;
	if (r->element != expected_element(e.top, accept))
		return "element";
	if (r->element == EL_OTHER)
		return NULL;
	const char *what = compare_top(&h, accept);
	if (what || (r->element != EL_ROUTE && r->element != EL_STANZA))
		return what;
	if (r->payload != expected_payload(e.payload, accept))
		return "payload";
	return r->payload == PL_NONE ? NULL : compare_payload(&h, accept);
}

/* As the frame is sent on: a new start tag in the namespace that it had, the old content, the old end tag. */
static void forward(const struct route *r, const char *frame, struct span ns, struct buf *out)
{
	struct span tag = slice_of(frame, r->tag);

	buf_str(out, "<");
	buf_put(out, tag);
	buf_str(out, " xmlns='");
	buf_put(out, ns);
	buf_str(out, "'");
	if (r->flags & ROUTE_SESSION_PREFIX) {
		buf_str(out, " xmlns:");
		buf_put(out, slice_of(frame, r->session_prefix));
		buf_str(out, "='" NS_SESSION "'");
	}
	for (unsigned i = 0; i < r->nattrs; i++) {
		buf_str(out, " ");
		buf_put(out, slice_of(frame, r->attrs[i].name));
		buf_fmt(out, "=%c", r->attrs[i].quote);
		buf_put(out, slice_of(frame, r->attrs[i].value));
		buf_fmt(out, "%c", r->attrs[i].quote);
	}
	buf_str(out, " to='b@localhost'>");
	buf_put(out, slice_of(frame, r->content));
	buf_str(out, "</");
	buf_put(out, tag);
	buf_str(out, ">");
}

const char *compare_forwarded(const struct route *r, const char *frame, bool accept)
{
	struct buf out, as_came, as_sent;
	struct oracle_envelope e;
	const char *what = NULL;

	if (r->payload < PL_MESSAGE || r->payload > PL_CLIENT)
		return NULL;
	if (!oracle_envelope(span_of(frame, r->len), accept ? NS_ACCEPT : NULL, accept ? 1 : 2, &e))
		return "not well-formed";
	if (e.cut)
		return NULL;
	buf_init(&out);
	buf_init(&as_came);
	buf_init(&as_sent);
	forward(r, frame, ns_of(e.payload), &out);
	if (!!(r->flags & ROUTE_ENDS_EMPTY) != (frame[r->start.off + r->start.len - 2] == '/'))
		what = "an end tag";
	if (!oracle_digest(buf_span(&out), NULL, 1, &as_sent))
		what = "what is sent on is not well-formed";
	if (!oracle_digest(span_of(frame, r->len), accept ? NS_ACCEPT : NULL, accept ? 1 : 2, &as_came))
		what = "what came is not well-formed";
	/* Unqualified content of a payload under a prefix changes its namespace: see route.h. */
	bool prefixed = memchr(frame + r->tag.off, ':', r->tag.len) != NULL;
	if (!what && !prefixed && !span_eq(buf_span(&as_came), buf_span(&as_sent)))
		what = "what is sent on differs";
	buf_free(&out);
	buf_free(&as_came);
	buf_free(&as_sent);
	return what;
}

#define EXTRA 16384

static const char *compare_mxml(const struct route *scanned, struct span frame, bool accept)
{
	struct route r = *scanned;
	char *copy = malloc(frame.n + EXTRA);
	const char *what = "no memory";

	if (copy) {
		memcpy(copy, frame.p, frame.n);
		what = "route_mxml() failed";
		if (route_mxml(&r, copy, copy + frame.n, EXTRA)) {
			what = r.flags & ROUTE_ODD ? "still odd" : compare_envelope(&r, copy, accept);
			what = what ? what : compare_forwarded(&r, copy, accept);
		}
	}
	free(copy);
	return what;
}

const char *compare_readers(struct span frame, bool accept, unsigned *odd)
{
	static const char header[] = "<s:stream xmlns:s='" NS_STREAMS "'>";
	struct route_scanner s;
	struct route r;
	size_t used;

	route_scanner_init(&s, NULL);
	s.accept = accept;
	if (route_next(&s, header, sizeof(header) - 1, &r, &used) != ROUTE_HEADER)
		return "no header";
	if (route_next(&s, frame.p, frame.n, &r, &used) != ROUTE_OK || used != frame.n || r.len != frame.n)
		return "not passed";
	if (r.element == EL_REFUSED)
		return NULL;
	if (r.flags & ROUTE_ODD)
		++*odd;
	else if (compare_envelope(&r, frame.p, accept))
		return compare_envelope(&r, frame.p, accept);
	else if (compare_forwarded(&r, frame.p, accept))
		return compare_forwarded(&r, frame.p, accept);
	return compare_mxml(&r, frame, accept);
}

bool compare_same(const struct route *a, const struct route *b)
{
	if (memcmp(a, b, offsetof(struct route, attrs)) != 0)
		return false;
	for (int i = 0; i < a->nattrs; i++)
		if (memcmp(&a->attrs[i].name, &b->attrs[i].name, 2 * sizeof(struct slice)) != 0 || a->attrs[i].quote != b->attrs[i].quote)
			return false;
	return true;
}
