/* roster.h - what the three files of the roster module share.
 * Threads: shards.
 * Owns: nothing.
 */
#ifndef SHARDSM_MODULE_ROSTER_H
#define SHARDSM_MODULE_ROSTER_H

#include "shardsm/module.h"

#define NS_ROSTER "jabber:iq:roster"

void roster_push(struct event *ev, const struct roster_item *item); /* to every session that fetched the roster */
void roster_store_item(struct store_req *req, const struct roster_item *item); /* in place of the one with its JID */
bool roster_full(const struct user *u);
extern bool roster_drop_requests; /* fixed before the threads start: requests for somebody who is away are not kept */

/* roster_load.c */
int roster_load_ask(struct store_req *req);
bool roster_load_done(struct user *u, const struct store_req *req, int first);

/* roster_subscription.c */
enum verdict roster_outbound(struct event *ev);
enum verdict roster_inbound(struct event *ev);

#endif
