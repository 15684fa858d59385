/* standstill.h - a moment in which threads stand still, so that what they read without locks can be changed.
 * Threads: main begins and ends it; each of the others comes to it by a letter, between two of its packets.
 * Owns: its letters.
 * It lasts as long as the slowest thread takes to work off what was posted to it before.
 */
#ifndef SHARDSM_STANDSTILL_H
#define SHARDSM_STANDSTILL_H

#include "shardsm/mailbox.h"

struct standstill;
/* boxes: of the n threads, all of which run as long as it is used. NULL: no memory. */
struct standstill *standstill_new(struct mailbox *const *boxes, uint32_t n) MUST_USE;
void standstill_free(struct standstill **standstill);

void standstill_begin(struct standstill *standstill); /* returns when all stand still */
void standstill_end(struct standstill *standstill);

void standstill_here(struct letter *letter); /* the threads', for a LETTER_HALT; returns when all go on */

#endif
