/* module.h - what a feature is made of: hooks into the chains of sm.xml, and the few calls that it needs.
 * Threads: everything here runs on the shard that owns ev->user; hooks never block.
 * Owns: the event owns its packet; a hook that needs the store parks it (event_ask) and is called again with the answer.
 */
#ifndef SHARDSM_MODULE_H
#define SHARDSM_MODULE_H

#include "shardsm/buf.h"
#include "shardsm/config.h"
#include "shardsm/mail.h"
#include "shardsm/packet.h"
#include "shardsm/stanza_error.h"
#include "shardsm/store.h"
#include "shardsm/tunables.h"
#include "shardsm/user.h"
#include "shardsm/xml.h"

enum chain {
	CHAIN_SESS_START, CHAIN_SESS_END, CHAIN_IN_SESS, CHAIN_IN_ROUTER, CHAIN_OUT_SESS, CHAIN_OUT_ROUTER, CHAIN_PKT_SM,
	CHAIN_PKT_USER, CHAIN_PKT_ROUTER, CHAIN_USER_LOAD, CHAIN_USER_UNLOAD, CHAIN_USER_CREATE, CHAIN_USER_DELETE,
	CHAIN_DISCO_EXTEND, CHAIN_COUNT
};

enum verdict {
	V_PASS,    /* not mine: the next module */
	V_HANDLED, /* done */
	V_ERROR,   /* answer with ev->condition (event_error() sets it) */
	V_PARKED,  /* event_ask() was called; its function goes on with the answer */
};

/* What a stanza's type attribute says. */
enum stanza_type {
	ST_NONE, /* no type attribute: a normal message, available presence, an IQ to be dropped */
	ST_NORMAL, ST_CHAT, ST_HEADLINE, ST_GROUPCHAT, ST_ERROR,
	ST_GET, ST_SET, ST_RESULT,
	ST_UNAVAILABLE, ST_PROBE, ST_SUBSCRIBE, ST_SUBSCRIBED, ST_UNSUBSCRIBE, ST_UNSUBSCRIBED,
	ST_UNKNOWN,
};

/* What a module may have to do with. */
enum subject {
	ABOUT_MESSAGES = 1,
	ABOUT_NOTIFICATIONS = 2, /* somebody is available, or not any more */
	ABOUT_SUBSCRIPTIONS = 4, /* presence of any other type: probes and errors, too */
	ABOUT_IQS = 8,
	ABOUT_OTHERS = 16,
};
#define SUBJECTS 5

/* One packet on its way through a chain. */
struct event {
	struct shard *shard;
	struct packet *packet;
	struct user *user;       /* in-sess: the sender; pkt-user: the addressee; pkt-sm: NULL, or the sender if local and here */
	struct session *session; /* in-sess, and pkt-sm of a session here: the sender's; NULL when it has ended meanwhile */
	uint8_t type;            /* enum stanza_type */
	uint8_t chain;           /* enum chain */
	uint8_t at;              /* index in the chain */
	bool no_reply;           /* answered, or nobody is there to be answered */
	bool to_self;            /* in-sess: no `to`, or one's own bare JID */
	enum stanza_condition condition;
	const char *text;        /* of the error, NULL: none */
	const char *detail;      /* of the error: a condition of an application's own, raw XML; NULL: none */
	struct xml_doc *doc;     /* event_payload()'s */
	bool no_doc;             /* there was no memory for it, and so it stays: whoever asks hears the same */
	void *state;             /* of a parked handler: malloc'd, freed with the park */
};

#define IQ_GET 1
#define IQ_SET 2
/* In which chain the rule holds: in-sess with no `to` or one's own bare JID; pkt-sm; pkt-user with a bare `to`. */
enum iq_scope { TO_SELF = 1, TO_SERVER = 2, TO_ACCOUNT = 4 };

struct iq_rule {
	unsigned types; /* IQ_GET | IQ_SET; 0 ends the list */
	unsigned scope;
	const char *ns; /* of the request's child element */
	enum verdict (*fn)(struct event *ev);
};

