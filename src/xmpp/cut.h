/* cut.h - where an element ends, found a read at a time.
 * Threads: any; state is in the caller's struct cut.
 * Owns: nothing.
 * On well-formed bytes the cutter finds the end that the gate finds; on others it may find any, or none, and the gate has the last word.
 */
#ifndef XMPP_CUT_H
#define XMPP_CUT_H

#include "shardsm/span.h"

enum cut_result {
	CUT_MORE,
	CUT_DONE, /* the element ended: *p is past it */
	CUT_BAD,  /* a comment, a processing instruction, a document type: nothing that the gate would pass */
};

struct cut {
	uint32_t state; /* 0 at first */
	uint32_t depth; /* open elements; 0 at first */
	char quote;
};

/* Goes on at *p. stop: the depth whose reaching by a tag's end is the end: 0 for elements, 1 for a stream header's start tag. */
enum cut_result cut_run(struct cut *c, const char **p, const char *end, uint32_t stop) MUST_USE;

#endif
