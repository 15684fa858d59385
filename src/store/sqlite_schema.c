/* sqlite_schema.c - the schema in an SQLite file: created, checked, completed with what is ours.
 * Threads: the opener's, before there are store threads.
 * Owns: nothing that outlives a call.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shardsm/log.h"
#include "store/sqlite_schema.h"

static void first_number(void *arg, const char *const cells[SQLITE_EACH_CELLS])
{
	*(int64_t *)arg = strtoll(cells[0], NULL, 10);
}

/* What a query answers with one number; -1: it failed. */
static int64_t number(struct connection *c, const char *sql, struct span name)
{
	int64_t n = -1;

	return sqlite_each(c, sql, name, first_number, &n) == ENGINE_OK ? n : -1;
}

static int64_t count_objects(struct connection *c)
{
	return number(c, "SELECT count(*) FROM sqlite_master", SPAN(""));
}

static bool run(struct connection *c, struct buf *sql)
{
	buf_put(sql, span_of("", 1));
	return !sql->failed && sqlite_exec(c, sql->p) == ENGINE_OK;
}

static bool create_table(struct connection *c, const char *prefix, enum store_table t)
{
	struct buf sql;

	buf_init(&sql);
	sql_create_table(&sql, &sqlite_dialect, prefix, t);
	bool ok = run(c, &sql);

	buf_free(&sql);
	return ok;
}

static bool create_index(struct connection *c, const char *prefix, unsigned i)
{
	struct buf sql;

	buf_init(&sql);
	sql_create_index(&sql, &sqlite_dialect, prefix, i, true);
	bool ok = run(c, &sql);

	buf_free(&sql);
	return ok;
}

static bool create_all(struct connection *c, const char *prefix)
{
	bool ok = true;

	for (unsigned i = 0; ok && i < schema_nauthreg; i++)
		ok = sqlite_exec(c, schema_authreg[i]) == ENGINE_OK;
	for (unsigned t = 0; ok && t < T_COUNT; t++)
		ok = create_table(c, prefix, (enum store_table)t);
	for (unsigned i = 0; ok && i < schema_nindexes; i++)
		ok = create_index(c, prefix, i);
	return ok;
}

/* Runs a step as one transaction. False: logged. */
static bool in_transaction(struct connection *c, const struct store_settings *s, const char *doing,
	bool (*step)(struct connection *c, const char *prefix))
{
	bool ok = sqlite_exec(c, "BEGIN IMMEDIATE") == ENGINE_OK && step(c, s->prefix) &&
		sqlite_exec(c, "COMMIT") == ENGINE_OK;

	if (!ok) {
		log_error("store: %s: %s failed (%s)", s->dbname, doing, sqlite_error(c));
		sqlite_rollback(c);
	}
	return ok;
}

static bool create_if_empty(struct connection *c, const char *prefix)
{
	/* c2s or another of us may have been quicker. */
	return count_objects(c) != 0 || create_all(c, prefix);
}

static bool create_schema(struct connection *c, const struct store_settings *s)
{
	/* What jabberd2's own schema asks for. Where the file system can't do it SQLite says so and goes on without. */
	if (sqlite_exec(c, "PRAGMA journal_mode = WAL") != ENGINE_OK) {
		log_error("store: %s: creating the schema failed (%s)", s->dbname, sqlite_error(c));
		return false;
	}
	return in_transaction(c, s, "creating the schema", create_if_empty);
}

/* The columns that a table has. */
struct found {
	const struct table *table;
	uint64_t columns;
	bool any, owner, sequence;
};

static void found_column(void *arg, const char *const cells[SQLITE_EACH_CELLS])
{
	struct found *f = arg;
	const char *name = cells[0], *type = cells[1], *key = cells[2];

	f->any = true;
	if (strcasecmp(name, COLUMN_OWNER) == 0)
		f->owner = true;
	/* Only so declared it is the row's number, and counts by itself. */
	if (strcasecmp(name, COLUMN_SEQUENCE) == 0)
		f->sequence = strcasecmp(type, "INTEGER") == 0 && strcmp(key, "1") == 0;
	for (unsigned i = 0; i < f->table->ncolumns; i++) {
		if (strcasecmp(name, f->table->columns[i].name) == 0)
			f->columns |= UINT64_C(1) << i;
	}
}

static bool find_columns(struct connection *c, const struct store_settings *s, enum store_table t, struct found *f)
{
	char name[256];

	*f = (struct found){ .table = &store_tables[t] };
	snprintf(name, sizeof(name), "%s%s", s->prefix, store_tables[t].name);
	if (sqlite_each(c, "SELECT name, type, pk FROM pragma_table_info(?)", span_str(name), found_column, f) == ENGINE_OK)
		return true;
	log_error("store: %s cannot be read (%s)", s->dbname, sqlite_error(c));
	return false;
}

