/* oracle.c - what expat says of a document.
 * Threads: any.
 * Owns: one parser a call.
 */
#include "oracle.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

#define URI_MAX 500
#define NAME_MAX_BYTES 256

struct state {
	XML_Parser parser;
	struct oracle *o;
	const struct route_limits *limits;
	uint32_t depth, declared;
	uint32_t in_scope[512]; /* declarations, by depth */
	uint32_t scope;
};

static void on_declaration(void *arg, const char *prefix, const char *uri)
{
	struct state *st = arg;

	st->declared++;
	if (uri && (strpbrk(uri, "|<>&'\"") || strlen(uri) > URI_MAX))
		st->o->over = true;
	if (prefix && strlen(prefix) + 6 > NAME_MAX_BYTES)
		st->o->over = true;
}

static void name_size(struct state *st, const char *name)
{
	const char *bar = strrchr(name, '|');

	if (strlen(bar ? bar + 1 : name) > NAME_MAX_BYTES)
		st->o->over = true;
}

static void on_start(void *arg, const char *name, const char **attrs)
{
	struct state *st = arg;
	uint32_t n = st->declared;

	name_size(st, name);
	st->scope += st->declared;
	if (st->depth < 512)
		st->in_scope[st->depth] = st->declared;
	st->declared = 0;
	for (; *attrs; attrs += 2, n++)
		name_size(st, *attrs);
	st->o->attributes += n;
	st->o->elements++;
	st->depth++;
	if (n > st->limits->attributes || st->depth > st->limits->depth || st->o->elements > st->limits->elements || st->scope > 96)
		st->o->over = true;
}

static void on_end(void *arg, const char *name)
{
	struct state *st = arg;

	(void)name;
	st->depth--;
	if (st->depth < 512)
		st->scope -= st->in_scope[st->depth];
}

static void on_comment(void *arg, const char *text)
{
	(void)text;
	((struct state *)arg)->o->restricted = true;
}

static void on_pi(void *arg, const char *target, const char *data)
{
	(void)data;
	on_comment(arg, target);
}

static void on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int internal)
{
	(void)sysid, (void)pubid, (void)internal;
	on_comment(arg, name);
}

static void on_xmldecl(void *arg, const char *version, const char *encoding, int standalone)
{
	(void)encoding, (void)standalone;
	on_comment(arg, version);
}

/* jabberd2's own way of making its parser. */
static XML_Parser parser_new(void *arg)
{
	XML_Parser p = XML_ParserCreateNS("UTF-8", '|');

	if (!p)
		abort();
	XML_SetUserData(p, arg);
	return p;
}

struct oracle oracle_check(struct span document, const struct route_limits *limits)
{
	struct oracle o = { 0 };
	struct state st = { .o = &o, .limits = limits };

	st.parser = parser_new(&st);
	XML_SetElementHandler(st.parser, on_start, on_end);
	XML_SetNamespaceDeclHandler(st.parser, on_declaration, NULL);
	XML_SetCommentHandler(st.parser, on_comment);
	XML_SetProcessingInstructionHandler(st.parser, on_pi);
	XML_SetStartDoctypeDeclHandler(st.parser, on_doctype);
	XML_SetXmlDeclHandler(st.parser, on_xmldecl);
	o.well_formed = XML_Parse(st.parser, document.p ? document.p : "", (int)document.n, 1) == XML_STATUS_OK;
	XML_ParserFree(st.parser);
	return o;
}

