/* peer_open.h - how the links of peer.h come to stand.
 * Threads: the one thread of the program.
 * Owns: the sockets go to the links' wires.
 */
#ifndef BENCH_PEER_OPEN_H
#define BENCH_PEER_OPEN_H

#include "peer.h"

void peer_dial_all(struct peers *p); /* as c2s */
void peer_serve(struct peers *p);    /* as router: listens, takes one sm */
/* Router: answers a <bind/> or <unbind/>, tells the sm of our c2s. Other elements are ignored. */
void peer_bind(struct peers *p, struct peer_link *l, const struct frame *f);

#endif
