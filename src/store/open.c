/* open.c - <storage> of sm.xml: which engine, with which settings.
 * Threads: main, at start.
 * Owns: nothing that outlives the call.
 */
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/config.h"
#include "store/engine.h"

static const struct engine *const engines[] = { &engine_sqlite };
#define NENGINES (sizeof(engines) / sizeof(engines[0]))

#define BUSY_TIMEOUT_MS 2000 /* jabberd2's sample configuration has it */
#define BUSY_TIMEOUT_MAX_MS 60000

const struct engine *engine_find(struct span name)
{
	for (unsigned i = 0; i < NENGINES; i++) {
		if (span_is(name, engines[i]->name))
			return engines[i];
	}
	return NULL;
}

const char *engine_names(void)
{
	static char names[100]; /* written before there are threads */
	size_t n = 0;

	for (unsigned i = 0; i < NENGINES && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "", engines[i]->name);
	return names;
}

/* jabberd2 can have a driver of its own for a type of data; here one serves all. NULL: told to the config. */
static const struct engine *read_driver(struct config *config)
{
	const struct engine *engine = NULL;
	uint32_t n = config_count(config, "storage.driver");
	bool ok = true;

	for (uint32_t i = 0; i < n; i++) {
		const struct config_value *v = config_get(config, "storage.driver", i);
		struct span name = config_value_text(v);
		const struct engine *found = engine_find(name);

		if (!found || (engine && engine != found)) {
			struct span type = config_attr(v, "type"), what = type.p ? type : SPAN("all");

			ok = false;
			config_bad(config, v, "driver \"" SPAN_FMT "\" for " SPAN_FMT " data cannot be used "
				"(wanted: one for all data, of: %s)", SPAN_ARG(name), SPAN_ARG(what),
				engine_names());
		}
		if (found)
			engine = found;
	}
	if (!ok)
		return NULL;
	return engine ? engine : engines[0];
}

/* The value of a key as a string of its own; NULL: absent or empty. */
static char *read_text(struct config *config, const char *key)
{
	struct span s = config_text(config, key, NULL);

	return s.n ? strndup(s.p, s.n) : NULL;
}

struct store *store_open(struct config *config, unsigned threads)
{
	int errors = config_errors(config);
	const struct engine *engine = read_driver(config);

	if (!engine)
		return NULL;
	char *dbname = read_text(config, "storage.sqlite.dbname");
	char *sql = read_text(config, "storage.sqlite.sql");
	char *prefix = read_text(config, "storage.sqlite.prefix");
	struct store_settings settings = {
		.driver = engine->name,
		.dbname = dbname,
		.sql = sql,
		.prefix = prefix,
		.busy_timeout_ms = (int)config_int(config, "storage.sqlite.busy-timeout", BUSY_TIMEOUT_MS, 0,
			BUSY_TIMEOUT_MAX_MS),
	};
	struct store *store = NULL;

	if (!dbname)
		config_bad(config, NULL, "no database file (add <storage><sqlite><dbname>/var/lib/jabberd2/sqlite.db</dbname>"
			"</sqlite></storage>)");
	else if (config_errors(config) == errors)
		store = store_open_settings(&settings, threads);
	free(dbname);
	free(sql);
	free(prefix);
	return store;
}
