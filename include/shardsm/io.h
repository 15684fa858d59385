/* io.h - links as a whole: what main.c opens, starts and stops.
 * Threads: main's; the callbacks run on an acceptor's.
 * Owns: acceptors, their threads, every link. What the config points at is the caller's, and outlives the io.
 */
#ifndef SHARDSM_IO_H
#define SHARDSM_IO_H

#include "shardsm/deadline.h"
#include "shardsm/names.h"
#include "shardsm/route.h"
#include "shardsm/tls.h"

/* The router that we dial. */
struct io_router {
	const char *ip;   /* numeric; NULL: none is dialled */
	uint16_t port;
	const char *user, *pass;
	int retry_init, retry_lost; /* attempts before the first success and after a loss, -1: for ever */
	int retry_sleep;            /* seconds between two */
};

/* One place where components dial us. */
struct io_listen {
	const char *ip;   /* numeric */
	uint16_t port;    /* 0: the kernel picks, the log says which */
	const char *user, *pass; /* SASL DIGEST-MD5 */
	const char *secret;      /* XEP-0114; NULL: such components are refused */
	const struct tls_context *tls; /* NULL: STARTTLS is not offered */
};

/* What may change while the acceptors stand still; what listens point at too, in place. */
struct io_tuning {
	struct route_limits limits;
	const struct tls_context *router_tls; /* of the next connection to the router; NULL: in clear */
	uint64_t link_bytes;       /* an outbox holding more is closed */
	uint64_t links_bytes;      /* all together holding more, the one that holds most is closed; 0: never */
	uint32_t silence_s;        /* a link whose other end acknowledges nothing, or takes nothing, for so long is lost; 0: the kernel's hours */
	uint64_t shard_bytes;      /* links whose next frame goes to a shard with more are not read until it has less than half */
};

struct io_config {
	uint32_t acceptors;
	struct mailbox *const *shards;
	uint32_t nshards;
	struct names *names;
	struct io_tuning tuning;
	bool route_mxml;           /* every envelope is read by mini-XML */
	struct span id;            /* our component name */
	const struct span *domains; /* served, prepared */
	uint32_t ndomains;
	struct io_router router;
	const struct io_listen *listens;
	uint32_t nlistens;
	uint32_t login_ms;         /* a link that has not logged in by then is closed; 0: 10 s */
	/* No router could be reached, or it refused what we need: why was logged; main stops everything and exits non-zero. */
	void (*gave_up)(void *arg);
	void (*ready)(void *arg);  /* every name is bound at the router (each time); never without a router */
	void *arg;
};

struct io;

/* Opens the listening sockets. NULL: why was logged, with what would be right. */
struct io *io_open(const struct io_config *config) MUST_USE;
/* Starts the threads: dials and accepts. */
bool io_start(struct io *io) MUST_USE;
/* While the acceptors stand still: what links are measured by from now on, those that are there too. */
void io_retune(struct io *io, const struct io_tuning *tuning);
struct mailbox *io_mailbox(struct io *io, uint32_t i); /* of an acceptor */
uint16_t io_listening(const struct io *io, uint32_t i); /* the port that listens[i] is bound to */
/* Stops accepting and dialling; what the kernel holds of the links is read once more, then reading stops too; what was read is
 * posted by QUEUED_PERCENT of the deadline. When it returns nothing is posted to a shard any more; writing goes on. */
#define QUEUED_PERCENT 40
void io_quiesce(struct io *io, const struct deadline *deadline);
/* After the shards are done: ends every stream, waits until all is written, by LINKS_PERCENT of the deadline, closes, frees. Quiesces
 * first if that was not done. False: not all that came was worked off, or not all of it written. */
#define LINKS_PERCENT 90
bool io_stop(struct io **io, const struct deadline *deadline);

#endif
