/* subscription.c - RFC 6121 appendix A.
 * Threads: any; pure functions.
 * Owns: nothing.
 */
#include "shardsm/subscription.h"

static struct subscription_step step(struct subscription old, struct subscription next, bool pass)
{
	bool push = old.to != next.to || old.from != next.from || old.ask != next.ask;

	return (struct subscription_step){ .next = next, .pass = pass, .push = push, .changed = push || old.pending != next.pending };
}

struct subscription_step subscription_outbound(struct subscription s, enum subscription_kind kind)
{
	struct subscription n = s;

	switch (kind) {
	case SUB_SUBSCRIBE: /* A.2.1: always routed */
		n.ask = !s.to;
		return step(s, n, true);
	case SUB_UNSUBSCRIBE: /* A.2.2: always routed */
		n.to = n.ask = false;
		return step(s, n, true);
	case SUB_SUBSCRIBED: /* A.2.3: only as the answer to a request */
		n.from = s.from || s.pending;
		n.pending = false;
		return step(s, n, s.pending);
	case SUB_UNSUBSCRIBED: /* A.2.4: refuses a request or takes a subscription back */
		n.from = n.pending = false;
		return step(s, n, s.from || s.pending);
	}
	return step(s, s, false);
}

struct subscription_step subscription_inbound(struct subscription s, enum subscription_kind kind)
{
	struct subscription n = s;
	struct subscription_step r;

	switch (kind) {
	case SUB_SUBSCRIBE: /* A.3.1: delivered once; who has it already is answered for the user */
		n.pending = !s.from;
		r = step(s, n, !s.from && !s.pending);
		r.reply = s.from;
		return r;
	case SUB_UNSUBSCRIBE: /* A.3.2: who ends something is answered for the user */
		n.from = n.pending = false;
		r = step(s, n, s.from || s.pending);
		/* But not a stranger who asked and takes it back: a name without an account would be silent (RFC 6120 section 13.11). */
		r.reply = r.changed && (s.from || s.to || s.ask);
		return r;
	case SUB_SUBSCRIBED: /* A.3.3: only what we asked for */
		n.to = s.to || s.ask;
		n.ask = false;
		return step(s, n, s.ask && !s.to);
	case SUB_UNSUBSCRIBED: /* A.3.4 */
		n.to = n.ask = false;
		return step(s, n, s.to || s.ask);
	}
	return step(s, s, false);
}
