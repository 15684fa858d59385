/* subscription.h - the subscription state machine of RFC 6121 appendix A, as pure functions.
 * Threads: any; values.
 */
#ifndef SHARDSM_SUBSCRIPTION_H
#define SHARDSM_SUBSCRIPTION_H

#include <stdbool.h>

enum subscription_kind { SUB_SUBSCRIBE, SUB_SUBSCRIBED, SUB_UNSUBSCRIBE, SUB_UNSUBSCRIBED };

/* One user's side of a relation. The nine states of the appendix are the combinations in which ask excludes to, and pending excludes from. */
struct subscription {
	bool to;      /* we see the contact's presence */
	bool from;    /* the contact sees ours */
	bool ask;     /* Pending Out: we asked and were not answered */
	bool pending; /* Pending In: the contact asked and we have not answered */
};

struct subscription_step {
	struct subscription next;
	bool pass;    /* outbound: route it to the contact; inbound: deliver it to the user */
	bool reply;   /* inbound: answer for the user, "subscribed" to a subscribe, "unsubscribed" to an unsubscribe */
	bool changed; /* next differs from the state before */
	bool push;    /* the roster as clients see it (to, from, ask) changed */
};

struct subscription_step subscription_outbound(struct subscription s, enum subscription_kind kind);
struct subscription_step subscription_inbound(struct subscription s, enum subscription_kind kind);

#endif
