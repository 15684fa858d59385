/* sql.h - the text of SQL statements, built from the table descriptions.
 * Threads: any; values.
 * Owns: nothing; text is appended to the caller's buffer.
 * Names of tables and columns and placeholders are all that ever gets into a text: values are bound.
 */
#ifndef SHARDSM_STORE_SQL_H
#define SHARDSM_STORE_SQL_H

#include "shardsm/buf.h"
#include "store/request.h"

/* What databases differ in. */
struct sql_dialect {
	char quote;                  /* around names */
	bool numbered;               /* placeholders are $1, $2, ... and not ? */
	const char *equal;           /* equality that holds between nulls too */
	const char *next_sequence;   /* what an INSERT writes as the sequence; NULL: the database fills it in */
	const char *sequence_type;
	const char *types[COL_XML + 1]; /* by enum column_type */
};

/* Everything that a statement's text depends on: the key of a cache of prepared statements. */
struct sql_key {
	uint64_t present;            /* put, merge: the columns written */
	uint8_t verb, table;
	int16_t filter_column;
};

struct sql_key sql_key_of(const struct stmt *s);
static inline bool sql_key_same(struct sql_key a, struct sql_key b)
{
	return a.present == b.present && a.verb == b.verb && a.table == b.table && a.filter_column == b.filter_column;
}

/* Placeholders in this order: the owner, then by verb - get, count, delete: the filter, if any; page: after, limit;
 * delete_upto: the sequence; put: the values present, in column order. Merge: those values, then the owner; its text is
 * the UPDATE alone, and where that changes no row the put with the same columns follows.
 * Results: get, page: the sequence, then every column; count: one number. */
void sql_statement(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key);

void sql_create_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t);
/* i: into schema_indexes. if_missing: IF NOT EXISTS. */
void sql_create_index(struct buf *out, const struct sql_dialect *d, const char *prefix, unsigned i, bool if_missing);
/* A column as CREATE TABLE or ALTER TABLE declares it. */
void sql_column(struct buf *out, const struct sql_dialect *d, enum store_table t, int column);
/* The table's name, quoted. */
void sql_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t);

#endif
