/* link.h - links, the acceptors that run them, and what the files of this room call in each other.
 * Threads: everything in a link but its outbox belongs to its acceptor; struct io is fixed after io_start() but for what is said.
 * Owns: an acceptor owns its links by one reference each; a link is freed, and its socket closed, with the last reference on its
 * outbox, by whatever thread drops it.
 */
#ifndef IO_LINK_H
#define IO_LINK_H

#include <pthread.h>
#include <semaphore.h>

#include "shardsm/buf.h"
#include "shardsm/io.h"
#include "shardsm/packet.h"
#include "shardsm/room.h"
#include "shardsm/stanza_error.h"
#include "shardsm/xml.h"

struct acceptor;
struct digest;
struct tls;
struct gsasl_digests;

/* What epoll hands back. */
struct watch {
	void (*ready)(struct acceptor *a, struct watch *w, uint32_t events);
	int fd;
	uint32_t events; /* asked for now */
};

#define READ_BYTES (256u * 1024) /* a read at most; larger only for a larger frame */

enum link_stage {
	/* a component dialled us */
	IN_HEADER, IN_TLS, IN_AUTH, IN_RESPONSE, IN_RESTART, IN_HANDSHAKE, IN_PENALTY,
	/* we dialled a router */
	OUT_CONNECT, OUT_HEADER, OUT_FEATURES, OUT_PROCEED, OUT_TLS, OUT_CHALLENGE, OUT_RESTART, OUT_RESTART_FEATURES,
	LINK_ONLINE,
	LINK_CLOSING, /* our last words are on their way */
	LINK_CLOSED,  /* off the acceptor's list, unref'd at the end of the turn */
};

/* A name that a link has bound, with everything that telling of its end will take. */
struct bound {
	struct bound *next;
	struct peer_gone **gone; /* one for each shard */
	uint32_t name_len;
	char name[];
};

struct link {
	struct outbox ob;        /* first: the link's counted part */
	struct acceptor *home;
	struct watch watch;
	struct link *next, **at; /* in home's list */
	enum link_stage stage;
	bool router;             /* we dialled it */
	bool refused;            /* the router turned down what we need: do not dial again */
	bool at_once;            /* the router ended the stream by an error: dial again without a pause, if it was not a short one */
	bool known;              /* has been online: the shards may have heard of it */
	bool header_sent, counted, told; /* told: of the names that were there before it */
	uint64_t deadline;       /* of the login or the closing, ms; 0: none */
	uint64_t since;          /* when it came online, ms */
	const struct io_listen *listen; /* where it came in; NULL: dialled */
	struct digest *digest;
	struct tls *tls;         /* NULL: in clear. Set while the link is a stranger; then its acceptor alone writes. */
	char stream_id[33];
	char *peer;              /* XEP-0114: the name it asked for in its header */
	uint32_t binds;          /* router: answers that are due */

	struct route_scanner scanner;
	char *in;                /* read and not worked off: [in_off, in_len) */
	uint32_t in_cap, in_off, in_len;
	bool held;               /* the frame at held_off waits for its shard */
	struct route held_route;
	uint32_t held_off, held_shard;
	struct link *next_held;  /* in the line of that shard */
	uint32_t burst;          /* bytes sent on to shards, and forgiven with time */
	uint64_t burst_since;    /* ms: forgiven until then */
	char from[256];          /* the last route from that was checked; empty: none */
	uint32_t from_len;

	/* salvage.c's, when nobody else knows the link any more: a chunk that was not written, what was of it, what has been looked at */
	struct span wreck;
	uint32_t wreck_written, wreck_off;
	uint64_t wreck_said, wreck_to; /* the message looked at last, and whose copy it was: hashes */

	/* takeover.c's: who has the name that this one wants (counted), since when it is asked, ms; it did answer */
	struct outbox *rival;
	uint64_t rival_since;
	bool rival_answers;

