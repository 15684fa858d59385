/* stanza_error.h - stanza error conditions, with the types and codes that jabberd2 gives them.
 * Threads: any; constant tables.
 * Owns: nothing.
 * Source: RFC 6120 section 8.3.3; jabberd2's codes (XEP-0086).
 */
#ifndef SHARDSM_STANZA_ERROR_H
#define SHARDSM_STANZA_ERROR_H

#include "shardsm/buf.h"

#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

enum stanza_condition {
	SE_BAD_REQUEST,
	SE_CONFLICT,
	SE_FEATURE_NOT_IMPLEMENTED,
	SE_FORBIDDEN,
	SE_GONE,
	SE_INTERNAL_SERVER_ERROR,
	SE_ITEM_NOT_FOUND,
	SE_JID_MALFORMED,
	SE_NOT_ACCEPTABLE,
	SE_NOT_ALLOWED,
	SE_NOT_AUTHORIZED,
	SE_POLICY_VIOLATION,
	SE_RECIPIENT_UNAVAILABLE,
	SE_REDIRECT,
	SE_REGISTRATION_REQUIRED,
	SE_REMOTE_SERVER_NOT_FOUND,
	SE_REMOTE_SERVER_TIMEOUT,
	SE_RESOURCE_CONSTRAINT,
	SE_SERVICE_UNAVAILABLE,
	SE_SUBSCRIPTION_REQUIRED,
	SE_UNDEFINED_CONDITION,
	SE_UNEXPECTED_REQUEST,
	SE_CONDITIONS
};

struct stanza_error {
	const char *condition; /* the element's name */
	const char *type;      /* auth, cancel, continue, modify, wait */
	int code;
};

/* Never NULL; what is no condition is undefined-condition. */
const struct stanza_error *stanza_error(enum stanza_condition condition);

/* Writes <error code='NNN' type='...'><condition xmlns='...'/>[<text xmlns='...'>text</text>]</error>. text: NULL for none. */
void stanza_error_write(struct buf *out, enum stanza_condition condition, const char *text);

/* What the error attribute of a route that came back means for the sender of its stanza. COMPAT jabberd2: 404 is item-not-found,
 * and what has no condition of its own is remote-server-not-found. */
enum stanza_condition stanza_error_of_route(unsigned code);

#endif
