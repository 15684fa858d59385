/* config-file.c - reads an XML file with mini-XML into a flat list of elements that know their line.
 * Threads: main, at start.
 * Owns: see config-file.h. mini-XML's own tree lives only while the file is read.
 */
#include "core/config-file.h"

#include <errno.h>
#include <mxml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A config file is written by hand; what is larger than this is the wrong file. */
#define FILE_MAX ((size_t)16 << 20)

struct reader {
	struct config_file *file;
	FILE *stream;
	struct config_element *open; /* the innermost open element */
	bool root_seen;
};

/* mini-XML's error callback takes no argument of ours. */
static _Thread_local struct reader *reading;

void *config_must(void *p)
{
	if (!p) {
		fputs("shardsm: out of memory while the configuration was read\n", stderr);
		exit(1);
	}
	return p;
}

static int line_at(const struct config_file *file, size_t offset)
{
	int line = 1;
	for (size_t i = 0; i < offset && i < file->len; i++)
		line += file->bytes[i] == '\n';
	return line;
}

static size_t position(const struct reader *r)
{
	long at = ftell(r->stream);
	return at < 0 ? 0 : (size_t)at;
}

/* Where the tag begins whose '>' was just read: mini-XML reports an element when its start tag has ended. */
static size_t tag_start(const struct reader *r)
{
	size_t at = position(r);
	if (at > r->file->len)
		at = r->file->len;
	while (at > 0 && r->file->bytes[at - 1] != '<')
		at--;
	return at;
}