struct module {
	const char *name;                  /* in sm.xml's chains */
	const char *const *features;       /* service discovery of the server, NULL-terminated */
	const struct iq_rule *iq;
	struct tunables options;           /* read at the start and at every reload */
	uint8_t about;                     /* enum subject: its four hooks below and out_ pass all others, and are not called for those; 0: none */
	enum verdict (*in_sess)(struct event *ev);
	enum verdict (*in_router)(struct event *ev);
	/* What leaves a user, before it is routed (ev->user: the sender, ev->session: NULL or the session that it leaves); and what is for a
	 * session of a user (ev->session: that one). Called for users with privacy lists. V_PASS, or V_HANDLED: dropped. */
	enum verdict (*out_router)(struct event *ev);
	enum verdict (*out_sess)(struct event *ev);
	enum verdict (*pkt_sm)(struct event *ev);
	enum verdict (*pkt_user)(struct event *ev);
	void (*sess_start)(struct event *ev);
	void (*sess_end)(struct event *ev);
	bool mails;                        /* it calls mail_send() */
	uint8_t part;                                           /* user-load: the enum user_part that load fills */
	int (*load_ask)(struct store_req *req);                 /* adds its reads, returns the first one's index */
	bool (*load_done)(struct user *u, const struct store_req *req, int first); /* false: no memory */
	void (*user_unload)(struct user *u);                    /* the user is let go, or its account is gone: what load made is freed */
	/* What one read does not tell: adds a second one's statements, returns what load_finish needs (one malloc'd block) or NULL: nothing more.
	 * One module may have these; it comes behind all load_done. */
	void *(*load_more)(struct user *u, const struct store_req *answer, int first, struct store_req *req);
	bool (*load_finish)(struct user *u, const struct store_req *answer, void *state); /* false: no memory */
	void (*user_create)(struct event *ev, struct store_req *req); /* adds its writes: all modules' in one commit */
	void (*user_delete)(struct event *ev, struct store_req *req);
	enum verdict (*user_leaving)(struct event *ev); /* user-delete, before anything is deleted: V_PASS, V_PARKED or V_ERROR */
	bool (*stale)(struct event *ev, struct span row); /* pkt-user: a stored stanza is about to go to ev->session; true: it is dropped */
	void (*disco_extend)(struct event *ev, struct buf *out);
	/* User-load: a contact of a user with privacy lists is about to be next in the roster, or after: has become it. next NULL: nobody. */
	void (*contact_turns)(struct event *ev, const struct roster_item *old, const struct roster_item *next, bool after);
	/* pkt-router, on every shard: a component came over a link, or it went (name empty: all that came over that link). */
	void (*component)(struct shard *shard, struct span name, const struct outbox *link, bool here);
};

/* --- reading the event ------------------------------------------------------------------------------------------- */

/* The stanza parsed whole. NULL: no memory; return event_error(ev, SE_INTERNAL_SERVER_ERROR). */
struct xml *event_payload(struct event *ev);
/* Its first child element: of an IQ, the request. */
struct xml *event_request(struct event *ev);
/* pkt-user: enum user_part of the addressee that the event cannot do without. V_PASS: they are there. Else to be returned: the packet comes
 * once more, from the beginning, when they have been read. */
enum verdict event_load(struct event *ev, unsigned parts) MUST_USE;
/* The text of the stanza's first child element {jabber:client}local, appended; *found: there is one. False: no memory. */
bool event_child_text(struct event *ev, const char *local, struct buf *out, bool *found) MUST_USE;
/* The stanza's child elements as raw XML that can stand in another stanza, appended. False: no memory. */
bool event_content(struct event *ev, struct buf *out) MUST_USE;
/* The request of an IQ when it is exactly one element, {ns}local: V_PASS; else the error that goes back. RFC 6120 section 8.2.3. */
enum verdict event_query(struct event *ev, const char *ns, const char *local, struct xml **query);
/* The same where the element says nothing more: the request is not parsed when it is only that. */
enum verdict event_asks(struct event *ev, const char *ns, const char *local) MUST_USE;
/* Is the request <local xmlns='ns'/> and nothing else? False: it is, spelt differently, or it is not. */
bool event_asks_plainly(const struct event *ev, const char *ns, const char *local);
bool event_is(const struct event *ev, enum payload payload);
enum verdict event_error(struct event *ev, enum stanza_condition c);
enum verdict event_error_text(struct event *ev, enum stanza_condition c, const char *text);

/* --- answering and sending ---------------------------------------------------------------------------------------- */

/* A stanza of our own. Absent spans and NULL JIDs are left out; attrs and content are raw XML in namespace jabber:client. */
struct stanza {
	const char *tag;          /* "message", "presence", "iq" */
	const char *type;
	struct span id;           /* raw */
	struct span attrs;        /* " name='value'", raw */
	struct span content;
	const struct jid *from, *to;
	bool sure;                /* no request, and its content was written by buf_text() and buf_attr(), or has passed the gate: not checked again */
};

