/* shape.h - the start tags of a link's last frames: a frame that begins like one of them has its envelope without a parse.
 * Threads: those of the scanner that the shapes are given to.
 * Owns: nothing; shapes are their scanner's user's.
 */
#ifndef XMPP_SHAPE_H
#define XMPP_SHAPE_H

#include "xmpp/gate.h"

/* Puts the gate and its route behind the start tags of route and payload, as the gate itself would have left them: the payload's element
 * is open even where its tag is empty. False: the bytes are none of the shapes, nothing has changed. */
bool shape_match(struct gate *g) MUST_USE;
/* The gate has just read both tags, and nothing else: what it saw becomes a shape. */
void shape_learn(const struct gate *g);

#endif
