/* stanza_error.c - stanza error conditions.
 * Threads: any; constant tables.
 * Owns: nothing.
 */
#include "shardsm/stanza_error.h"

static const struct stanza_error errors[SE_CONDITIONS] = {
	[SE_BAD_REQUEST] = { "bad-request", "modify", 400 },
	[SE_CONFLICT] = { "conflict", "cancel", 409 },
	[SE_FEATURE_NOT_IMPLEMENTED] = { "feature-not-implemented", "cancel", 501 },
	[SE_FORBIDDEN] = { "forbidden", "auth", 403 },
	[SE_GONE] = { "gone", "modify", 302 },
	[SE_INTERNAL_SERVER_ERROR] = { "internal-server-error", "wait", 500 },
	[SE_ITEM_NOT_FOUND] = { "item-not-found", "cancel", 404 },
	[SE_JID_MALFORMED] = { "jid-malformed", "modify", 400 },
	[SE_NOT_ACCEPTABLE] = { "not-acceptable", "cancel", 406 },
	[SE_NOT_ALLOWED] = { "not-allowed", "cancel", 405 },
	[SE_NOT_AUTHORIZED] = { "not-authorized", "auth", 401 },
	[SE_POLICY_VIOLATION] = { "policy-violation", "modify", 405 },
	[SE_RECIPIENT_UNAVAILABLE] = { "recipient-unavailable", "wait", 404 },
	[SE_REDIRECT] = { "redirect", "modify", 302 },
	[SE_REGISTRATION_REQUIRED] = { "registration-required", "auth", 407 },
	[SE_REMOTE_SERVER_NOT_FOUND] = { "remote-server-not-found", "cancel", 404 },
	[SE_REMOTE_SERVER_TIMEOUT] = { "remote-server-timeout", "wait", 502 },
	[SE_RESOURCE_CONSTRAINT] = { "resource-constraint", "wait", 500 },
	[SE_SERVICE_UNAVAILABLE] = { "service-unavailable", "cancel", 503 },
	[SE_SUBSCRIPTION_REQUIRED] = { "subscription-required", "auth", 407 },
	[SE_UNDEFINED_CONDITION] = { "undefined-condition", "cancel", 500 },
	[SE_UNEXPECTED_REQUEST] = { "unexpected-request", "wait", 400 },
};

const struct stanza_error *stanza_error(enum stanza_condition condition)
{
	return &errors[(unsigned)condition < SE_CONDITIONS ? condition : SE_UNDEFINED_CONDITION];
}

void stanza_error_write(struct buf *out, enum stanza_condition condition, const char *text)
{
	const struct stanza_error *e = stanza_error(condition);

	buf_fmt(out, "<error code='%d' type='%s'><%s xmlns='" NS_STANZAS "'/>", e->code, e->type, e->condition);
	if (text) {
		buf_str(out, "<text xmlns='" NS_STANZAS "'>");
		buf_text(out, span_str(text));
		buf_str(out, "</text>");
	}
	buf_str(out, "</error>");
}

enum stanza_condition stanza_error_of_route(unsigned code)
{
	static const struct {
		unsigned code;
		enum stanza_condition condition;
	} table[] = {
		{ 400, SE_BAD_REQUEST },       { 401, SE_FORBIDDEN },
		{ 403, SE_FORBIDDEN },         { 404, SE_ITEM_NOT_FOUND },
		{ 405, SE_NOT_ALLOWED },       { 406, SE_NOT_ACCEPTABLE },
		{ 409, SE_CONFLICT },          { 500, SE_INTERNAL_SERVER_ERROR },
		{ 501, SE_FEATURE_NOT_IMPLEMENTED }, { 502, SE_REMOTE_SERVER_TIMEOUT },
		{ 503, SE_SERVICE_UNAVAILABLE },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].code == code)
			return table[i].condition;
	return SE_REMOTE_SERVER_NOT_FOUND;
}
