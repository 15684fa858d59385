/* schema.h - what the table descriptions leave out: which columns must be set, and the indexes.
 * Threads: any; constants.
 * Owns: nothing.
 */
#ifndef SHARDSM_STORE_SCHEMA_H
#define SHARDSM_STORE_SCHEMA_H

#include "shardsm/store.h"

#define COLUMN_OWNER "collection-owner"
#define COLUMN_SEQUENCE "object-sequence"

bool schema_not_null(enum store_table t, int column);
bool schema_default_zero(enum store_table t, int column);

/* On the owner, and on one more column unless that is STORE_ALL. */
struct schema_index {
	const char *name;
	int16_t table, column;
	bool ours; /* jabberd2 has none there, and reads the whole table for one user: made when missing */
};
extern const struct schema_index schema_indexes[];
extern const unsigned schema_nindexes;

/* c2s keeps accounts in the same file; created with ours, never touched afterwards. */
extern const char *const schema_authreg[];
extern const unsigned schema_nauthreg;

#endif
