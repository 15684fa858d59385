/* config.c - jabberd2's config file: keys, values, ${} and what to say about mistakes.
 * Threads: main reads; read-only afterwards.
 * Owns: struct config owns the elements and every string that it returns.
 * Source: the rules of jabberd2 2.7.0's config reader.
 */
#include "shardsm/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config-file.h"
#include "shardsm/log.h"

#define COMPLAINT_MAX 2048 /* bytes of a line; a longer one is cut */

struct config {
	struct config_file file;
	char *path;
	int errors;
};

static void to_stderr(const char *line, void *arg)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static struct {
	void (*fn)(const char *line, void *arg);
	void *arg;
} complaints = { to_stderr, NULL };

void config_complain_to(void (*fn)(const char *line, void *arg), void *arg)
{
	complaints.fn = fn ? fn : to_stderr;
	complaints.arg = arg;
}

static void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void complain(const char *fmt, ...)
{
	char line[COMPLAINT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	complaints.fn(line, complaints.arg);
}

static const struct config_element *element_of(const struct config_value *v)
{
	return v->node;
}

static struct span trim(struct span s)
{
	static const char space[] = " \t\r\n";
	while (s.n && memchr(space, s.p[0], 4)) {
		s.p++;
		s.n--;
	}
	while (s.n && memchr(space, s.p[s.n - 1], 4))
		s.n--;
	return s;
}

/* The first value of a key among the elements before end. The root's own key is empty and matches nothing. */
static const struct config_value *value_before(const struct config_file *file, struct span key,
	const struct config_element *end)
{
	for (const struct config_element *e = file->first; key.n && e && e != end; e = e->next)
		if (span_eq(span_str(e->key), key))
			return &e->value;
	return NULL;
}

/* Writes e's value, every ${key} in it replaced. Only keys that stand earlier in the file count, so there are no cycles. */
static bool expand(struct config *config, struct config_element *e)
{
	struct config_element out = { 0 };
	struct span raw = e->text_len ? span_of(e->text, e->text_len) : SPAN("1");
	const char *p = raw.p, *end = raw.p + raw.n;
	while (p < end) {
		const char *dollar = memmem(p, (size_t)(end - p), "${", 2);
		config_element_append(&out, span_of(p, (size_t)((dollar ? dollar : end) - p)));
		if (!dollar)
			break;
		const char *close = memchr(dollar, '}', (size_t)(end - dollar));
		if (!close) {
			config_bad(config, &e->value, "\"${\" without its \"}\"");
			free(out.text);
			return false;
		}
		struct span key = span_of(dollar + 2, (size_t)(close - dollar - 2));
		const struct config_value *v = value_before(&config->file, key, e);
		if (!v) {
			config_bad(config, &e->value, "${" SPAN_FMT "} is not known here: it must name an element further up, as in ${id}",
				SPAN_ARG(key));
			free(out.text);
			return false;
		}
		config_element_append(&out, v->text);
		p = close + 1;
	}
	free(e->text);
	e->text = out.text;
	e->text_len = out.text_len;
	e->value.text = span_of(e->text, e->text_len);
	return true;
}

static bool expand_all(struct config *config)
{
	for (struct config_element *e = config->file.first; e; e = e->next)
		if (!expand(config, e))
			return false;
	return true;
}

struct config *config_load(const char *path, const char *id)
{
	struct config *config = config_must(calloc(1, sizeof(*config)));
	config->path = config_must(strdup(path));
	if (id) {
		struct config_element *e = config_file_add(&config->file, NULL, "id");
		config_element_append(e, span_str(id));
	}
	if (!config_file_read(&config->file, config->path)) {
		if (config->file.fault_line)
			complain("%s:%d: %s", path, config->file.fault_line, config->file.fault);
		else
			complain("%s: %s", path, config->file.fault);
		config_free(&config);
	} else if (!expand_all(config)) {
		config_free(&config);
	}
	return config;
}

void config_free(struct config **config)
{
	if (!*config)
		return;
	config_file_free(&(*config)->file);
	free((*config)->path);
	free(*config);
	*config = NULL;
}

const char *config_path(const struct config *config)
{
	return config->path;
}

const struct config_value *config_get(const struct config *config, const char *key, uint32_t i)
{
	for (const struct config_element *e = config->file.first; e; e = e->next)
		if (e->key[0] && strcmp(e->key, key) == 0 && i-- == 0)
			return &e->value;
	return NULL;
}

uint32_t config_count(const struct config *config, const char *key)
{
	uint32_t n = 0;
	while (config_get(config, key, n))
		n++;
	return n;
}

struct span config_attr(const struct config_value *v, const char *name)
{
	const struct config_element *e = element_of(v);
	for (int i = 0; i < e->nattrs; i++)
		if (strcmp(e->attrs[i].name, name) == 0)
			return e->attrs[i].value;
	return (struct span){ 0 };
}

const struct config_value *config_below(const struct config *config, const struct config_value *v, const char *name,
	uint32_t i)
{
	const struct config_element *parent = element_of(v);
	(void)config;
	for (const struct config_element *e = parent->next; e; e = e->next)
		if (e->parent == parent && strcmp(e->name, name) == 0 && i-- == 0)
			return &e->value;
	return NULL;
}

struct span config_value_text(const struct config_value *v)
{
	return trim(v->text);
}

struct span config_text(const struct config *config, const char *key, const char *fallback)
{
	const struct config_value *v = config_get(config, key, 0);
	return v ? trim(v->text) : span_str(fallback);
}

bool config_has(const struct config *config, const char *key)
{
	return config_get(config, key, 0) != NULL;
}

static void vbad(struct config *config, const struct config_value *v, const char *attr, const char *reason, va_list args)
	PRINTF_LIKE(4, 0);
static void vbad(struct config *config, const struct config_value *v, const char *attr, const char *reason, va_list args)
{
	char why[COMPLAINT_MAX], line[24] = "";
	const char *where = v && !v->line ? "-i" : config->path, *key = v ? element_of(v)->key : "";

	config->errors++;
	if (v && v->line)
		snprintf(line, sizeof(line), ":%d", v->line);
	vsnprintf(why, sizeof(why), reason, args);
	complain("%s%s: %s%s%s%s%s", where, line, key, attr ? "/@" : "", attr ? attr : "", v ? ": " : "", why);
}

void config_bad(struct config *config, const struct config_value *v, const char *reason, ...)
{
	va_list args;
	va_start(args, reason);
	vbad(config, v, NULL, reason, args);
	va_end(args);
}

static void bad_attr(struct config *config, const struct config_value *v, const char *attr, const char *reason, ...)
	PRINTF_LIKE(4, 5);
static void bad_attr(struct config *config, const struct config_value *v, const char *attr, const char *reason, ...)
{
	va_list args;
	va_start(args, reason);
	vbad(config, v, attr, reason, args);
	va_end(args);
}

/* Whole text, decimal. */
static bool parse_int(struct span text, int64_t *out)
{
	char digits[24], *end;
	text = trim(text);
	if (text.n == 0 || text.n >= sizeof(digits))
		return false;
	memcpy(digits, text.p, text.n);
	digits[text.n] = '\0';
	if (digits[0] != '-' && (digits[0] < '0' || digits[0] > '9'))
		return false;
	errno = 0;
	*out = strtoll(digits, &end, 10);
	return errno == 0 && *end == '\0' && end != digits;
}

static int64_t number(struct config *config, const struct config_value *v, const char *attr, const int64_t range[3])
{
	struct span text = attr ? config_attr(v, attr) : v->text;
	int64_t n;
	if (parse_int(text, &n) && n >= range[1] && n <= range[2])
		return n;
	text = trim(text);
	bad_attr(config, v, attr, "\"" SPAN_FMT "\" is not a number from %lld to %lld", SPAN_ARG(text), (long long)range[1],
		(long long)range[2]);
	return range[0];
}

int64_t config_int(struct config *config, const char *key, int64_t fallback, int64_t min, int64_t max)
{
	return config_value_int(config, config_get(config, key, 0), fallback, min, max);
}

int64_t config_value_int(struct config *config, const struct config_value *v, int64_t fallback, int64_t min, int64_t max)
{
	return v ? number(config, v, NULL, (const int64_t[]){ fallback, min, max }) : fallback;
}

int64_t config_attr_int(struct config *config, const struct config_value *v, const char *name, int64_t fallback,
	int64_t min, int64_t max)
{
	return config_attr(v, name).p ? number(config, v, name, (const int64_t[]){ fallback, min, max }) : fallback;
}

/* Is a key that one, or below it? */
static bool below(const char *key, const char *top)
{
	size_t n = strlen(top);

	return strncmp(key, top, n) == 0 && (key[n] == '\0' || key[n] == '.');
}

/* The next element at or below key and not at or below but, behind e; e NULL: from the first one. */
static const struct config_element *next_below(const struct config *config, const struct config_element *e, const char *key, const char *but)
{
	for (e = e ? e->next : config->file.first; e; e = e->next)
		if (below(e->key, key) && !(but && below(e->key, but)))
			break;
	return e;
}

static bool same_attrs(const struct config_element *a, const struct config_element *b)
{
	for (int i = 0; i < a->nattrs && a->nattrs == b->nattrs; i++)
		if (!span_eq(config_attr(&b->value, a->attrs[i].name), a->attrs[i].value))
			return false;
	return a->nattrs == b->nattrs;
}

bool config_same(const struct config *a, const struct config *b, const char *key, const char *but)
{
	const struct config_element *x = next_below(a, NULL, key, but), *y = next_below(b, NULL, key, but);

	while (x && y && strcmp(x->key, y->key) == 0 && span_eq(trim(x->value.text), trim(y->value.text)) && same_attrs(x, y)) {
		x = next_below(a, x, key, but);
		y = next_below(b, y, key, but);
	}
	return !x && !y;
}

int config_errors(const struct config *config)
{
	return config->errors;
}

void config_warn_unknown(const struct config *config)
{
	for (const struct config_element *e = config->file.first; e; e = e->next) {
		/* What stands below an unknown element is unknown with it: one line is enough. */
		if (e->parent && config_key_known(e->parent->key) && !config_key_known(e->key))
			log_warning("%s:%d: %s: unknown element, ignored", config->path, e->value.line, e->key);
	}
}
