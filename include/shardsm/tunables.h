/* tunables.h - options that may change while the server runs: read aside, put in force all at once.
 * Threads: main's. What is live is read by shards, and changed only while they stand still (standstill.h).
 * Owns: a change owns what was read; once it is applied, what was in force before.
 */
#ifndef SHARDSM_TUNABLES_H
#define SHARDSM_TUNABLES_H

#include "shardsm/config.h"

struct tunables {
	void *live; /* a struct; its type is known to who reads it */
	size_t size;
	/* NULL: there are no options. into: zeroed, like live. Spans of the config may be kept: it lives as long. False: no memory. Bad values are config_bad()'s. */
	bool (*read)(struct config *config, void *into);
	void (*drop)(void *old); /* frees what read() allocated, its failures included; NULL: nothing */
};

struct change;
struct change *change_new(void) MUST_USE; /* NULL: no memory */
/* Reads one set aside, if there is one; call it for each. False: no memory. */
bool change_read(struct change *change, const struct tunables *t, struct config *config) MUST_USE;
/* Every set in force at once. Nobody may be reading. */
void change_apply(struct change *change);
void change_free(struct change **change);

#endif
