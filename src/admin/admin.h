/* admin.h - the admin room from inside: connections, commands, the metrics' text.
 * Threads: main's.
 * Owns: struct admin owns its connections; a connection its bytes.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "shardsm/admin.h"

#define ASKED_BYTES 4096       /* of a request: a command's line, an HTTP header */
#define CONNECTIONS_MAX 32u    /* of each socket; who comes then takes the place of the one that has been there longest */
#define CONNECTION_MS 10000    /* a connection may take this long in all */

struct connection;

/* What epoll hands back. */
struct watch {
	void (*ready)(struct admin *admin, struct watch *w, uint32_t events);
	int fd; /* -1: none */
};

/* A socket that is listened on, and how what comes in there is answered: called when bytes have come; fills c->out and calls
 * connection_answer(), now or when the shards have answered. */
struct door {
	struct watch watch;
	void (*asked)(struct admin *admin, struct connection *c, bool whole); /* whole: nothing more will come */
	bool local; /* a unix socket: who is there is looked at */
	uint32_t open;
};

enum connection_stage { ASKING, WAITING, ANSWERING, PARTING, GONE };

struct connection {
	struct watch watch; /* first */
	struct connection *next;
	struct door *door;
	enum connection_stage stage;
	uint64_t id, deadline;
	char in[ASKED_BYTES];
	uint32_t in_len;
	struct buf out;
	uint32_t sent;
	/* WAITING: for answers of shards */
	void (*answered)(struct admin *admin, struct connection *c);
	uint32_t due, count, left_out;
};

struct admin {
	struct admin_settings set;
	int ep;
	struct watch signals, letters;
	struct mailbox box; /* answers of shards */
	struct door control, metrics;
	struct connection *connections, *gone; /* the newest first; freed at the end of the turn */
	uint64_t last_id;
	int64_t started;     /* wall clock */
	uint64_t started_ms; /* monotonic */
	uint16_t metrics_port;
	bool stop, draining;
};

/* loop.c */
bool admin_watch(struct admin *admin, struct watch *w, uint32_t events, bool again);

/* door.c */
bool door_open_control(struct admin *admin, const char *path) MUST_USE;
bool door_open_metrics(struct admin *admin, const char *ip, uint16_t port) MUST_USE;

/* connection.c */
void connection_accept(struct admin *admin, struct watch *door, uint32_t events);
void connection_answer(struct admin *admin, struct connection *c); /* out is complete: send it, then part */
struct connection *connection_find(struct admin *admin, uint64_t id);
void connections_sweep(struct admin *admin, uint64_t now); /* at the end of a turn: those whose time is over, and those that have gone */
void connections_close(struct admin *admin);

/* http.c, command.c */
void http_asked(struct admin *admin, struct connection *c, bool whole);
void command_asked(struct admin *admin, struct connection *c, bool whole);
void command_collect(struct admin *admin, struct server_answer *answer); /* one shard's; takes it */

/* metrics.c, process.c */
void metrics_write(const struct admin *admin, struct buf *out);
void metrics_family(struct buf *out, const char *name, const char *type, const char *help);
uint64_t metrics_in_flight(void); /* requests to the database without an answer yet */
/* For each name that is bound; the router that we dialled, if there is one, has none. */
void metrics_each_link(const struct admin *admin, void (*fn)(struct span name, unsigned flags, struct outbox *ob, void *arg), void *arg);
void process_write(const struct admin *admin, struct buf *out);

#endif
