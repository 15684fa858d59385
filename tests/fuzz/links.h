/* links.h - an acceptor on the thread of the test, with a socket pair for each link, and a script of what their peers do.
 * Threads: one.
 * Owns: everything, from links_open() to links_close(); records until the next play.
 *
 * A script is lines. The first character of a line says what it is:
 *   +L     link L comes: a and b are jabberd2 components, c a XEP-0114 component, d the router that we dialled
 *   *L     the same; its password was right a moment ago
 *   a..d   the rest is what comes on that link, read at once. $n is a line's end, $c a challenge and $r the right response to the last
 *          one, $s the right success for the last response, $h the right handshake; $C, $S, $J, $A, $T, $L are namespaces
 *   >L     a shard sends the rest to the link, if the gate passes it
 *   -L /L  its peer is gone; says no more
 *   !L     its peer reads nothing, or again
 *   h      the shards take nothing, or again
 *   tN     time goes by, 10^N ms
 * Anything else is read over.
 */
#ifndef TESTS_FUZZ_LINKS_H
#define TESTS_FUZZ_LINKS_H

#include "io/link.h"

#define LINKS 4
#define LINKS_SHARDS 2
#define LINKS_TO_THE_END UINT32_MAX

enum letter_of_link { LINK_A, LINK_B, LINK_ACCEPT, LINK_ROUTER };

/* How a script is played. What is recorded must not depend on it. */
struct manner {
	bool shapes; /* start tags are remembered */
	bool pieces; /* each line comes in several reads */
	bool mxml;   /* mini-XML reads every envelope */
	uint32_t lines; /* nothing is recorded behind so many; LINKS_TO_THE_END: see links_play() */
};

/* What the peers were told, frame by frame, and what went to the shards: ids that are drawn, and SASL, are left out. */
struct records {
	struct buf told[LINKS], posted[LINKS_SHARDS];
};

void links_open(void);
void links_close(void);
/* Plays it, then every peer goes, and nothing may be left. Aborts where a promise is broken. Returns the number of the line behind which it
 * depends on the manner what happens, since a stream has ended or somebody does not keep up; LINKS_TO_THE_END: there is none. */
uint32_t links_play(struct span script, const struct manner *manner, struct records *out);

/* links_told.c: a frame that came to a shard, as text; checked against expat on the way. */
void links_packet(struct buf *out, const struct packet *p, char from);

#endif
