/* mariadb_schema.c - MariaDB's dialect, jabberd2's schema in it, and what to do when it cannot be opened.
 * Threads: constants by any; prepare and describe on the opener's.
 * Owns: nothing that outlives a call.
 *
 * Tables made here differ from jabberd2's in two ways that its sm does not notice: characters have up to four bytes
 * (emoji), and text is equal when its bytes are, where jabberd2's tables take "e", "E" and "e" with an accent for one owner.
 */
#include <stdio.h>

#include "shardsm/log.h"
#include "store/mariadb.h"

const struct sql_dialect maria_dialect = {
	.quote = '`',
	.loose_equal = true,
	.unnamed = true,
	.unsorted = true,
	.sequence_type = "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
	.types = { [COL_TEXT] = "TEXT", [COL_INT] = "INT", [COL_BOOL] = "TINYINT", [COL_XML] = "MEDIUMTEXT" },
	.large_text = "MEDIUMTEXT",
	.large_int = "BIGINT",
	.key_length = "(255)",
	.table_options = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
};

/* c2s keeps its accounts beside ours. */
static const char *const before[] = {
	"CREATE TABLE IF NOT EXISTS `authreg` (`username` TEXT, KEY `username` (`username`(255)), `realm` TINYTEXT, "
	"KEY `realm` (`realm`(255)), `password` TINYTEXT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
};

static const char *help(const void *connection)
{
	if (strstr(maria_error(connection), "denied"))
		return ": the user needs rights there: GRANT ALL ON database.* TO user";
	return "";
}

#define TEXTS "|text|tinytext|mediumtext|longtext|varchar|char|"

const struct server maria_server = {
	.dialect = &maria_dialect,
	.product = "MariaDB",
	.columns_query = "SELECT table_name, column_name, data_type, character_set_name FROM information_schema.columns "
		"WHERE table_schema = DATABASE()",
	.types = {
		[COL_TEXT] = TEXTS,
		[COL_INT] = "|int|bigint|mediumint|smallint|tinyint|",
		[COL_BOOL] = "|tinyint|smallint|mediumint|int|bigint|",
		[COL_XML] = TEXTS,
	},
	.before = before,
	.nbefore = sizeof(before) / sizeof(before[0]),
	.commits_types = { "VARCHAR(64)", "BIGINT" },
	.each = maria_each,
	.error = maria_error,
	.help = help,
};

static void where_of(const struct store_settings *s, char *out, size_t cap)
{
	const char *host = s->host ? s->host : "localhost";

	if (host[0] == '/')
		snprintf(out, cap, "database \"%s\" at %s", s->dbname, host);
	else
		snprintf(out, cap, "database \"%s\" at %s:%s", s->dbname, host, s->port ? s->port : "3306");
}

void maria_refused(const struct store_settings *settings, unsigned number, const char *error)
{
	char where[300], hint[400] = "";
	const char *user = settings->user ? settings->user : "";

	where_of(settings, where, sizeof(where));
	if (number == 1049)
		snprintf(hint, sizeof(hint), ": CREATE DATABASE `%s` CHARACTER SET utf8mb4 makes it", settings->dbname);
	else if (number == 1044)
		snprintf(hint, sizeof(hint), ": GRANT ALL ON `%s`.* TO the user lets it in", settings->dbname);
	else if (number == 1045 || number == 1698)
		snprintf(hint, sizeof(hint), ": check <user> and <pass>");
	else if (number == 2002 || number == 2003 || number == 2005)
		snprintf(hint, sizeof(hint), ": check <host> and <port>, and that MariaDB runs there");
	log_error("store: %s cannot be opened by user \"%s\" (%s%s)", where, user, error, hint);
}

static void durability(void *arg, const char *const cells[SERVER_CELLS])
{
	*(bool *)arg = strcmp(cells[0], "1") != 0;
}

bool maria_prepare(const struct store_settings *settings)
{
	void *c = maria_open(settings);
	char where[300];
	bool relaxed = false;

	if (!c)
		return false;
	where_of(settings, where, sizeof(where));
	bool ok = server_prepare(&maria_server, c, settings, where);

	if (ok && maria_each(c, "SELECT @@innodb_flush_log_at_trx_commit", durability, &relaxed) == ENGINE_OK && relaxed)
		log_notice("store: %s: innodb_flush_log_at_trx_commit is not 1: a power failure may lose what was acknowledged", where);
	maria_close(c);
	return ok;
}

void maria_describe(const struct store_settings *settings, char *out, size_t cap)
{
	void *c = maria_open(settings);
	char where[300];
	int64_t users = -1;

	where_of(settings, where, sizeof(where));
	if (c) {
		users = server_users(&maria_server, c, settings);
		maria_close(c);
	}
	engine_found(settings, where, users, out, cap);
}
