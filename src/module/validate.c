/* validate.c - only messages, presence and IQs go on, and no request without content.
 * Threads: shards.
 * Owns: nothing.
 */
#include "shardsm/module.h"

/* An IQ request that the server answers, for itself or for an account. What a client is asked is that client's to judge. */
static bool is_request(const struct event *ev)
{
	if (!event_is(ev, PL_IQ) || (ev->type != ST_GET && ev->type != ST_SET))
		return false;
	return ev->chain == CHAIN_IN_SESS ? ev->to_self : !jid_has_resource(&ev->packet->to);
}

static enum verdict validate(struct event *ev)
{
	if (event_is(ev, PL_CLIENT))
		return event_error(ev, SE_BAD_REQUEST);
	/* RFC 6120 section 8.2.3: a request holds exactly one child element. That it is not more than one, its handler finds. */
	if (is_request(ev) && !ev->packet->route.child.len)
		return event_error_text(ev, SE_BAD_REQUEST, "the request holds no element");
	return V_PASS;
}

const struct module module_validate = {
	.name = "validate",
	.about = ABOUT_IQS | ABOUT_OTHERS,
	.in_sess = validate,
	.in_router = validate,
};
