/* compare.h - a struct route held against what expat reads in the same frame.
 * Threads: any.
 * Owns: nothing.
 */
#ifndef TESTS_COMPARE_H
#define TESTS_COMPARE_H

#include "shardsm/route.h"

/* frame: route->len bytes and the extra ones. NULL: every field is as it should be; else the name of one that is not. */
const char *compare_envelope(const struct route *route, const char *frame, bool accept);
/* The stanza put together as it is sent on, against the stanza as it came. Stanzas only. */
const char *compare_forwarded(const struct route *route, const char *frame, bool accept);
/* Both, for the frame as the scanner leaves it and as mini-XML reads it. *odd counts frames that need mini-XML. */
const char *compare_readers(struct span frame, bool accept, unsigned *odd);

/* Every field the same. Both were all zeros before they were read. */
bool compare_same(const struct route *a, const struct route *b);

#endif