void reply_result(struct event *ev, struct span content); /* to the asker, from where the request went */
void reply_sure(struct event *ev, struct span content);   /* the same; its content is sure (struct stanza) */
void reply_error(struct event *ev);                       /* ev->condition; never to an error, never to a result */
/* To a session of ours on this shard, at once. to NULL: the session's full JID. */
void send_to_session(struct shard *shard, struct session *s, const struct stanza *st);
/* Routed by st->to: a session or an account of ours wherever its shard is, or another domain. */
void send_stanza(struct shard *shard, const struct stanza *st);
/* The event's own stanza on to a session, bytes as they came; to NULL: the session's full JID. */
void pass_to_session(struct event *ev, struct session *s, const struct jid *to);
/* The packet, by packet->to, from packet->from (both must be set). */
void pass_on(struct shard *shard, struct packet *p);
/* out_router, for a stanza to a bare JID: that resource of it must not get it. Holds for accounts of ours; another server is not told. */
void event_except(struct event *ev, const struct jid *full);
/* An event of a session here whose stanza is for the server itself: in-router, then pkt-sm, on this shard. */
void deliver_to_server(struct event *ev);
/* A fresh id for an IQ of ours, 16 hex digits that cannot be guessed. */
struct span fresh_id(struct shard *shard);
struct buf *scratch(struct shard *shard, int i); /* cleared; i 0..3: a handler's own until it returns */

/* --- the store ------------------------------------------------------------------------------------------------------- */

typedef enum verdict resume_fn(struct event *ev, struct store_req *answer);

enum ask_flags {
	ASK_FREE = 1,   /* later packets of the user do not wait behind this one */
	ASK_AFTER_WRITES = 4,
	ASK_QUIET = 8,   /* (shard's own) STORE_QUIET */
};

/* Parks the packet until the request is answered; returns V_PARKED, or V_ERROR when there is no memory. Takes the request. state: freed
 * with the park, may be NULL; taken in any case. */
enum verdict event_ask(struct event *ev, struct store_req **req, resume_fn *fn, unsigned flags, void *state) MUST_USE;
/* Rows of the event's user that nobody waits for, to be added at once: those of a burst are one write, in front of whatever else the shard
 * asks the store. NULL: no memory. */
struct store_req *event_rows(struct event *ev);
/* A write that nobody waits for (last login times). Logged when it fails. Takes the request. */
void store_write(struct shard *shard, struct store_req **req);
/* The same, of a user, who stays in memory until it is done: a load that came sooner could miss it. */
void store_write_of(struct user *u, struct store_req **req);
/* store_status() as an error for the one who asked; logs it, with what was being done. */
enum verdict event_store_error(struct event *ev, const struct store_req *answer, const char *what);
/* Bytes that this shard may send at once to a session's link, where more can wait; 0: none. */
uint64_t session_room(const struct session *s);
/* Its link does not take what it is sent, and whoever sent p can be told so. */
bool session_refuses(const struct session *s, const struct packet *p);
/* The same without a request, until everything sent to the event's session so far was written to its link, or never will be: answer NULL. */
enum verdict event_await_written(struct event *ev, resume_fn *fn) MUST_USE;
/* Calls fn on this shard when everything sent to that session so far was written to its link (or never will be: answer NULL and
 * written false). Not parked: the event's packet is not kept. */
typedef void written_fn(struct shard *shard, struct user *u, bool written, uint64_t arg);
bool when_written(struct session *s, written_fn *fn, uint64_t arg) MUST_USE;