	bool unread; /* it is not read until it has read more of what it was sent */

	struct bound *names;
	struct peer_gone **gone; /* for the end of the whole link, one for each shard */

	/* Any thread: what is asked of the acceptor. The letter is posted by who sets the first bit. */
	struct letter letter;
	_Atomic uint32_t asks;   /* enum link_ask */
	/* Its acceptor sets it, whoever writes looks at it: the component asked to be sent nothing until it asks again. */
	_Atomic bool throttled;
	_Atomic int64_t in_front; /* bytes that were queued before it asked, and still go */
};

enum link_ask { ASK_WRITABLE = 1, ASK_CLOSE = 2, ASK_READABLE = 4, ASK_CROWD = 8, ASK_SUCCEEDED = 16 };

/* io's letters to an acceptor, told apart by what they sit in. */
enum { LETTER_IO_FRESH = LETTER_FREE + 1, LETTER_IO_QUIESCE, LETTER_IO_FINISH, LETTER_IO_WRECK };

struct fresh { /* an accepted socket on its way to its acceptor */
	struct letter letter;
	int fd;
	const struct io_listen *listen;
};

struct listener {
	struct watch watch;
	const struct io_listen *config;
	uint16_t port;
	uint64_t again; /* out of descriptors: not accepting until then, ms; 0: accepting */
};

struct dial {
	struct link *link;  /* NULL: none */
	int left;           /* attempts; negative: for ever */
	uint64_t at;        /* when to try next, ms; 0: not waiting */
	bool over;          /* gave up */
	bool known;         /* every name has been bound once */
};

/* Links that have not logged in: with so many there are, one that has waited longest goes for each that comes. */
#define STRANGERS_MANY 256

enum phase {
	PHASE_RUN,
	PHASE_LAST,   /* of links that wait for a shard, what was read is worked off; nothing more is read */
	PHASE_QUIET,  /* nothing is posted to shards any more */
	PHASE_FINISH, /* last bytes are written */
};

/* Links that wait for one shard, who waits longest first, and the letter by which it says that there is room again. */
struct hold {
	struct room_letter room;
	bool asked; /* the letter is not here */
	struct link *first, *last;
};

struct acceptor {
	struct io *io;
	uint32_t index;
	pthread_t thread;
	bool started;
	struct mailbox mb;
	struct watch mb_watch;
	int ep;
	struct dispatch_tray shards;
	struct out_tray *out;
	struct link *links, *dead; /* dead: closed in this turn, linked by next */
	struct link *wrecks;       /* gone, with stanzas that were not written */
	struct hold *holds;        /* one for each shard */
	uint32_t paused;           /* links that wait for a shard */
	bool wrecks_wait;          /* for a shard too */
	uint64_t wrecks_since, wrecks_look; /* ms: since when they wait for links to be written to, and when that is looked at again; 0: they do not */
	uint32_t turn_bytes;       /* that a link may read in this turn */
	/* Looked at by who places links. */
	_Atomic uint32_t nlinks;   /* those on their way to it too */
	_Atomic uint64_t busy;     /* bytes that it read lately: half of them count no more after a second */
	uint64_t busy_at;          /* ms */
	uint64_t look;             /* at the time, ms: a link's penalty ends; 0: none has one */
	uint32_t handshakes;       /* TLS, taken a step further in this turn */
	uint64_t now;              /* ms, of this turn */
	enum phase phase;
	bool left;                 /* at the end: something was not worked off, or not written */
	struct dial dial;          /* acceptor 0 */
	struct letter quiesce, finish;
	char *scratch;             /* for frames that mini-XML reads */
	size_t scratch_cap;
};

/* Logins that failed. */
#define PENALTY_PLACES 1024
struct penalties {
	pthread_mutex_t lock;
	struct penalty {
		uint64_t key, last; /* of the address; 0: free; ms */
		uint32_t failures;
	} places[PENALTY_PLACES];
};

