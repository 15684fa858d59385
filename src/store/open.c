/* open.c - <storage> of sm.xml: which engine for which data, with which settings.
 * Threads: main, at start.
 * Owns: nothing that outlives the call.
 */
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/config.h"
#include "shardsm/log.h"
#include "store/engine.h"

/* The first is the default. */
static const struct engine *const engines[] = { &engine_sqlite, &engine_pgsql, &engine_mysql };
#define NENGINES (sizeof(engines) / sizeof(engines[0]))
_Static_assert(NENGINES <= STORE_DATABASES_MAX, "each of them may be in use");

#define BUSY_TIMEOUT_MS 2000 /* jabberd2's sample configuration has it */
#define BUSY_TIMEOUT_MAX_MS 60000
/* A thread waits for the server's answer, not for a disk of its own: more of them than processors. */
#define SERVER_THREADS 4

static int engine_index(struct span name)
{
	for (unsigned i = 0; i < NENGINES; i++) {
		if (span_is(name, engines[i]->name))
			return (int)i;
	}
	return -1;
}

const struct engine *engine_find(struct span name)
{
	int i = engine_index(name);

	return i < 0 ? NULL : engines[i];
}

const char *engine_names(void)
{
	static char names[100]; /* written before there are threads */
	size_t n = 0;

	for (unsigned i = 0; i < NENGINES && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", engines[i]->name);
	return names;
}

void engine_found(const struct store_settings *settings, const char *where, int64_t users, char *out, size_t cap)
{
	if (users < 0)
		snprintf(out, cap, "%s, %s, cannot be read", settings->driver, where);
	else
		snprintf(out, cap, "%s, %s, jabberd2 schema, %lld user%s", settings->driver, where, (long long)users, users == 1 ? "" : "s");
}

#define NOBODY UINT8_MAX

static int table_index(struct span name)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (span_is(name, store_tables[t].name))
			return (int)t;
	}
	return -1;
}

#define PUBLISHED "user.template.publish.db-table"
#define TABLE_NAME_MAX 63 /* bytes; PostgreSQL cuts names there */

static bool is_name(struct span s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

	for (uint32_t i = 0; i < s.n; i++)
		if (!memchr(letters, s.p[i], sizeof(letters) - 1) && (i == 0 || !(s.p[i] == '-' || (s.p[i] >= '0' && s.p[i] <= '9'))))
			return false;
	return s.n > 0 && s.n <= TABLE_NAME_MAX;
}

/* The table that published contacts are read from; empty: its own name. A bad one is told to the config. */
static struct span published_name(struct config *config)
{
	const struct config_value *v = config_get(config, PUBLISHED, 0);
	struct span name = v ? config_value_text(v) : (struct span){ 0 };
	int t = table_index(name);

	if (!name.n)
		return name;
	if (!is_name(name)) {
		config_bad(config, v, "\"" SPAN_FMT "\" is no name of a table (wanted: at most %d letters, digits, - and _, a letter first)",
			SPAN_ARG(name), TABLE_NAME_MAX);
		return (struct span){ 0 };
	}
	if (t >= 0 && t != T_PUBLISHED_ROSTER) {
		config_bad(config, v, "\"" SPAN_FMT "\" is a table with other data (wanted: one with the columns of published-roster)",
			SPAN_ARG(name));
		return (struct span){ 0 };
	}
	return name;
}

static void name_published(struct config *config)
{
	static char text[TABLE_NAME_MAX + 1]; /* written before there are threads */
	struct span name = published_name(config);

	if (!name.n)
		return;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	store_tables[T_PUBLISHED_ROSTER].name = text;
}

/* What is ours lies with the data that it belongs to, unless the config says otherwise: "roster-version" with "roster-items",
 * told by the first word of its name. */
static unsigned companion(unsigned t)
{
	size_t word = strcspn(store_tables[t].name, "-");

	for (unsigned i = 0; store_tables[t].ours && i < T_COUNT; i++) {
		const char *name = store_tables[i].name;

		if (!store_tables[i].ours && strncmp(name, store_tables[t].name, word) == 0 && (name[word] == '-' || !name[word]))
			return i;
	}
	return t;
}

/* Which engine has which table: a driver with a type has that type's data, the one without has the rest.
 * False: told to the config. */
