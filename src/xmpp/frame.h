/* frame.h - what frame.c and header.c share of a link's scanner.
 * Threads: the link's acceptor.
 * Owns: nothing.
 */
#ifndef XMPP_FRAME_H
#define XMPP_FRAME_H

#include "shardsm/route.h"

#include "xmpp/cut.h"

/* route_scanner.state: the cutter's own, and what the scanner knows besides. */
enum { CUTTER = 0xff, HEADER_SEEN = 0x100, SKIPPING = 0x200 };

enum route_result frame_bad(struct route_scanner *s, const char *condition, const char *error) COLD;
enum cut_result frame_cut(struct route_scanner *s, const char **p, const char *end, uint32_t stop) MUST_USE;
void frame_cut_reset(struct route_scanner *s);
/* Reads the stream header at buf, which begins with '<' and has two bytes at least. */
enum route_result frame_header(struct route_scanner *s, const char *buf, size_t len, size_t *used);

#endif
