/* sql.c - the text of SQL statements, built from the table descriptions.
 * Threads: any; values.
 * Owns: nothing.
 */
#include "store/schema.h"
#include "store/sql.h"

struct sql_key sql_key_of(const struct stmt *s)
{
	return (struct sql_key){ s->present, s->verb, s->table, s->filter_column,
		s->filter_column != STORE_ALL && s->filter.kind == VALUE_NULL, 0 };
}

uint64_t sql_key_hash(struct sql_key key)
{
	uint64_t h = key.present * UINT64_C(0x9e3779b97f4a7c15);

	h ^= (uint64_t)key.more << 40 | (uint64_t)key.filter_null << 32 | (uint64_t)key.verb << 24 | (uint64_t)key.table << 16 | (uint16_t)key.filter_column;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return h >> 32;
}

static void quoted2(struct buf *out, const struct sql_dialect *d, const char *a, const char *b)
{
	const char *parts[] = { a, b };

	buf_put(out, span_of(&d->quote, 1));
	for (unsigned i = 0; i < 2; i++) {
		for (const char *p = parts[i]; *p; p++) {
			if (*p == d->quote)
				buf_put(out, span_of(p, 1));
			buf_put(out, span_of(p, 1));
		}
	}
	buf_put(out, span_of(&d->quote, 1));
}

static void quoted(struct buf *out, const struct sql_dialect *d, const char *name)
{
	quoted2(out, d, name, "");
}

static void placeholder(struct buf *out, const struct sql_dialect *d, unsigned n)
{
	if (d->numbered) {
		buf_str(out, "$");
		buf_uint(out, n);
	} else {
		buf_str(out, "?");
	}
}

void sql_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t)
{
	quoted2(out, d, prefix, store_tables[t].name);
}

static void select_columns(struct buf *out, const struct sql_dialect *d, enum store_table t)
{
	buf_str(out, "SELECT ");
	quoted(out, d, COLUMN_SEQUENCE);
	for (unsigned i = 0; i < store_tables[t].ncolumns; i++) {
		buf_str(out, ", ");
		quoted(out, d, store_tables[t].columns[i].name);
	}
}

/* column = placeholder n. */
static void equal(struct buf *out, const struct sql_dialect *d, const char *column, bool text, unsigned n)
{
	quoted(out, d, column);
	buf_str(out, " = ");
	placeholder(out, d, n);
	if (!text || !d->loose_equal)
		return;
	buf_str(out, " AND CAST(");
	quoted(out, d, column);
	buf_str(out, " AS BINARY) = CAST(");
	placeholder(out, d, n);
	buf_str(out, " AS BINARY)");
}

static bool is_text(enum store_table t, int column)
{
	enum column_type type = store_tables[t].columns[column].type;

	return type == COL_TEXT || type == COL_XML;
}

/* Values of a row, and from which placeholder on: the owner's, the first value's. Returns the next. */
static unsigned row_values(struct buf *out, const struct sql_dialect *d, struct sql_key key, unsigned owner, unsigned first)
{
	const struct table *t = &store_tables[key.table];
	unsigned n = first;

	placeholder(out, d, owner);
	for (unsigned i = 0; i < t->ncolumns; i++) {
		if (key.present >> i & 1) {
			buf_str(out, ", ");
			placeholder(out, d, n++);
		}
	}
	if (d->next_sequence) {
		buf_str(out, ", ");
		buf_str(out, d->next_sequence);
	}
	return n;
}

/* owner: the owner's placeholder; first: that of the first value. */
static void insert(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key, unsigned owner,
	unsigned first)
{
	const struct table *t = &store_tables[key.table];

	buf_str(out, "INSERT ");
	buf_str(out, key.more && d->conflict ? d->conflict : "");
	buf_str(out, "INTO ");
	sql_table(out, d, prefix, key.table);
	buf_str(out, " (");
	quoted(out, d, COLUMN_OWNER);
	for (unsigned i = 0; i < t->ncolumns; i++) {
		if (key.present >> i & 1) {
			buf_str(out, ", ");
			quoted(out, d, t->columns[i].name);
		}
	}
	if (d->next_sequence) {
		buf_str(out, ", ");
		quoted(out, d, COLUMN_SEQUENCE);
	}
	/* A part of a merge gets a condition. */
	buf_str(out, key.verb == VERB_PUT ? ") VALUES (" : ") SELECT ");
	unsigned n = row_values(out, d, key, owner, first);

	for (unsigned i = 0; i < key.more; i++) {
		buf_str(out, "), (");
		n = row_values(out, d, key, n, n + 1);
	}
	if (key.verb == VERB_PUT)
		buf_str(out, ")");
}

