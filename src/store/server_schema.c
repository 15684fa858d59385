/* server_schema.c - the schema in a database server: created, checked, completed with what is ours.
 * Threads: the opener's, before there are store threads.
 * Owns: nothing that outlives a call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "shardsm/log.h"
#include "store/server.h"

/* Bits of struct found beside those of the columns. */
#define FOUND_OWNER (UINT64_C(1) << 62)
#define FOUND_SEQUENCE (UINT64_C(1) << 63)

struct found {
	const struct server *server;
	const struct store_settings *settings;
	const char *where;
	uint64_t columns[T_COUNT];
	uint32_t tables, narrow;     /* bit per table: is there; holds no 4-byte characters */
	bool commits, authreg, ok;
};

static int table_named(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(name, prefix, n) != 0)
		return -1;
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (strcmp(name + n, store_tables[t].name) == 0)
			return (int)t;
	}
	return -1;
}

static bool type_will_do(const char *list, const char *type)
{
	char word[64];

	snprintf(word, sizeof(word), "|%s|", type);
	return strcasestr(list, word) != NULL;
}

static void found_column(void *arg, const char *const cells[SERVER_CELLS])
{
	struct found *f = arg;
	const char *name = cells[1], *type = cells[2];
	int t = table_named(cells[0], f->settings->prefix);
	size_t prefix = strlen(f->settings->prefix);

	if (strcmp(cells[0], "authreg") == 0)
		f->authreg = true;
	if (strncmp(cells[0], f->settings->prefix, prefix) == 0 && strcmp(cells[0] + prefix, COMMITS_TABLE) == 0)
		f->commits = true;
	if (t < 0)
		return;
	f->tables |= 1u << t;
	if (strncasecmp(cells[3], "utf8mb3", 7) == 0 || strcasecmp(cells[3], "utf8") == 0)
		f->narrow |= 1u << t;
	if (strcasecmp(name, COLUMN_OWNER) == 0)
		f->columns[t] |= FOUND_OWNER;
	if (strcasecmp(name, COLUMN_SEQUENCE) == 0)
		f->columns[t] |= FOUND_SEQUENCE;
	for (unsigned i = 0; i < store_tables[t].ncolumns; i++) {
		const struct column *c = &store_tables[t].columns[i];

		if (strcasecmp(name, c->name) != 0)
			continue;
		f->columns[t] |= UINT64_C(1) << i;
		if (!type_will_do(f->server->types[c->type], type)) {
			f->ok = false;
			log_error("store: %s: column \"%s\" of table \"%s\" is of type %s (wanted: %s)", f->where, name, cells[0], type,
				sql_type(f->server->dialect, (enum store_table)t, (int)i));
		}
	}
}

static bool look(struct found *f, void *connection)
{
	memset(f->columns, 0, sizeof(f->columns));
	f->tables = f->narrow = 0;
	f->commits = f->authreg = false;
	f->ok = true;
	if (f->server->each(connection, f->server->columns_query, found_column, f) == ENGINE_OK)
		return f->ok;
	log_error("store: %s cannot be read (%s)", f->where, f->server->error(connection));
	return false;
}

static void no_row(void *arg, const char *const cells[SERVER_CELLS])
{
	(void)arg;
	(void)cells;
}

static bool exec(const struct found *f, void *connection, const char *sql)
{
	return f->server->each(connection, sql, no_row, NULL) == ENGINE_OK;
}

/* Runs the statement, empties the buffer. */
static bool run(const struct found *f, void *connection, struct buf *sql)
{
	buf_put(sql, span_of("", 1));
	bool ok = !sql->failed && exec(f, connection, sql->p);

	buf_clear(sql);
	return ok;
}

static bool is_ours(unsigned t)
{
	return store_tables[t].ours || (TABLES_OF_SQLITE_ALONE >> t & 1);
}

/* Where the primary key begins with the owner, jabberd2's schema has an index of its own only beside a longer key; another
 * one of ours would be in vain. */
static bool wants_index(const struct found *f, const struct schema_index *index)
{
	const struct sql_dialect *d = f->server->dialect;

	if (!sql_has_key(d, (unsigned)index->table))
		return true;
	return !index->ours && (index->column != STORE_ALL || d->primary_keys[index->table] != 0);
}

static bool create_table(const struct found *f, void *connection, unsigned t, struct buf *sql)
{
	sql_create_table(sql, f->server->dialect, f->settings->prefix, (enum store_table)t);
	bool ok = run(f, connection, sql);

	for (unsigned i = 0; ok && i < schema_nindexes; i++) {
		if ((unsigned)schema_indexes[i].table != t || !wants_index(f, &schema_indexes[i]))
			continue;
		sql_create_index(sql, f->server->dialect, f->settings->prefix, i, false);
		ok = run(f, connection, sql);
	}
	return ok;
}

static bool create_commits(const struct found *f, void *connection, struct buf *sql)
{
	const struct sql_dialect *d = f->server->dialect;

	buf_str(sql, "CREATE TABLE ");
	server_commits_table(sql, d, f->settings->prefix);
	buf_fmt(sql, " (writer %s PRIMARY KEY, number %s NOT NULL, since %s NOT NULL)", f->server->commits_types[0],
		f->server->commits_types[1], f->server->commits_types[1]);
	if (d->table_options)
		buf_str(sql, d->table_options);
	return run(f, connection, sql);
}

