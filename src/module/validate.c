/* validate.c - only messages, presence and IQs go on.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/module.h"

static enum verdict validate(struct event *ev)
{
	return event_is(ev, PL_CLIENT) ? event_error(ev, SE_BAD_REQUEST) : V_PASS;
}

const struct module module_validate = {
	.name = "validate",
	.in_sess = validate,
	.in_router = validate,
};