/* Returns the owner's placeholder. */
static unsigned update(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key)
{
	const struct table *t = &store_tables[key.table];
	unsigned n = 1;

	buf_str(out, "UPDATE ");
	buf_str(out, d->conflict ? d->conflict : "");
	sql_table(out, d, prefix, key.table);
	buf_str(out, " SET ");
	for (unsigned i = 0; i < t->ncolumns; i++) {
		if (!(key.present >> i & 1))
			continue;
		if (n > 1)
			buf_str(out, ", ");
		quoted(out, d, t->columns[i].name);
		buf_str(out, " = ");
		placeholder(out, d, n++);
	}
	/* Nothing to set still asks whether there is a row. */
	if (n == 1) {
		quoted(out, d, COLUMN_OWNER);
		buf_str(out, " = ");
		quoted(out, d, COLUMN_OWNER);
	}
	buf_str(out, " WHERE ");
	equal(out, d, COLUMN_OWNER, true, n);
	return n;
}

static void merge(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key)
{
	if (!d->merge_whole) {
		update(out, d, prefix, key);
		return;
	}
	buf_str(out, "WITH updated AS (");
	unsigned owner = update(out, d, prefix, key);

	buf_str(out, " RETURNING 1) ");
	insert(out, d, prefix, key, owner, 1);
	buf_str(out, " WHERE NOT EXISTS (SELECT 1 FROM updated)");
}

static void where(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key)
{
	buf_str(out, " FROM ");
	sql_table(out, d, prefix, key.table);
	buf_str(out, " WHERE ");
	equal(out, d, COLUMN_OWNER, true, 1);
	if (key.filter_column == STORE_ALL)
		return;
	const char *column = store_tables[key.table].columns[key.filter_column].name;

	buf_str(out, " AND ");
	if (key.filter_null) {
		quoted(out, d, column);
		buf_str(out, " IS NULL");
	} else {
		equal(out, d, column, is_text(key.table, key.filter_column), 2);
	}
}

static void sequence_where(struct buf *out, const struct sql_dialect *d, const char *condition)
{
	buf_str(out, " AND ");
	quoted(out, d, COLUMN_SEQUENCE);
	buf_str(out, condition);
	placeholder(out, d, 2);
}

static void order(struct buf *out, const struct sql_dialect *d)
{
	buf_str(out, " ORDER BY ");
	quoted(out, d, COLUMN_SEQUENCE);
}

static void exists(struct buf *out, const struct sql_dialect *d, const char *prefix, uint64_t tables)
{
	const char *before = "SELECT ";

	for (unsigned t = 0; t < T_COUNT; t++) {
		if (!(tables >> t & 1))
			continue;
		buf_str(out, before);
		buf_str(out, "(EXISTS (SELECT 1 FROM ");
		sql_table(out, d, prefix, (enum store_table)t);
		buf_str(out, " WHERE ");
		quoted(out, d, COLUMN_OWNER);
		buf_str(out, d->unnamed ? " = ?) << " : " = ?1) << ");
		buf_uint(out, t);
		buf_str(out, ")");
		before = " | ";
	}
}

