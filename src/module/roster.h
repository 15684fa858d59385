/* roster.h - what the three files of the roster module share.
 * Threads: shards.
 * Owns: nothing.
 */
#ifndef SHARDSM_MODULE_ROSTER_H
#define SHARDSM_MODULE_ROSTER_H

#include "shardsm/module.h"

#define NS_ROSTER "jabber:iq:roster"

void roster_push(struct event *ev, const struct roster_item *item); /* to every session that fetched the roster, with the version in force */
/* The groups of an item, in text; groups has room for 64. False: one is empty, too long or there twice, or there are too many; why says which. */
bool roster_read_groups(struct xml *item, struct buf *text, struct span *groups, uint32_t *n, enum stanza_condition *why);
void roster_store_item(struct store_req *req, const struct roster_item *item); /* in place of the one with its JID */
bool roster_full(const struct user *u);
bool roster_requests_full(const struct user *u); /* as many ask for a subscription as may wait for an answer */
bool roster_drops_requests(void); /* those for somebody who is away are not kept */
/* The committed item in memory, and its version in force. Takes it. False: no memory. roster_turn() tells privacy lists, and those whom it
 * concerns. */
bool roster_turn(struct event *ev, struct roster_item **item) MUST_USE;
bool roster_change(struct user *u, struct roster_item **item) MUST_USE;
void roster_take_out(struct user *u, struct span jid); /* the same for a removal */

/* roster_load.c */
int roster_load_ask(struct store_req *req);
bool roster_load_done(struct user *u, const struct store_req *req, int first);

/* roster_version.c. A change: its row is written with the item, in one request; when that is committed the version is put in force. */
struct roster_version roster_version_after(const struct user *u, const struct roster_item *old, const struct roster_item *new);
void roster_version_write(struct store_req *req, const struct roster_version *v, struct span jid);
void roster_version_use(struct event *ev); /* a client wants versions: kept from now on */
int roster_version_ask(struct store_req *req);
bool roster_version_load(struct user *u, const struct store_req *req, int stmt); /* after the items */
void roster_version_attr(struct buf *out, const struct roster_version *v, uint32_t number);
bool roster_version_read(const struct roster_version *v, struct span ver, uint32_t *number); /* false: not one that we can go on from */

/* roster_subscription.c */
enum verdict roster_outbound(struct event *ev);
enum verdict roster_inbound(struct event *ev);

#endif
