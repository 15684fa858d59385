/* world.h - a whole session manager on one thread: real shards, links without sockets, a store without a database. What happens is what a
 * script says, in that order, every time.
 * Threads: one.
 * Owns: everything, from world_open() to world_close().
 *
 * A script is lines. The first character of a line says what it is:
 *   +SUresource  session S (a to f) of user U (0 alice, 1 bob, 2 carol, 3 admin) starts, on the c2s of its letter
 *   -S           it ends
 *   a..f         what follows is a stanza of that session
 *   n            what follows is a stanza from another domain
 *   r, R         what follows is a frame as it comes from the first c2s, from a component
 *   kU, xU       the account U is made, is deleted
 *   =TUrow       user U (4: the server) has a row in table T ('A' and on, as enum store_table), cells separated by '|'
 *   !f !u        the next request of the store fails, finds a full disk
 *   !c !n        the second c2s' link is lost; the first c2s goes away by name
 *   !h !g        a component comes, goes
 *   !s           the first c2s does not read, with WORLD_STALLED bytes before its link is closed; the next !s: it does
 *   ~            from here on the store answers at the next ~ only
 *   .            nothing, all is worked off
 * Anything else is read over. $S in a stanza is the id (sc:sm) of session S.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include "shardsm/packet.h"
#include "shardsm/server.h"

#define WORLD_DOMAIN "shard.test"
#define WORLD_SHARDS 2
#define WORLD_USERS 4
#define WORLD_STALLED 4096
#define WORLD_SEATS 64 /* session starts of one script */

enum world_link { LINK_C2S, LINK_C2S_2, LINK_S2S, LINK_COMPONENT, WORLD_LINKS };

/* A session as the c2s sees it. */
struct seat {
	unsigned user;
	enum world_link link;
	char c2s[8], sm[41];
	bool started, ended; /* as answered */
	bool lost;           /* its end was asked for, or its link is gone */
};

/* What a client sent and an answer is due for. */
struct due {
	char id[8];
	bool iq, message;
	bool addressed;     /* an IQ that says to whom */
	unsigned seen;
	uint64_t told;      /* a message: the seats that have it, a bit each */
	bool bounced;       /* and its sender was told that it did not go */
	struct seat *from;
};
#define WORLD_DUES 256

/* config: the sample configuration, doc/sm.xml. */
void world_open(const char *config);
void world_close(void);
/* Plays a script; then every session ends, and nothing may be left. Aborts where a promise is broken. strict: what is sent is
 * answered exactly once; else (memory is scarce) at most once. */
void world_play(struct span script, bool strict);
/* What the links were written since world_play() began, ids of ours made equal: the same for the same script. */
struct span world_summary(void);

#endif
