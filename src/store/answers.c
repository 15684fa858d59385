/* answers.c - the answers of a group on their way back.
 * Threads: see answers.h.
 * Owns: see answers.h.
 */
#include "store/answers.h"

void answers_post(struct answers *answers)
{
	for (unsigned i = 0; i < answers->n; i++)
		mailbox_post_chain(answers->v[i].to, &answers->v[i].letters);
	answers->n = 0;
}

void answers_add(struct answers *answers, struct store_req *req)
{
	struct letter *letter = &req->letter;
	unsigned i = 0;

	while (i < answers->n && answers->v[i].to != req->to)
		i++;
	if (i == ANSWERS_MAILBOXES) {
		answers_post(answers);
		i = 0;
	}
	if (i == answers->n) {
		answers->v[i].to = req->to;
		letter_chain_init(&answers->v[i].letters);
		answers->n++;
	}
	letter_chain_add(&answers->v[i].letters, &letter);
}