static bool read_drivers(struct config *config, uint8_t engine_of[T_COUNT])
{
	uint32_t n = config_count(config, "storage.driver");
	int errors = config_errors(config), fallback = -1;

	memset(engine_of, NOBODY, T_COUNT);
	for (uint32_t i = 0; i < n; i++) {
		const struct config_value *v = config_get(config, "storage.driver", i);
		struct span name = config_value_text(v), type = config_attr(v, "type"), what = type.p ? type : SPAN("all");
		int engine = engine_index(name), t = type.p ? table_index(type) : -1;

		if (engine < 0)
			config_bad(config, v, "driver \"" SPAN_FMT "\" for " SPAN_FMT " data cannot be used (wanted one of: %s)",
				SPAN_ARG(name), SPAN_ARG(what), engine_names());
		else if (type.p && t < 0)
			config_bad(config, v, "there is no data of type \"" SPAN_FMT "\" (wanted the name of a table: vcard, queue, ...)",
				SPAN_ARG(type));
		else if (type.p ? engine_of[t] != NOBODY : fallback >= 0)
			config_bad(config, v, "a second driver for " SPAN_FMT " data (wanted: one)", SPAN_ARG(what));
		else if (type.p)
			engine_of[t] = (uint8_t)engine;
		else
			fallback = engine;
	}
	for (unsigned t = 0; t < T_COUNT; t++) {
		if (engine_of[t] == NOBODY)
			engine_of[t] = engine_of[companion(t)];
		if (engine_of[t] == NOBODY)
			engine_of[t] = (uint8_t)(fallback < 0 ? 0 : fallback);
	}
	return config_errors(config) == errors;
}

/* The value of a key as a string of its own; NULL: absent or empty. */
static char *read_text(struct config *config, const char *key)
{
	struct span s = config_text(config, key, NULL);

	return s.n ? strndup(s.p, s.n) : NULL;
}

static void read_sqlite(struct config *config, struct store_settings *s)
{
	s->dbname = read_text(config, "storage.sqlite.dbname");
	s->sql = read_text(config, "storage.sqlite.sql");
	s->prefix = read_text(config, "storage.sqlite.prefix");
	s->busy_timeout_ms = (int)config_int(config, "storage.sqlite.busy-timeout", BUSY_TIMEOUT_MS, 0, BUSY_TIMEOUT_MAX_MS);
	if (!s->dbname)
		config_bad(config, NULL, "no database file (add <storage><sqlite><dbname>/var/lib/jabberd2/sqlite.db</dbname>"
			"</sqlite></storage>)");
}

/* What a site may want otherwise of a database server's connections. */
static void read_timeouts(struct config *config, struct store_settings *s, const char *connect, const char *statement, const char *reach)
{
	s->busy_timeout_ms = BUSY_TIMEOUT_MS;
	s->connect_timeout_s = (unsigned)config_int(config, connect, STORE_CONNECT_S, 2, 60);
	s->statement_timeout_s = (unsigned)config_int(config, statement, STORE_STATEMENT_S, 1, 600);
	s->reach_ms = 1000 * (int)config_int(config, reach, STORE_REACH_MS / 1000, 1, 600);
}

static void read_pgsql(struct config *config, struct store_settings *s)
{
	s->conninfo = read_text(config, "storage.pgsql.conninfo");
	s->host = read_text(config, "storage.pgsql.host");
	s->port = read_text(config, "storage.pgsql.port");
	s->dbname = read_text(config, "storage.pgsql.dbname");
	s->user = read_text(config, "storage.pgsql.user");
	s->pass = read_text(config, "storage.pgsql.pass");
	s->schema = read_text(config, "storage.pgsql.schema");
	s->prefix = read_text(config, "storage.pgsql.prefix");
	read_timeouts(config, s, "storage.pgsql.connect-timeout", "storage.pgsql.statement-timeout", "storage.pgsql.reach-timeout");
	if (!s->conninfo && !s->dbname)
		config_bad(config, NULL, "no database (add <storage><pgsql><conninfo>dbname=jabberd2 user=jabberd2 password=...</conninfo>"
			"</pgsql></storage>)");
	config_int(config, "storage.pgsql.port", 0, 1, 65535);
}

