/* config-file.h - the elements of a config file, before their values get a meaning.
 * Threads: main, at start.
 * Owns: a list of elements in document order; each owns its strings.
 */
#ifndef SHARDSM_CORE_CONFIG_FILE_H
#define SHARDSM_CORE_CONFIG_FILE_H

#include "shardsm/config.h"

struct config_element_attr {
	char *name;
	struct span value; /* p is never NULL */
};

struct config_element {
	struct config_value value; /* first member: a value leads back to its element */
	struct config_element *parent, *next; /* next: in document order */
	char *name;
	char *key; /* path below the root, joined by dots; "" for the root */
	char *text;
	size_t text_len;
	bool text_ended; /* a child element has begun, or the element is closed */
	bool closed;
	struct config_element_attr *attrs;
	int nattrs;
};

/* What was read, and where the first fault is. */
struct config_file {
	const char *path;
	char *bytes; /* the whole file */
	size_t len;
	struct config_element *first, *last;
	char fault[256]; /* empty: none */
	int fault_line;
};

/* False: the file cannot be read or is not well-formed; fault and fault_line (0: no line) say why. Free it in both cases. */
bool config_file_read(struct config_file *file, const char *path) MUST_USE;
void config_file_free(struct config_file *file);
/* Appends an element behind all others. parent may be NULL. */
struct config_element *config_file_add(struct config_file *file, struct config_element *parent, const char *name);
void config_element_append(struct config_element *e, struct span text);

/* True: jabberd2's sm or shardsm reads this element, or one below it. */
bool config_key_known(const char *key);

/* Memory at start: there is nothing to serve yet, so a failed allocation ends the program. */
void *config_must(void *p) MUST_USE;

#endif