struct digest {
	struct buf *out;
	unsigned want, depth;
	bool inside, done;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool left_out(const struct digest *d, const char *name)
{
	if (d->depth != d->want)
		return false;
	return strcmp(name, "to") == 0 || strcmp(name, "from") == 0 || strncmp(name, NS_SESSION "|", sizeof(NS_SESSION)) == 0;
}

static void digest_start(void *arg, const char *name, const char **attrs)
{
	struct digest *d = arg;
	size_t n = 0;

	d->depth++;
	if (!d->inside && (d->done || d->depth != d->want))
		return;
	d->inside = true;
	buf_fmt(d->out, "(%s", name);
	while (attrs[2 * n])
		n++;
	qsort(attrs, n, 2 * sizeof(*attrs), by_name);
	for (; *attrs; attrs += 2)
		if (!left_out(d, attrs[0]))
			buf_fmt(d->out, " %s=[%s]", attrs[0], attrs[1]);
	buf_str(d->out, ">");
}

static void digest_end(void *arg, const char *name)
{
	struct digest *d = arg;

	(void)name;
	if (d->inside)
		buf_str(d->out, ")");
	if (d->inside && d->depth == d->want) {
		d->inside = false;
		d->done = true;
	}
	d->depth--;
}

static void digest_text(void *arg, const char *text, int n)
{
	struct digest *d = arg;

	if (d->inside)
		buf_put(d->out, span_of(text, (size_t)n));
}

/* Parses the document as on a link, where the stream's own start tag comes first. */
static bool parse_inside(XML_Parser p, const char *around, struct span document, XML_StartElementHandler start, XML_EndElementHandler end)
{
	char open[200];

	snprintf(open, sizeof(open), "<s%s%s%s>", around ? " xmlns='" : "", around ? around : "", around ? "'" : "");
	bool ok = XML_Parse(p, open, (int)strlen(open), 0) == XML_STATUS_OK;
	XML_SetElementHandler(p, start, end);
	ok = ok && XML_Parse(p, document.p, (int)document.n, 0) == XML_STATUS_OK;
	XML_SetElementHandler(p, NULL, NULL);
	return ok && XML_Parse(p, "</s>", 4, 1) == XML_STATUS_OK;
}

bool oracle_digest(struct span document, const char *around, unsigned depth, struct buf *out)
{
	struct digest d = { .out = out, .want = depth };
	XML_Parser p = parser_new(&d);

	XML_SetCharacterDataHandler(p, digest_text);
	bool ok = parse_inside(p, around, document, digest_start, digest_end);
	XML_ParserFree(p);
	return ok;
}

struct reading {
	struct oracle_envelope *e;
	unsigned depth, payload_depth;
	bool payload_seen, payload_open;
};

static void take(struct oracle_envelope *e, struct oracle_value *v, const char *text)
{
	v->present = true;
	e->cut |= snprintf(v->text, sizeof(v->text), "%s", text) >= (int)sizeof(v->text);
}

static void top_attrs(struct oracle_envelope *e, const char **attrs)
{
	for (; *attrs; attrs += 2) {
		const struct {
			const char *name;
			struct oracle_value *v;
		} known[] = { { "to", &e->to }, { "from", &e->from }, { "name", &e->name }, { "type", &e->type }, { "error", &e->error },
			{ "multi", &e->multi } };
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (strcmp(attrs[0], known[i].name) == 0)
				take(e, known[i].v, attrs[1]);
	}
}

static void payload_attrs(struct oracle_envelope *e, const char **attrs)
{
	for (; *attrs; attrs += 2) {
		const struct {
			const char *name;
			struct oracle_value *v;
		} known[] = { { "to", &e->stanza_to }, { "from", &e->stanza_from }, { "type", &e->stanza_type }, { "id", &e->id },
			{ "action", &e->action }, { "target", &e->target }, { NS_SESSION "|c2s", &e->c2s },
			{ NS_SESSION "|sm", &e->sm }, { NS_SESSION "|failed", &e->failed } };
		for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (strcmp(attrs[0], known[i].name) == 0)
				take(e, known[i].v, attrs[1]);
	}
}

static void envelope_start(void *arg, const char *name, const char **attrs)
{
	struct reading *r = arg;

	r->depth++;
	if (r->depth == 1) {
		snprintf(r->e->top, sizeof(r->e->top), "%s", name);
		top_attrs(r->e, attrs);
	}
	if (r->depth == 2 && strcmp(name, NS_COMPONENT "|default") == 0)
		r->e->has_default = true;
	if (r->depth == 2 && strcmp(name, NS_COMPONENT "|log") == 0)
		r->e->has_log = true;
	if (r->depth == r->payload_depth && !r->payload_seen) {
		r->payload_seen = r->payload_open = true;
		snprintf(r->e->payload, sizeof(r->e->payload), "%s", name);
		payload_attrs(r->e, attrs);
	} else if (r->depth == r->payload_depth + 1 && r->payload_open && !r->e->child[0]) {
		snprintf(r->e->child, sizeof(r->e->child), "%s", name);
	}
}

static void envelope_end(void *arg, const char *name)
{
	struct reading *r = arg;

	(void)name;
	if (r->depth-- == r->payload_depth)
		r->payload_open = false;
}

bool oracle_envelope(struct span document, const char *around, unsigned payload_depth, struct oracle_envelope *out)
{
	struct reading r = { .e = out, .payload_depth = payload_depth };
	XML_Parser p = parser_new(&r);

	*out = (struct oracle_envelope){ 0 };
	bool ok = parse_inside(p, around, document, envelope_start, envelope_end);
	XML_ParserFree(p);
	return ok;
}

static void value_start(void *arg, const char *name, const char **attrs)
{
	(void)name;
	buf_str(arg, attrs[1]);
}

void oracle_decode(struct span raw, char quote, struct buf *out)
{
	XML_Parser p = parser_new(out);
	char q[] = { quote, '/', '>' };

	XML_SetStartElementHandler(p, value_start);
	bool ok = XML_Parse(p, quote == '"' ? "<a b=\"" : "<a b='", 6, 0) == XML_STATUS_OK &&
		  XML_Parse(p, raw.n ? raw.p : "", (int)raw.n, 0) == XML_STATUS_OK && XML_Parse(p, q, 3, 1) == XML_STATUS_OK;
	if (!ok)
		buf_str(out, "(ill-formed value)");
	XML_ParserFree(p);
}