/* Says how a table differs from what it should be. True: it doesn't. */
static bool check_columns(const struct store_settings *s, const struct found *f)
{
	const struct table *t = f->table;
	bool ok = f->owner && f->sequence;

	if (!f->owner)
		log_error("store: %s: table \"%s%s\" has no column \"" COLUMN_OWNER "\" (it is not jabberd2's)", s->dbname,
			s->prefix, t->name);
	if (!f->sequence)
		log_error("store: %s: table \"%s%s\" has no column \"" COLUMN_SEQUENCE "\" INTEGER PRIMARY KEY "
			"(it is not jabberd2's)", s->dbname, s->prefix, t->name);
	for (unsigned i = 0; i < t->ncolumns; i++) {
		if (f->columns >> i & 1)
			continue;
		ok = false;
		log_error("store: %s: table \"%s%s\" has no column \"%s\" (jabberd2 2.7.0 has; "
			"ALTER TABLE \"%s%s\" ADD COLUMN \"%s\" %s adds it)", s->dbname, s->prefix, t->name, t->columns[i].name,
			s->prefix, t->name, t->columns[i].name, sqlite_dialect.types[t->columns[i].type]);
	}
	return ok;
}

static bool check_schema(struct connection *c, const struct store_settings *s)
{
	bool ok = true;

	for (unsigned t = 0; t < T_COUNT; t++) {
		struct found f;

		if (!settings_serve(s, t))
			continue;
		if (!find_columns(c, s, (enum store_table)t, &f))
			return false;
		if (f.any) {
			ok &= check_columns(s, &f);
		} else if (!store_tables[t].ours) {
			ok = false;
			log_error("store: %s: table \"%s%s\" is missing (wanted: a database of jabberd2 2.7.0, or an empty or "
				"new file to make one in; check <dbname> and <prefix>)", s->dbname, s->prefix, store_tables[t].name);
		}
	}
	return ok;
}

static bool have_object(struct connection *c, const char *prefix, const char *name)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return number(c, "SELECT count(*) FROM sqlite_master WHERE name = ?", span_str(full)) > 0;
}

/* Adds what is ours to a database that jabberd2 made. */
static bool create_ours(struct connection *c, const char *prefix)
{
	bool ok = true;

	for (unsigned t = 0; ok && t < T_COUNT; t++) {
		if (store_tables[t].ours && !have_object(c, prefix, store_tables[t].name))
			ok = create_table(c, prefix, (enum store_table)t);
	}
	for (unsigned i = 0; ok && i < schema_nindexes; i++) {
		if (schema_indexes[i].ours)
			ok = create_index(c, prefix, i);
	}
	return ok;
}

static bool ours_missing(struct connection *c, const char *prefix)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (store_tables[t].ours && !have_object(c, prefix, store_tables[t].name))
			return true;
	}
	for (unsigned i = 0; i < schema_nindexes; i++) {
		if (schema_indexes[i].ours && !have_object(c, prefix, schema_indexes[i].name))
			return true;
	}
	return false;
}

static bool prepare(struct connection *c, const struct store_settings *s)
{
	int64_t objects = count_objects(c);

	if (objects < 0) {
		log_error("store: %s cannot be read (%s)", s->dbname, sqlite_error(c));
		return false;
	}
	if (objects == 0 && !create_schema(c, s))
		return false;
	if (!check_schema(c, s))
		return false;
	if (ours_missing(c, s->prefix) && !in_transaction(c, s, "adding our tables", create_ours))
		return false;
	if (s->sql && number(c, "PRAGMA synchronous", SPAN("")) < 2)
		log_notice("store: %s: <sql> relaxes synchronous: a power failure may lose what was acknowledged", s->dbname);
	return true;
}

/* The journals lie beside the file. */
static bool may_write_directory(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash)
		return faccessat(AT_FDCWD, ".", W_OK | X_OK, AT_EACCESS) == 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
}

/* The file must be there, and ours to write. Made when missing, for owner and group alone: it holds passwords.
 * A file that exists isn't opened here: closing it would drop the locks that other connections of this process have. */
static bool check_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	struct stat st;

	if (fd >= 0) {
		close(fd);
		return true;
	}
	if (errno == EEXIST && stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			errno = EISDIR;
		else if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0 && may_write_directory(path))
			return true;
	}
	const char *help = "";

	if (errno == ENOENT)
		help = ": its directory must exist";
	else if (errno == EACCES || errno == EROFS)
		help = ": the server's user must be allowed to write it and its directory";
	else if (errno == EISDIR)
		help = ": <dbname> must name a file";
	log_error("store: %s cannot be opened (%s%s)", path, strerror(errno), help);
	return false;
}

bool sqlite_unmade(const struct store_settings *settings)
{
	struct stat st;

	if (stat(settings->dbname, &st) != 0)
		return errno == ENOENT && may_write_directory(settings->dbname);
	return S_ISREG(st.st_mode) && st.st_size == 0 && faccessat(AT_FDCWD, settings->dbname, R_OK | W_OK, AT_EACCESS) == 0 &&
		may_write_directory(settings->dbname);
}

bool sqlite_prepare(const struct store_settings *settings)
{
	/* Figures that nobody asks for cost a lock at every allocation. Refused, and no harm, where SQLite is in use already. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	struct connection *c = check_file(settings->dbname) ? sqlite_open(settings) : NULL;

	if (!c)
		return false;
	bool ok = prepare(c, settings);

	sqlite_close(c);
	return ok;
}

void sqlite_describe(const struct store_settings *settings, char *out, size_t cap)
{
	struct connection *c = sqlite_open(settings);
	int64_t users = -1;

	if (c) {
		struct buf sql;

		buf_init(&sql);
		sql_users(&sql, &sqlite_dialect, settings->prefix);
		if (!sql.failed)
			users = number(c, sql.p, SPAN(""));
		buf_free(&sql);
		sqlite_close(c);
	}
	engine_found(settings, settings->dbname, users, out, cap);
}