/* The first fault is the one that counts: the others follow from it. */
static void fault(struct config_file *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fault(struct config_file *file, int line, const char *fmt, ...)
{
	va_list args;
	if (file->fault[0])
		return;
	va_start(args, fmt);
	vsnprintf(file->fault, sizeof(file->fault), fmt, args);
	va_end(args);
	file->fault_line = line;
}

/* mini-XML's message ends in a line count of its own, which is off in opaque mode; ours is exact. */
static void on_mxml_error(const char *message)
{
	struct reader *r = reading;
	if (!r)
		return;
	const char *end = strstr(message, " under parent");
	if (!end)
		end = strstr(message, " on line");
	if (!end)
		end = message + strlen(message);
	while (end > message && end[-1] == '.')
		end--;
	int line = line_at(r->file, position(r));
	if (r->open && strncmp(message, "Missing close tag", 17) == 0)
		fault(r->file, r->open->value.line, "<%s> is not closed", r->open->name);
	else if (r->open)
		fault(r->file, line, "%.*s inside <%s> of line %d", (int)(end - message), message, r->open->name,
			r->open->value.line);
	else
		fault(r->file, line, "%.*s", (int)(end - message), message);
}

struct config_element *config_file_add(struct config_file *file, struct config_element *parent, const char *name)
{
	struct config_element *e = config_must(calloc(1, sizeof(*e)));
	e->parent = parent;
	e->name = config_must(strdup(name));
	if (parent && parent->key[0]) {
		size_t n = strlen(parent->key) + strlen(name) + 2;
		e->key = config_must(malloc(n));
		snprintf(e->key, n, "%s.%s", parent->key, name);
	} else {
		e->key = config_must(strdup(parent || !file->path ? name : ""));
	}
	e->value.node = e;
	if (file->last)
		file->last->next = e;
	else
		file->first = e;
	file->last = e;
	return e;
}

void config_element_append(struct config_element *e, struct span text)
{
	e->text = config_must(realloc(e->text, e->text_len + text.n + 1));
	memcpy(e->text + e->text_len, text.p, text.n);
	e->text_len += text.n;
	e->text[e->text_len] = '\0';
}

static void on_open(struct reader *r, mxml_node_t *node)
{
	size_t at = tag_start(r);
	const char *name = mxmlGetElement(node);
	int line = line_at(r->file, at);
	if (!r->open && r->root_seen)
		fault(r->file, line, "<%s> follows the end of the file's only root element", name);
	if (r->open)
		r->open->text_ended = true;
	r->root_seen = true;
	struct config_element *e = config_file_add(r->file, r->open, name);
	e->value.line = line;
	int n = mxmlElementGetAttrCount(node);
	e->attrs = n > 0 ? config_must(calloc((size_t)n, sizeof(*e->attrs))) : NULL;
	for (int i = 0; i < n; i++) {
		const char *attr = NULL, *value = mxmlElementGetAttrByIndex(node, i, &attr);
		if (!attr)
			continue;
		struct config_element_attr *a = &e->attrs[e->nattrs++];
		a->name = config_must(strdup(attr));
		a->value = span_str(config_must(strdup(value ? value : "")));
	}
	r->open = e;
}

static void on_text(struct reader *r, struct span text)
{
	static const char space[] = " \t\r\n";
	if (r->open) {
		if (!r->open->text_ended)
			config_element_append(r->open, text);
		return;
	}
	for (uint32_t i = 0; i < text.n; i++) {
		if (!memchr(space, text.p[i], sizeof(space) - 1)) {
			fault(r->file, line_at(r->file, position(r)), "text outside of the root element");
			return;
		}
	}
}

static void on_event(mxml_node_t *node, mxml_sax_event_t event, void *arg)
{
	struct reader *r = arg;
	switch (event) {
	case MXML_SAX_ELEMENT_OPEN:
		on_open(r, node);
		break;
	case MXML_SAX_ELEMENT_CLOSE:
		if (r->open) {
			r->open->closed = true;
			r->open = r->open->parent;
		}
		break;
	case MXML_SAX_DATA:
		on_text(r, span_str(mxmlGetOpaque(node)));
		break;
	case MXML_SAX_CDATA:
		on_text(r, span_str(mxmlGetCDATA(node)));
		break;
	default: /* comments and processing instructions say nothing to a program */
		break;
	}
}

static bool read_bytes(struct config_file *file)
{
	FILE *in = fopen(file->path, "re");
	if (!in) {
		fault(file, 0, "cannot be opened (%s)", strerror(errno));
		return false;
	}
	size_t cap = 0;
	do {
		cap = cap ? cap * 2 : 65536;
		file->bytes = config_must(realloc(file->bytes, cap));
		file->len += fread(file->bytes + file->len, 1, cap - file->len, in);
	} while (file->len == cap && cap < FILE_MAX);
	if (ferror(in))
		fault(file, 0, "cannot be read (%s)", strerror(errno));
	else if (file->len == cap)
		fault(file, 0, "is no config file (more than %zu bytes)", FILE_MAX);
	else if (file->len == 0)
		fault(file, 0, "is empty");
	fclose(in);
	return !file->fault[0];
}

/* mini-XML drops text that nothing follows. */
static void check_tail(struct config_file *file)
{
	size_t at = file->len;
	while (at > 0 && file->bytes[at - 1] != '>')
		at--;
	for (; at < file->len; at++)
		if (!strchr(" \t\r\n", file->bytes[at]) || !file->bytes[at])
			fault(file, line_at(file, at), "text outside of the root element");
}

bool config_file_read(struct config_file *file, const char *path)
{
	struct reader r = { .file = file };
	file->path = path;
	if (!read_bytes(file))
		return false;
	r.stream = config_must(fmemopen(file->bytes, file->len, "r"));
	/* A parent of our own makes mini-XML check that the root is closed, and everything of a refused file hangs off
	 * it. No end tag can have this name. */
	mxml_node_t *top = config_must(mxmlNewElement(NULL, "\x01"));
	mxmlSetErrorCallback(on_mxml_error);
	reading = &r;
	mxml_node_t *ok = mxmlSAXLoadFile(top, r.stream, MXML_OPAQUE_CALLBACK, on_event, &r);
	reading = NULL;
	if (r.open)
		fault(file, r.open->value.line, "<%s> is not closed", r.open->name);
	else if (!ok)
		fault(file, line_at(file, position(&r)), "not well-formed XML");
	else if (!r.root_seen)
		fault(file, 1, "no XML element");
	else if (position(&r) < file->len)
		fault(file, line_at(file, position(&r)), "a byte that is not allowed in XML");
	else
		check_tail(file);
	mxmlDelete(top);
	fclose(r.stream);
	return !file->fault[0];
}

void config_file_free(struct config_file *file)
{
	struct config_element *next;
	for (struct config_element *e = file->first; e; e = next) {
		next = e->next;
		for (int i = 0; i < e->nattrs; i++) {
			free(e->attrs[i].name);
			free((char *)e->attrs[i].value.p);
		}
		free(e->attrs);
		free(e->name);
		free(e->key);
		free(e->text);
		free(e);
	}
	free(file->bytes);
	*file = (struct config_file){ 0 };
}