/* The event's stanza as a row ("NAD" and the route), first_child (raw XML) in front of its content. */
void stored_write(struct buf *out, const struct event *ev, struct span first_child);
/* A row's stanza to a session, as it was addressed. False: the row is not a stanza. */
bool stored_to_session(struct session *s, struct span row);
/* A row's presence again, as unavailable; an empty or unreadable row: without content. */
void stored_unavailable(struct shard *shard, struct span row, const struct jid *from, const struct jid *to);
/* What is kept of a request for a subscription besides its content: id and language, raw, appended to out. */
void request_attrs(struct buf *out, const struct packet *p);
/* A row that is a request for a subscription: who asks (prepared, in from), and what is kept of it. False: it is something else. */
bool stored_request(struct shard *shard, struct span row, struct jid *who, char *from, struct buf *attrs, struct buf *content) MUST_USE;
/* The content of a row's stanza, raw XML, appended to out. False: the row is not a stanza. */
bool stored_content(struct shard *shard, struct span row, struct buf *out);
/* A row's stanza as a tree, to be freed; *stanza: its message, presence or iq. NULL: the row is not a stanza, or no memory. */
struct xml_doc *stored_tree(struct shard *shard, struct span row, struct xml **stanza);
/* A row's stanza back to its sender as an error. False: the row is not a stanza. */
bool stored_bounce(struct shard *shard, struct span row, enum stanza_condition c);
/* Every module's contact_turns(). */
void contact_turns(struct event *ev, const struct roster_item *old, const struct roster_item *next, bool after);
/* Does a module of pkt-user say that a row's stanza must not be handed over any more? */
bool stored_stale(struct event *ev, struct span row);
/* Bytes that a database held and that are to be XML: one element, with nothing that the gate refuses. */
bool row_check(struct shard *shard, struct span document);

/* --- mail -------------------------------------------------------------------------------------------------------------- */

/* Takes the mail. One that cannot be sent for good comes back to this shard, and failed() is called there. False: too many are waiting. */
bool mail_send(struct shard *shard, struct mail **mail, void (*failed)(struct shard *here, const struct mail *mail)) MUST_USE;

/* --- presence, shared by the modules presence, roster and session ------------------------------------------------------ */

/* pkt-user: may the sender not see the addressee's presence? Then it is answered as if the account did not exist: RFC 6121 section 8.5.1. */
bool from_stranger(const struct event *ev);
void presence_send_all(struct user *u, const struct jid *to);         /* each available session's, to a contact */
void presence_send_unavailable_all(struct user *u, const struct jid *to);
void presence_send(struct session *s, const struct jid *to, bool stamped);
/* What end of session and <presence type='unavailable'/> have in common. content: of the client's stanza, may be empty. */
void presence_leave(struct session *s, struct span attrs, struct span content);
/* The client's available presence becomes the session's; false: no memory. Published before anybody is told or asked. */
bool presence_become(struct session *s, struct packet *p, int8_t priority, int64_t now) MUST_USE;
/* <priority/> of the event's presence, clamped to -128..127; 0 when absent or no number. False: no memory. */
bool presence_priority(struct event *ev, int8_t *priority) MUST_USE;
/* To one's own available resources (this one included) and to every subscriber. */
void presence_broadcast(struct session *s, struct packet *p);
/* Is a local user online, or can it not be told (another domain)? Any shard; for leaving out sends to nobody. */
bool presence_worth_sending(struct shard *shard, const struct jid *to);
void send_presence(struct shard *shard, const char *type, const struct jid *from, const struct jid *to);
/* pkt-sm: a probe of the server, or a subscription to it, is answered with presence from that resource of it too. */
void server_presence(struct event *ev, const char *resource);

/* --- the server ------------------------------------------------------------------------------------------------------- */

bool serves_domain(const struct shard *shard, struct span domain);
/* Is it for the server itself: a domain that it serves, or its own name among the components? */
bool for_server(const struct shard *shard, const struct jid *to);
struct span server_id(const struct shard *shard);
int64_t server_uptime(const struct shard *shard); /* seconds, whatever the wall clock does */
uint32_t server_shards(const struct shard *shard); /* how many there are */
/* What is done for all shards together is done by the one that this says true to. name: what it is about, prepared. */
bool shard_is_home(const struct shard *shard, struct span name);
/* Runs fn on every shard, this one included, with a copy of data, behind everything that this shard has sent there. False: no memory; it runs
 * on some of them or on none. */
bool on_every_shard(struct shard *shard, void (*fn)(struct shard *here, struct span data), struct span data) MUST_USE;
/* The same on one shard, the one behind this; the first one is behind the last. False: no memory. */
bool on_next_shard(struct shard *shard, void (*fn)(struct shard *here, struct span data), struct span data) MUST_USE;
/* The sessions of this shard, until fn says false. fn must not end one. */
void each_session(struct shard *shard, bool (*fn)(struct session *s, void *arg), void *arg);
/* Every feature of every module in use, and what modules add to the server's disco#info. */
void disco_features(struct shard *shard, struct buf *out);
void disco_extensions(struct event *ev, struct buf *out);

/* Every module that is linked in, NULL-terminated (modules.c). */
extern const struct module *const modules_all[];

#endif