static void read_mysql(struct config *config, struct store_settings *s)
{
	s->host = read_text(config, "storage.mysql.host");
	s->port = read_text(config, "storage.mysql.port");
	s->dbname = read_text(config, "storage.mysql.dbname");
	s->user = read_text(config, "storage.mysql.user");
	s->pass = read_text(config, "storage.mysql.pass");
	s->prefix = read_text(config, "storage.mysql.prefix");
	s->ssl_ca = read_text(config, "storage.mysql.ssl-ca");
	s->ssl_cert = read_text(config, "storage.mysql.ssl-cert");
	s->ssl_key = read_text(config, "storage.mysql.ssl-key");
	read_timeouts(config, s, "storage.mysql.connect-timeout", "storage.mysql.statement-timeout", "storage.mysql.reach-timeout");
	if (!s->ssl_cert != !s->ssl_key || (s->ssl_cert && !s->ssl_ca))
		config_bad(config, NULL, "<ssl-cert> and <ssl-key> of <storage><mysql> are for each other and for <ssl-ca> (wanted: ssl-ca "
			"alone, or all three)");
	if (!s->dbname || !s->user)
		config_bad(config, NULL, "no database (add <dbname>jabberd2</dbname>, <user> and <pass> to <storage><mysql>)");
	config_int(config, "storage.mysql.port", 0, 1, 65535);
}

/* The settings of one engine; their text is the caller's to free. */
static void read_settings(struct config *config, const struct engine *engine, struct store_settings *s)
{
	s->driver = engine->name;
	if (engine == &engine_sqlite)
		read_sqlite(config, s);
	else if (engine == &engine_pgsql)
		read_pgsql(config, s);
	else
		read_mysql(config, s);
}

static void free_settings(struct store_settings *s)
{
	s->driver = NULL; /* the engine's */
	settings_free(s);
}

/* Returns how many of settings are filled, to be freed. */
static unsigned read_all(struct config *config, struct store_settings *settings)
{
	uint8_t engine_of[T_COUNT];
	unsigned n = 0;

	if (!read_drivers(config, engine_of))
		return 0;
	for (unsigned i = 0; i < NENGINES; i++) {
		for (unsigned t = 0; t < T_COUNT; t++) {
			if (engine_of[t] == i)
				settings[n].tables |= 1u << t;
		}
		if (!settings[n].tables)
			continue;
		if (engines[i]->reconnect)
			settings[n].threads = SERVER_THREADS;
		read_settings(config, engines[i], &settings[n++]);
	}
	return n;
}

void store_check_config(struct config *config)
{
	struct store_settings settings[STORE_DATABASES_MAX] = { { 0 } };
	unsigned n = read_all(config, settings);

	published_name(config);
	while (n--)
		free_settings(&settings[n]);
}

/* The same, and the one name of a table that the config may choose. *good: no value is bad. */
static unsigned read_for_start(struct config *config, struct store_settings *settings, bool *good)
{
	int errors = config_errors(config);
	unsigned n;

	name_published(config); /* before the drivers: a type may name it */
	n = read_all(config, settings);
	*good = config_errors(config) == errors;
	return n;
}

struct store *store_open(struct config *config, unsigned threads)
{
	struct store_settings settings[STORE_DATABASES_MAX] = { { 0 } };
	struct store *store = NULL;
	bool good;
	unsigned n = read_for_start(config, settings, &good);

	if (good)
		store = store_open_settings(settings, n, threads);
	for (unsigned i = 0; store && i < n; i++)
		log_notice("initialised storage driver '%s'", settings[i].driver);
	while (n--)
		free_settings(&settings[n]);
	return store;
}

/* Takes the databases that a start would make whole out of the settings, and says so. Returns how many are left. */
static unsigned leave_unmade(struct store_settings *settings, unsigned n, char *out, size_t cap)
{
	unsigned left = 0;
	size_t used = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct engine *engine = engine_find(span_str(settings[i].driver));

		if (!engine->unmade || !engine->unmade(&settings[i])) {
			settings[left++] = settings[i];
			continue;
		}
		used += (size_t)snprintf(out + used, cap - used, "%s, %s, is not there yet: a start makes it", settings[i].driver,
			settings[i].dbname);
		used = used < cap ? used : cap - 1;
		free_settings(&settings[i]);
	}
	return left;
}

bool store_look(struct config *config, unsigned threads, char *out, size_t cap)
{
	struct store_settings settings[STORE_DATABASES_MAX] = { { 0 } };
	struct store *store = NULL;
	bool ok;
	unsigned n = read_for_start(config, settings, &ok);

	*out = '\0';
	if (ok)
		n = leave_unmade(settings, n, out, cap);
	if (ok && n) {
		size_t used = strlen(out);

		store = store_open_settings(settings, n, threads);
		ok = store != NULL;
		if (ok && used)
			used += (size_t)snprintf(out + used, cap - used, "; ");
		if (ok && used < cap)
			store_describe(store, out + used, cap - used);
		store_close(&store);
	}
	while (n--)
		free_settings(&settings[n]);
	return ok;
}