struct io {
	struct io_config cfg;
	struct span *served;       /* open addressing, served_mask + 1 places: id and domains */
	uint32_t served_mask;
	struct gsasl_digests *digests;
	struct listener *listeners; /* acceptor 0's */
	struct acceptor *acceptors;
	pthread_mutex_t binding;   /* who is bound and who is told of it change together */
	_Atomic uint32_t strangers; /* links that have not logged in */
	struct penalties penalties;
	sem_t quiet;               /* each acceptor, once */
	bool quiesced;
	const struct deadline *deadline; /* of the end; set before the letter that says it */
};

/* io.c */
bool io_serves(const struct io *io, struct span name);

/* acceptor.c */
bool acceptor_open(struct acceptor *a, struct io *io, uint32_t index) MUST_USE;
void acceptor_close(struct acceptor *a);
void *acceptor_run(void *acceptor);
/* Sleeps until something is there, works it off, hands it over. The acceptor's thread calls nothing else; what measures it may be that thread. */
void acceptor_turn(struct acceptor *a);
bool acceptor_watch(struct acceptor *a, struct watch *w, uint32_t events); /* 0 events: takes it out */
struct scratch_frame { char *frame, *extra; size_t extra_cap; };
bool acceptor_scratch(struct acceptor *a, size_t frame, struct scratch_frame *out) MUST_USE;
/* Posts letters[i] to shard i behind every packet that came before; the letters are gone then. Nothing after quiescence. */
void acceptor_tell_shards(struct acceptor *a, struct peer_gone **letters);

/* io.c: where a new link goes, to the acceptor with the fewest; of several, to the one that has read least lately. It is counted there. */
struct acceptor *io_place(struct io *io);

/* listen.c */
bool listener_open(struct listener *l, const struct io_listen *config) MUST_USE;
void listener_ready(struct acceptor *a, struct watch *w, uint32_t events);
void listener_again(struct acceptor *a, struct listener *l);

/* link.c */
struct link *link_new(struct acceptor *a, int fd, struct span name) MUST_USE; /* takes fd, closed on failure too */
void link_ready(struct acceptor *a, struct watch *w, uint32_t events);
void link_ask(struct outbox *ob, uint32_t what);    /* any thread: enum link_ask */
void link_asked(struct link *link);                 /* its letter came */
void link_send(struct link *link, struct span bytes); /* appended to its outbox; no memory: closes */
void link_throttle(struct link *link); /* the component asked for silence, or for an end of it */
void link_pump(struct link *link);                  /* works off what was read */
void link_readable(struct link *link);
void link_login(struct link *link);                 /* nothing has been said on it: narrow limits */
void link_watch(struct link *link, uint32_t set, uint32_t clear); /* epoll's events */
void link_retune(struct link *link);                /* the limits of io have changed */
void link_resume(struct link *link);                /* its shard has room again, and it stands in no line */
void link_unread_look(struct link *link); /* at the time, while link->unread is set */
void link_online(struct link *link);                /* logged in: larger buffers, no deadline */
/* Our last words, then the end. condition NULL: no stream error. why is logged. */
void link_end(struct link *link, const char *condition, const char *why);
void link_lost(struct link *link, const char *why); /* the end, without words */
void link_read_last(struct link *link); /* what has come by now, within bounds */
void link_stop_reading(struct link *link);
void link_destroy(struct link *link);
/* From here on, or no longer: what others let go of is nobody's to salvage, and freed at once. */
void links_orphaned(bool now);
bool link_drained(const struct link *link);         /* all is with the kernel */
static inline bool link_alive(const struct link *link) { return link->stage < LINK_CLOSING; }

/* crowd.c: any acceptor. If more waits to be written than may, the link closes that has the most waiting. */
void crowd_thin_out(const struct io *io);
/* Does no link have more than so much waiting? */
bool crowd_has_room(const struct io *io, uint64_t bytes);

