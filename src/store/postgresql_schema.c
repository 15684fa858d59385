/* postgresql_schema.c - PostgreSQL's dialect, jabberd2's schema in it, and what to do when it cannot be opened.
 * Threads: constants by any; prepare and describe on the opener's.
 * Owns: nothing that outlives a call.
 */
#include <stdio.h>

#include "shardsm/log.h"
#include "store/postgresql.h"

/* The primary keys of jabberd2's schema. */
#define C(column) (UINT64_C(1) << (column))
static const uint64_t primary_keys[T_COUNT] = {
	[T_ROSTER_ITEMS] = C(ITEM_JID),
	[T_ROSTER_GROUPS] = C(GROUP_JID) | C(GROUP_GROUP),
	[T_PUBLISHED_ROSTER] = SQL_NO_KEY,
	[T_PUBLISHED_ROSTER_GROUPS] = SQL_NO_KEY,
	[T_QUEUE] = SQL_NO_KEY,
	[T_PRIVATE] = C(PRIVATE_NS),
	[T_PRIVACY_ITEMS] = SQL_NO_KEY,
	[T_VERIFY] = SQL_NO_KEY,
	/* the others: 0, the owner alone */
};

const struct sql_dialect postgresql_dialect = {
	.quote = '"',
	.numbered = true,
	.merge_whole = true,
	.next_sequence = "nextval('object-sequence')",
	.sequence_type = "bigint DEFAULT nextval('object-sequence')",
	.types = { [COL_TEXT] = "text", [COL_INT] = "integer", [COL_BOOL] = "boolean", [COL_XML] = "text" },
	.large_int = "bigint",
	.primary_keys = primary_keys,
};

/* c2s keeps its accounts beside ours. */
static const char *const before[] = {
	"CREATE SEQUENCE IF NOT EXISTS \"object-sequence\"",
	("CREATE TABLE IF NOT EXISTS \"authreg\" (\"username\" varchar(1023) NOT NULL, \"realm\" varchar(1023) NOT NULL, "
		"\"password\" varchar(256), PRIMARY KEY (\"username\", \"realm\"))"),
	"CREATE INDEX IF NOT EXISTS i_authreg_username ON \"authreg\" (\"username\")",
	"CREATE INDEX IF NOT EXISTS i_authreg_realm ON \"authreg\" (\"realm\")",
};

static const char *help(const void *connection)
{
	const char *error = postgresql_error(connection);

	if (strstr(error, "permission denied"))
		return ": the user must be allowed to create tables there: ALTER DATABASE ... OWNER TO ..., or GRANT CREATE ON SCHEMA ...";
	if (strstr(error, "no schema has been selected"))
		return ": <schema> must name one that exists: CREATE SCHEMA ... makes it";
	return "";
}

const struct server postgresql_server = {
	.dialect = &postgresql_dialect,
	.product = "PostgreSQL",
	.columns_query = "SELECT table_name, column_name, data_type, '' FROM information_schema.columns "
		"WHERE table_schema = current_schema()",
	.types = {
		[COL_TEXT] = "|text|character varying|character|",
		[COL_INT] = "|integer|bigint|smallint|",
		[COL_BOOL] = "|boolean|",
		[COL_XML] = "|text|character varying|",
	},
	.before = before,
	.nbefore = sizeof(before) / sizeof(before[0]),
	.commits_types = { "text", "bigint" },
	.ddl_is_transactional = true,
	.each = postgresql_each,
	.error = postgresql_error,
	.help = help,
};

void postgresql_refused(const void *connection)
{
	const char *error = postgresql_error(connection), *user = postgresql_user(connection), *db = postgresql_database(connection);
	char where[300], hint[600] = "";

	postgresql_where(connection, where, sizeof(where));
	if (strstr(error, "database") && strstr(error, "does not exist"))
		snprintf(hint, sizeof(hint), ": CREATE DATABASE \"%s\" OWNER \"%s\" ENCODING 'UTF8' TEMPLATE template0 makes it", db, user);
	else if (strstr(error, "password") || strstr(error, "authentication") || strstr(error, "role"))
		snprintf(hint, sizeof(hint), ": check <user> and <pass>, or those in <conninfo>");
	else if (strstr(error, "onnection refused") || strstr(error, "translate host") || strstr(error, "No such file"))
		snprintf(hint, sizeof(hint), ": check <host> and <port>, or those in <conninfo>, and that PostgreSQL runs there");
	log_error("store: %s cannot be opened by user \"%s\" (%s%s)", where, user, error, hint);
}

static void two_settings(void *arg, const char *const cells[SERVER_CELLS])
{
	bool *relaxed = arg;

	*relaxed = strcmp(cells[0], "off") == 0 || strcmp(cells[1], "off") == 0;
	if (strcmp(cells[2], "UTF8") != 0)
		log_notice("store: the database's encoding is %s: characters that it does not have are refused (wanted: UTF8)", cells[2]);
}

/* The sequence that all tables share. */
static void found_sequence(void *arg, const char *const cells[SERVER_CELLS])
{
	(void)cells;
	*(bool *)arg = true;
}

static bool check_sequence(void *c, const char *where)
{
	bool there = false;

	if (postgresql_each(c, "SELECT 1 FROM information_schema.sequences WHERE sequence_name = 'object-sequence'", found_sequence,
		&there) == ENGINE_OK && there)
		return true;
	log_error("store: %s: the sequence \"object-sequence\" is missing (jabberd2 2.7.0 has it; CREATE SEQUENCE "
		"\"object-sequence\" makes one, or the user has no rights on it)", where);
	return false;
}

bool postgresql_prepare(const struct store_settings *settings)
{
	void *c = postgresql_open(settings);
	char where[300];
	bool relaxed = false;

	if (!c)
		return false;
	postgresql_where(c, where, sizeof(where));
	bool ok = server_prepare(&postgresql_server, c, settings, where) && check_sequence(c, where);

	if (ok && postgresql_each(c, "SELECT current_setting('synchronous_commit'), current_setting('fsync'), "
		"current_setting('server_encoding')", two_settings, &relaxed) == ENGINE_OK && relaxed)
		log_notice("store: %s: its settings relax synchronous_commit or fsync: a power failure may lose what was acknowledged",
			where);
	postgresql_close(c);
	return ok;
}

void postgresql_describe(const struct store_settings *settings, char *out, size_t cap)
{
	void *c = postgresql_open(settings);
	char where[300] = "the database";
	int64_t users = -1;

	if (c) {
		postgresql_where(c, where, sizeof(where));
		users = server_users(&postgresql_server, c, settings);
		postgresql_close(c);
	}
	engine_found(settings, where, users, out, cap);
}
