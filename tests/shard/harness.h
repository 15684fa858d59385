/* harness.h - the shards without sockets: a server on a temporary SQLite file, fed with frames, its output caught.
 * Threads: one test thread; the server's own run beside it.
 * Owns: everything, from harness_new() to harness_free().
 */
#ifndef TESTS_SHARD_HARNESS_H
#define TESTS_SHARD_HARNESS_H

#include "shardsm/outbox.h"
#include "shardsm/server.h"

#define DOMAIN "shard.test"

struct harness;

struct harness *harness_new(uint32_t nshards);
void harness_free(struct harness **h); /* stops the server as SIGTERM does */

/* One more component link, as a c2s called name would have. */
struct fake_link;
struct fake_link *harness_link(struct harness *h, const char *name);
void harness_forget(struct fake_link **link); /* after harness_free() */
/* Hands one frame to the shards as an acceptor would, in the order of calls. */
void harness_send(struct fake_link *link, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Posts what was sent since the last call as one burst. */
void harness_burst(struct harness *h);
/* It takes nothing, and holds at most limit bytes; false: it takes what waits, and what comes. */
void harness_stall(struct fake_link *link, bool stalls, uint64_t limit);
void harness_lose(struct harness *h, struct fake_link *link); /* the link is gone */
struct mailbox *const *harness_mailboxes(const struct harness *h); /* the shards' */

/* Waits until the link has been written something that holds needle (behind *at, which moves past it) and returns its place, or
 * ends the test program after a minute. */
const char *harness_expect(struct fake_link *link, size_t *at, const char *needle);
/* All that the link has been written so far; valid until the next call. */
struct span harness_output(struct fake_link *link);
/* Starts a session and returns sc:sm. id: unique for the link. */
void harness_session(struct fake_link *link, const char *user, const char *resource, int id, char sm[41]);
void harness_create(struct fake_link *link, const char *user);

#endif
