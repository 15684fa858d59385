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
	bool merge_whole;            /* a merge is one statement, that inserts where its update finds nothing */
	/* "=" sees more as equal than bytes are (a collation without case): text is compared a second time, as bytes. The
	 * first lets an index be used. Each text in a condition then has two placeholders, one after the other. */
	bool loose_equal;
	bool unnamed;                /* no placeholder can be named twice: each stands for a value of its own */
	/* Rows of a get come in any order, their order is the engine's business: a planner that is asked for it may read the whole
	 * table. */
	bool unsorted;
	const char *conflict;        /* behind UPDATE, and INSERT of many rows; NULL: nothing */
	const char *next_sequence;   /* what an INSERT writes as the sequence; NULL: the database fills it in */
	const char *sequence_type;
	const char *types[COL_XML + 1]; /* by enum column_type */
	const char *large_text;      /* for vCards' text, where types[COL_TEXT] is too small; NULL: it isn't */
	const char *key_length;      /* behind a text column in an index; NULL: nothing */
	const char *table_options;   /* behind a CREATE TABLE; NULL: nothing */
	const char *large_int;       /* for numbers in our own tables; NULL: types[COL_INT] will do */
	/* By table: the columns of its primary key beside the owner, as bits; SQL_NO_KEY: it has none. NULL: none has. Our own
	 * tables have none. */
	const uint64_t *primary_keys;
};
#define SQL_NO_KEY UINT64_MAX

static inline bool sql_has_key(const struct sql_dialect *d, unsigned table)
{
	return d->primary_keys && !store_tables[table].ours && d->primary_keys[table] != SQL_NO_KEY;
}

/* Everything that a statement's text depends on: the key of a cache of prepared statements. */
struct sql_key {
	uint64_t present;            /* put, merge: the columns written */
	uint8_t verb, table;
	int16_t filter_column;
	bool filter_null;
	uint8_t more;                /* put: rows behind the first, each an owner and the same columns */
};

struct sql_key sql_key_of(const struct stmt *s);
static inline bool sql_key_same(struct sql_key a, struct sql_key b)
{
	return a.present == b.present && a.verb == b.verb && a.table == b.table && a.filter_column == b.filter_column &&
		a.filter_null == b.filter_null && a.more == b.more;
}
uint64_t sql_key_hash(struct sql_key key);

/* A key's verb beside those of requests; present: tables, as bits. The result is one number, the bits of those that have rows of the owner,
 * the only placeholder (unnamed: one for each table). Where "=" sees more as equal than bytes are, a table may be among them that has none. */
#define SQL_EXISTS 0xffu

/* Placeholders in this order: the owner, then by verb - get, count, delete: the filter, if stmt_filters(); page: after,
 * limit; delete_upto: the sequence; put: the values present, in column order, and so on for each row more. Merge: those values, then the owner; without
 * merge_whole its text is the UPDATE alone, and where that finds no row the put with the same columns follows.
 * Results, in the order of the sequence (unsorted: a get's in any): get, page: the sequence, then every column; count: one number. */
void sql_statement(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key);

/* Asks for the number of accounts; ends with a NUL. */
void sql_users(struct buf *out, const struct sql_dialect *d, const char *prefix);

void sql_create_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t);
/* i: into schema_indexes. if_missing: IF NOT EXISTS. */
void sql_create_index(struct buf *out, const struct sql_dialect *d, const char *prefix, unsigned i, bool if_missing);
/* The type of a column. */
const char *sql_type(const struct sql_dialect *d, enum store_table t, int column);
/* A column as CREATE TABLE or ALTER TABLE declares it. */
void sql_column(struct buf *out, const struct sql_dialect *d, enum store_table t, int column);
/* The table's name, quoted. */
void sql_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t);

#endif
