/* answers.h - the answers of a group on their way back, those to one mailbox together.
 * Threads: one at a time.
 * Owns: the answers, from answers_add() to answers_post().
 */
#ifndef SHARDSM_STORE_ANSWERS_H
#define SHARDSM_STORE_ANSWERS_H

#include "store/request.h"

/* With more mailboxes than these they go in more pieces. */
#define ANSWERS_MAILBOXES 16

struct answers { /* {0}: none */
	struct { struct mailbox *to; struct letter_chain letters; } v[ANSWERS_MAILBOXES];
	unsigned n;
};

/* Takes req. */
void answers_add(struct answers *answers, struct store_req *req);
/* In the order added, of those to the same mailbox. */
void answers_post(struct answers *answers);

#endif