void sql_statement(struct buf *out, const struct sql_dialect *d, const char *prefix, struct sql_key key)
{
	if (key.verb == SQL_EXISTS) {
		exists(out, d, prefix, key.present);
		return;
	}
	switch ((enum verb)key.verb) {
	case VERB_GET:
		select_columns(out, d, key.table);
		where(out, d, prefix, key);
		if (!d->unsorted)
			order(out, d);
		break;
	case VERB_PAGE:
		select_columns(out, d, key.table);
		where(out, d, prefix, key);
		sequence_where(out, d, " > ");
		order(out, d);
		buf_str(out, " LIMIT ");
		placeholder(out, d, 3);
		break;
	case VERB_COUNT:
		buf_str(out, "SELECT count(*)");
		where(out, d, prefix, key);
		break;
	case VERB_PUT:
		insert(out, d, prefix, key, 1, 2);
		break;
	case VERB_MERGE:
		merge(out, d, prefix, key);
		break;
	case VERB_DELETE:
		buf_str(out, "DELETE");
		where(out, d, prefix, key);
		break;
	case VERB_DELETE_UPTO:
		buf_str(out, "DELETE");
		where(out, d, prefix, key);
		sequence_where(out, d, " <= ");
		break;
	}
}

void sql_users(struct buf *out, const struct sql_dialect *d, const char *prefix)
{
	buf_str(out, "SELECT count(*) FROM ");
	sql_table(out, d, prefix, T_ACTIVE);
	buf_put(out, span_of("", 1));
}

const char *sql_type(const struct sql_dialect *d, enum store_table t, int column)
{
	enum column_type type = store_tables[t].columns[column].type;

	if (d->large_text && (t == T_VCARD || t == T_VCARD_XML))
		return d->large_text;
	if (d->large_int && type == COL_INT && store_tables[t].ours)
		return d->large_int;
	return d->types[type];
}

void sql_column(struct buf *out, const struct sql_dialect *d, enum store_table t, int column)
{
	quoted(out, d, store_tables[t].columns[column].name);
	buf_str(out, " ");
	buf_str(out, sql_type(d, t, column));
	if (schema_not_null(t, column))
		buf_str(out, " NOT NULL");
	if (schema_default_zero(t, column))
		buf_str(out, " DEFAULT 0");
}

static void primary_key(struct buf *out, const struct sql_dialect *d, enum store_table t)
{
	buf_str(out, ", PRIMARY KEY (");
	quoted(out, d, COLUMN_OWNER);
	for (unsigned i = 0; i < store_tables[t].ncolumns; i++) {
		if (d->primary_keys[t] >> i & 1) {
			buf_str(out, ", ");
			quoted(out, d, store_tables[t].columns[i].name);
		}
	}
	buf_str(out, ")");
}

void sql_create_table(struct buf *out, const struct sql_dialect *d, const char *prefix, enum store_table t)
{
	buf_str(out, "CREATE TABLE ");
	sql_table(out, d, prefix, t);
	buf_str(out, " (");
	quoted(out, d, COLUMN_OWNER);
	buf_str(out, " ");
	buf_str(out, d->types[COL_TEXT]);
	buf_str(out, " NOT NULL, ");
	quoted(out, d, COLUMN_SEQUENCE);
	buf_str(out, " ");
	buf_str(out, d->sequence_type);
	for (int i = 0; i < store_tables[t].ncolumns; i++) {
		buf_str(out, ", ");
		sql_column(out, d, t, i);
	}
	if (sql_has_key(d, t))
		primary_key(out, d, t);
	buf_str(out, ")");
	if (d->table_options)
		buf_str(out, d->table_options);
}

static void index_column(struct buf *out, const struct sql_dialect *d, const char *name)
{
	quoted(out, d, name);
	if (d->key_length)
		buf_str(out, d->key_length);
}

void sql_create_index(struct buf *out, const struct sql_dialect *d, const char *prefix, unsigned i, bool if_missing)
{
	const struct schema_index *index = &schema_indexes[i];

	buf_str(out, if_missing ? "CREATE INDEX IF NOT EXISTS " : "CREATE INDEX ");
	quoted2(out, d, prefix, index->name);
	buf_str(out, " ON ");
	sql_table(out, d, prefix, (enum store_table)index->table);
	buf_str(out, " (");
	index_column(out, d, COLUMN_OWNER);
	if (index->column != STORE_ALL) {
		buf_str(out, ", ");
		index_column(out, d, store_tables[index->table].columns[index->column].name);
	}
	buf_str(out, ")");
}