/* The tables that are wanted and missing. *made: those that were created. */
static bool create_missing(const struct found *f, void *connection, bool all, uint32_t *made)
{
	struct buf sql;
	bool ok = true;

	buf_init(&sql);
	for (unsigned i = 0; ok && all && i < f->server->nbefore; i++)
		ok = exec(f, connection, f->server->before[i]);
	for (unsigned t = 0; ok && t < T_COUNT; t++) {
		if (!(f->tables >> t & 1) && (all || (is_ours(t) && settings_serve(f->settings, t)))) {
			ok = create_table(f, connection, t, &sql);
			*made |= (uint32_t)ok << t;
		}
	}
	if (ok && !f->commits)
		ok = create_commits(f, connection, &sql);
	buf_free(&sql);
	return ok;
}

/* A schema that is there by half would be taken for a broken one: a server that cannot roll it back drops what was made. */
static void undo(const struct found *f, void *connection, uint32_t made)
{
	struct buf sql;

	if (f->server->ddl_is_transactional) {
		(void)exec(f, connection, "ROLLBACK");
		return;
	}
	buf_init(&sql);
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (!(made >> t & 1))
			continue;
		buf_str(&sql, "DROP TABLE ");
		sql_table(&sql, f->server->dialect, f->settings->prefix, (enum store_table)t);
		(void)run(f, connection, &sql);
	}
	buf_free(&sql);
}

/* False: logged. */
static bool create(struct found *f, void *connection, bool all)
{
	bool whole = f->server->ddl_is_transactional;
	uint32_t made = 0;
	bool ok = (!whole || exec(f, connection, "BEGIN")) && create_missing(f, connection, all, &made) &&
		(!whole || exec(f, connection, "COMMIT"));

	if (ok)
		return true;
	log_error("store: %s: %s failed (%s%s)", f->where, all ? "creating the schema" : "adding our tables",
		f->server->error(connection), f->server->help(connection));
	undo(f, connection, made);
	return false;
}

static void missing_column(const struct found *f, unsigned t, const char *column, const char *type)
{
	char q = f->server->dialect->quote;

	log_error("store: %s: table \"%s%s\" has no column \"%s\" (jabberd2 2.7.0 has; ALTER TABLE %c%s%s%c ADD COLUMN %c%s%c %s "
		"adds it; so it looks too to a user without rights on the table)", f->where, f->settings->prefix,
		store_tables[t].name, column, q, f->settings->prefix, store_tables[t].name, q, q, column, q, type);
}

static bool check_table(const struct found *f, unsigned t)
{
	const struct sql_dialect *d = f->server->dialect;
	bool ok = true;

	if (!(f->tables >> t & 1)) {
		log_error("store: %s: table \"%s%s\" is missing (wanted: the tables of jabberd2 2.7.0, or none of them and they are "
			"made; check <dbname>, <schema> and <prefix>, and that the user has rights on the table)", f->where,
			f->settings->prefix, store_tables[t].name);
		return false;
	}
	if (!(f->columns[t] & FOUND_OWNER)) {
		ok = false;
		missing_column(f, t, COLUMN_OWNER, d->types[COL_TEXT]);
	}
	if (!(f->columns[t] & FOUND_SEQUENCE)) {
		ok = false;
		missing_column(f, t, COLUMN_SEQUENCE, d->sequence_type);
	}
	for (int i = 0; i < store_tables[t].ncolumns; i++) {
		if (f->columns[t] >> i & 1)
			continue;
		ok = false;
		missing_column(f, t, store_tables[t].columns[i].name, sql_type(d, (enum store_table)t, i));
	}
	return ok;
}

static bool check(const struct found *f)
{
	bool ok = true;

	for (unsigned t = 0; t < T_COUNT; t++) {
		if (settings_serve(f->settings, t) && (!is_ours(t) || (f->tables >> t & 1)))
			ok &= check_table(f, t);
	}
	return ok;
}

static void warn_narrow(const struct found *f)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		if ((f->narrow >> t & 1) && settings_serve(f->settings, t)) {
			log_notice("store: %s: tables such as \"%s%s\" hold UTF-8 of up to 3 bytes: whatever contains an emoji is refused "
				"(ALTER TABLE `%s%s` CONVERT TO CHARACTER SET utf8mb4, and so on, helps)", f->where,
				f->settings->prefix, store_tables[t].name, f->settings->prefix, store_tables[t].name);
			return;
		}
	}
}

static bool ours_missing(const struct found *f)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (is_ours(t) && settings_serve(f->settings, t) && !(f->tables >> t & 1))
			return true;
	}
	return !f->commits;
}

bool server_prepare(const struct server *server, void *connection, const struct store_settings *s, const char *where)
{
	struct found f = { .server = server, .settings = s, .where = where };

	if (!look(&f, connection))
		return false;
	if (!f.tables && (!create(&f, connection, true) || !look(&f, connection)))
		return false;
	if (!check(&f) || (ours_missing(&f) && !create(&f, connection, false)))
		return false;
	warn_narrow(&f);
	return true;
}

static void first_number(void *arg, const char *const cells[SERVER_CELLS])
{
	*(int64_t *)arg = strtoll(cells[0], NULL, 10);
}

int64_t server_users(const struct server *server, void *connection, const struct store_settings *s)
{
	struct buf sql;
	int64_t n = -1;

	buf_init(&sql);
	sql_users(&sql, server->dialect, s->prefix);
	if (sql.failed || server->each(connection, sql.p, first_number, &n) != ENGINE_OK)
		n = -1;
	buf_free(&sql);
	return n;
}
