/* config.h - jabberd2's sm.xml: keys are element paths joined by dots, without the root.
 * Threads: read by main, read-only afterwards by any.
 * Owns: the config owns every string that it returns.
 */
#ifndef SHARDSM_CONFIG_H
#define SHARDSM_CONFIG_H

#include "shardsm/span.h"

struct config;

struct config_value {
	struct span text;   /* as jabberd2 reads it: text before the first child, not trimmed, "1" for an element with no text; ${key} expanded */
	int line;           /* where the element begins */
	const void *node;
};

/* Reads the file. NULL: the reason with file and line was written to stderr. id: -i, NULL for none. Resets mini-XML's callbacks of this thread:
 * before xml_thread_init(). */
struct config *config_load(const char *path, const char *id) MUST_USE;
/* Complaints, one line each, go to fn instead of stderr from now on; NULL: to stderr. Main's. */
void config_complain_to(void (*fn)(const char *line, void *arg), void *arg);
void config_free(struct config **config);
const char *config_path(const struct config *config);

uint32_t config_count(const struct config *config, const char *key);
const struct config_value *config_get(const struct config *config, const char *key, uint32_t i); /* NULL: no such */
struct span config_attr(const struct config_value *v, const char *name); /* p NULL: absent */
/* The i-th value directly below v (repeated modules in a chain): name is the child element's name. NULL: no more. */
const struct config_value *config_below(const struct config *config, const struct config_value *v, const char *name, uint32_t i);

/* First value of key, trimmed; fallback when the key is absent. */
struct span config_text(const struct config *config, const char *key, const char *fallback);
bool config_has(const struct config *config, const char *key); /* jabberd2's presence test: <x>false</x> is present */

/* Numbers: trimmed, decimal, within [min, max]. A bad one is an error (element, line, reason, what would be right) counted in
 * config_errors(), and fallback is returned: read everything, then ask once. */
int64_t config_int(struct config *config, const char *key, int64_t fallback, int64_t min, int64_t max);
int64_t config_attr_int(struct config *config, const struct config_value *v, const char *name, int64_t fallback, int64_t min, int64_t max);
int64_t config_value_int(struct config *config, const struct config_value *v, int64_t fallback, int64_t min, int64_t max); /* v NULL: fallback */
struct span config_value_text(const struct config_value *v); /* trimmed */
void config_bad(struct config *config, const struct config_value *v, const char *reason, ...) PRINTF_LIKE(3, 4);
/* Do both hold the same below a key, in the same order? but: a key below it that may differ; NULL: none. */
bool config_same(const struct config *a, const struct config *b, const char *key, const char *but) MUST_USE;
int config_errors(const struct config *config);
/* Logs a warning with element and line for every element that neither jabberd2's sm nor shardsm knows. */
void config_warn_unknown(const struct config *config);

#endif