/* hold.c */
bool hold_is_full(const struct link *link, uint32_t shard); /* for a frame of this link */
void hold_count(struct link *link, uint32_t bytes);  /* it has sent so much on */
void hold_forgive(struct link *link);                /* what it sent a while ago is not held against it */
bool hold_sends_much(const struct link *link);       /* at the moment */
/* Nothing more of it is worked off; shard NONE: until takeover.c says so. */
void link_pause(struct link *link, uint32_t shard, const char *frame, const struct route *route);
void hold_leave(struct link *link);                  /* whether it is held or not: it waits no more */
void hold_room(struct acceptor *a, uint32_t shard);  /* the letter came */
void hold_ask(struct acceptor *a, uint32_t shard, uint64_t below); /* for it */
void hold_none(struct acceptor *a);                  /* nobody waits any more */

/* What waits for a time is looked at again in so many ms. */
static inline void acceptor_look(struct acceptor *a, unsigned ms)
{
	if (a->look == 0 || a->look > a->now + ms)
		a->look = a->now + ms;
}

/* takeover.c */
/* Another link may have the name that this one is about to bind. True: it is being asked whether it is there, and this one is held meanwhile. */
bool takeover_waits(struct link *link, struct span name, unsigned flags) MUST_USE;
void takeover_look(struct link *link); /* at the time, while link->rival is set */
void takeover_end(struct link *link);

/* salvage.c */
void salvage_begin(struct acceptor *a, struct link *link);
/* Goes on with it. all: to the end, whatever waits for the shards and the links. */
void salvage(struct acceptor *a, bool all);

/* peer.c */
struct peer_gone **peer_letters_new(const struct io *io, struct span name) MUST_USE;
void peer_letters_free(const struct io *io, struct peer_gone ***letters);
void peer_letters_aim(const struct io *io, struct peer_gone **letters, enum letter_kind kind, struct link *link);

/* penalty.c: any acceptor */
struct sockaddr;
uint32_t penalty_add(struct penalties *p, const struct sockaddr *peer, uint64_t now); /* one more failure: ms to wait with the answer */
bool penalty_turns_away(struct penalties *p, const struct sockaddr *peer, uint64_t now); /* who comes again at once, after many of them */

/* stream.c: everything before a link is online */
void stream_refused(struct link *link);             /* its penalty is over: the answer */
void stream_header(struct link *link, const char *bytes, size_t n);
void stream_frame(struct link *link, const char *frame, const struct route *route);
void stream_open(struct link *link);                /* we dialled: our header */
void stream_error(struct link *link, const char *condition, const char *text);
void stream_other(struct link *link, const char *frame, const struct route *route); /* online: a stream error? */

/* starttls.c */
#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
void starttls_offer(const struct link *link, struct buf *features); /* to who dialled us */
bool starttls_missing(const struct link *link);     /* it may not log in in clear */
void starttls_asked(struct link *link);
bool starttls_ask(struct link *link, struct xml *features); /* of the router; false: it stays in clear, or was lost */
void starttls_answered(struct link *link, struct xml *e);
void starttls_go_on(struct link *link);             /* the socket is ready: the handshake's next step */
static inline bool link_shakes_hands(const struct link *link) { return link->stage == IN_TLS || link->stage == OUT_TLS; }

/* dial.c */
void dial_now(struct acceptor *a);
void dial_timer(struct acceptor *a);
void dial_connected(struct link *link);
void dial_logged_in(struct link *link);
void dial_bound(struct link *link, const struct route *route);
void dial_lost(struct acceptor *a, struct link *link, const char *why);

/* peer.c: every link that has bound a name in jabberd2's protocol, once, but one (NULL: none). */
struct audience {
	struct outbox **obs; /* borrowed: of this turn */
	uint32_t n, cap;
	const struct outbox *but;
	bool accept; /* XEP-0114 components too */
};
void audience_collect(struct audience *audience, const struct names *names);
void audience_free(struct audience *audience);

