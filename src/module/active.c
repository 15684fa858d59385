/* active.c - does the account exist: one row in "active" says so.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/clock.h"
#include "shardsm/module.h"

static int load_ask(struct store_req *req)
{
	return store_get(req, T_ACTIVE, STORE_ALL, value_null());
}

static bool load_done(struct user *u, const struct store_req *req, int first)
{
	u->exists = store_rows(req, first) > 0;
	return true;
}

static void user_create(struct event *ev, struct store_req *req)
{
	struct value row[] = { [ACTIVE_TIME] = value_int(clock_wall()) };

	(void)ev;
	store_delete(req, T_ACTIVE, STORE_ALL, value_null());
	store_put(req, T_ACTIVE, row);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_ACTIVE, STORE_ALL, value_null());
}

const struct module module_active = {
	.name = "active",
	.part = PART_ACCOUNT,
	.load_ask = load_ask,
	.load_done = load_done,
	.user_create = user_create,
	.user_delete = user_delete,
};
