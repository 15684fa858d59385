/* links_peer.h - the other end of a link: what it was told, and how it says the right thing.
 * Threads: one.
 * Owns: what it was told and has not read; its side of a login.
 */
#ifndef TESTS_FUZZ_LINKS_PEER_H
#define TESTS_FUZZ_LINKS_PEER_H

#include "io/link.h"

#define PEER_USER "jabberd"
#define PEER_PASS "secret"
#define PEER_SECRET "handshake"

struct peer {
	int fd;                      /* see links_wire.h; -1: closed */
	struct link *link;           /* NULL: gone */
	bool accept, deaf;
	struct gsasl_digests *digests; /* the links' own */
	struct buf in;               /* told and not read */
	struct route_scanner scanner;
	char stream_id[64];
	struct buf sasl;             /* what the last challenge or response said */
	struct digest *server;
};

void peer_come(struct peer *peer, bool accept, struct gsasl_digests *digests);
void peer_go(struct peer *peer);
/* Reads what it was told; false: nothing. Aborts where that is not what a stream may hold. out: gets every frame of it, but for ids that are
 * drawn and SASL; NULL: nothing does. */
bool peer_hear(struct peer *peer, struct buf *out);
/* A line of a script as the bytes that it stands for. */
void peer_put(struct buf *out, struct peer *peer, struct span line);

#endif