/* bind.c */
bool bind_request(struct link *link, const char *frame, const struct route *route) MUST_USE; /* false: it must wait for takeover.c */
void bind_undo(struct link *link, const char *frame, const struct route *route);
int bind_name(struct link *link, struct span name, unsigned flags); /* 0, or the route error code */
void bind_announce(struct link *link, struct span name); /* tells the shards, after the component was told that it is bound */
void bind_forget(struct link *link); /* the link is gone: all of its names */
void bind_advert(struct link *link, const char *frame, const struct route *route); /* from the router */

/* classify.c: whose is it */
#define SHARD_NONE UINT32_MAX
struct jid_room { char to[JID_MAX + 1], from[JID_MAX + 1]; };
/* Fills packet's flags and JIDs (in room) and says which shard it belongs to; SHARD_NONE: nobody wants it. */
uint32_t classify(const struct io *io, struct packet *packet, struct jid_room *room) MUST_USE;

/* A frame on its way: as it was read, or with what mini-XML decoded behind it. */
struct transit {
	struct link *link;
	struct packet *packet; /* frame and route are set */
	const char *frame;
	const struct route *route; /* packet's */
	bool refused;  /* it breaks a limit: its sender's shard answers it */
	uint32_t wait; /* out: the shard that has no room */
};

/* forward.c: one frame of a link that is online; packet's route is of the frame. False: it must wait for its shard, link_pause() was
 * called. */
bool forward_frame(struct link *link, const char *frame, struct packet *packet) MUST_USE;
/* Reads what the scanner did not understand, in a copy. False: lost, and logged. */
bool forward_odd(struct transit *t) MUST_USE;
bool forward_to_shard(struct transit *t) MUST_USE; /* false: t->wait is full */
struct outbox *forward_find_rcu(const struct transit *t, struct span name, const struct jid *to);

/* rewrite.c: frames with another start tag */
/* Appends a start tag without one attribute (NULL: none) and with raw text behind its name. */
void rewrite_tag(struct buf *out, struct span tag, const char *drop, const char *add);
/* The whole frame with its own start tag so changed. */
void rewrite_route(struct buf *out, const struct transit *t, const char *drop, const char *add);
/* The payload of a route, or the stanza of a XEP-0114 link, under the default namespace ns (NULL: the stream's). */
void rewrite_stanza(struct buf *out, const char *frame, const struct route *route, const char *ns);
void rewrite_send(struct transit *t, struct outbox *to, struct buf *b); /* sends and frees b */
void rewrite_to_logs(struct transit *t, struct buf *b); /* to every log sink; frees b */
void rewrite_bounce(struct transit *t, int code); /* the route, back where it came from */
/* A stanza error for a stanza that goes nowhere, to its sender; none for an error or a result. */
void rewrite_refuse(struct transit *t, enum stanza_condition condition);

/* component.c: XEP-0114 */
bool component_handshake_good(const struct link *link, struct span digest_hex) MUST_USE;
void component_online(struct link *link);
bool component_stanza(struct transit *t) MUST_USE; /* as forward_to_shard() */
void component_send(struct transit *t, struct outbox *to); /* to a link of either kind, in its own protocol */

/* digest.c: SASL DIGEST-MD5 */
enum digest_result { DIGEST_MORE, DIGEST_DONE, DIGEST_REFUSED };
struct gsasl_digests *digests_new(void) MUST_USE;
void digests_free(struct gsasl_digests **digests);
struct digest *digest_new(struct gsasl_digests *digests, bool server, const char *user, const char *pass) MUST_USE;
void digest_free(struct digest **digest);
/* One message of the peer's, one of ours appended to out; both base64. */
enum digest_result digest_step(struct digest *digest, struct span in, struct buf *out, const char **why) MUST_USE;

#endif
