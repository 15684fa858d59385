/* sessions.h - the users of a run: started, made present, ended; each step a measured phase.
 * Threads: the one thread of the program.
 * Owns: the session table, from sessions_init() to sessions_free().
 */
#ifndef BENCH_SESSIONS_H
#define BENCH_SESSIONS_H

#include "flow.h"
#include "text.h"

#define SM_ID_MAX 64
#define STANZA_ROOM 1024 /* bytes of a stanza besides its content */

enum session_state { SESSION_NEW, SESSION_REFUSED, SESSION_CREATED, SESSION_STARTED, SESSION_PRESENT, SESSION_ENDED };

/* Session i is user(i+1)@DOMAIN/r, known to the sm by the c2s id i+1, on link i mod links. A million of them are held:
 * with its JID one takes some 120 bytes. */
struct session {
	uint8_t state;
	bool waiting;
	uint8_t sm_len;
	uint16_t jid_len, bare_len;
	uint32_t jid; /* offset in sessions.text */
	uint64_t sent_ns;
	char sm[SM_ID_MAX];
};

struct sessions {
	struct peers *peers;
	struct report *report;
	uint32_t n;
	struct session *v;
	char *text;                  /* all JIDs */
	char sm_name[PEER_NAME];     /* the component that answered `started`: later traffic goes to it */
	char heads[PEER_LINKS][256]; /* the start tag of a route on each link */
	uint32_t head_len[PEER_LINKS];
	char run[HEX8 + 1]; /* tells this run's stanzas from any other's */
};

struct range {
	uint32_t first, n;
};

void sessions_init(struct sessions *s, struct peers *peers, struct report *report, uint32_t n);
void sessions_free(struct sessions *s);

static inline struct span session_jid(const struct sessions *s, uint32_t i)
{
	return span_of(s->text + s->v[i].jid, s->v[i].jid_len);
}
static inline struct span session_bare(const struct sessions *s, uint32_t i)
{
	return span_of(s->text + s->v[i].jid, s->v[i].bare_len);
}
static inline struct span session_sm(const struct sessions *s, uint32_t i)
{
	return span_of(s->v[i].sm, s->v[i].sm_len);
}
static inline unsigned session_link(const struct sessions *s, uint32_t i)
{
	return i % s->peers->n;
}
static inline struct wire *session_wire(const struct sessions *s, uint32_t i)
{
	return &s->peers->links[session_link(s, i)].wire;
}
/* The session that a route's payload names with its c2s id; false: none of ours. */
bool session_of(const struct sessions *s, const struct frame *f, uint32_t *i) MUST_USE;
/* Is the route, on this link, for session i and nobody else? */
bool session_is(const struct sessions *s, unsigned link, const struct frame *f, uint32_t i) MUST_USE;

/* Writes a route and a stanza's name, namespaces and session up to where its attributes go on. At most STANZA_ROOM
 * bytes with a to and an id; the caller has reserved them. */
char *stanza_open(const struct sessions *s, char *p, uint32_t i, struct span name);
#define STANZA_ID (1 + 2 * HEX8)
/* ` id='...'`: the kind's letter, the run, the operation. */
char *stanza_id(const struct sessions *s, char *p, char kind, uint32_t op);
/* Is it an id of this kind and this run? */
bool stanza_id_is(const struct sessions *s, struct span id, char kind, uint32_t *op) MUST_USE;

/* Writes start, presence with a ping behind it, or end, for one session. */
void session_send_start(struct sessions *s, uint32_t i);
void session_send_presence(struct sessions *s, uint32_t i);
void session_send_end(struct sessions *s, uint32_t i);
/* What an answer to one of these is. Takes the session's id at the sm from STARTED. */
enum session_answer { ANSWER_NONE, ANSWER_STARTED, ANSWER_PRESENT, ANSWER_ENDED, ANSWER_CREATED, ANSWER_REFUSED };
enum session_answer session_read(struct sessions *s, unsigned link, const struct frame *f, uint32_t *i);

/* Starts all; users that the sm refuses are created and started again. phase: NULL for "start". False: the run failed.
 */
bool sessions_start(struct sessions *s, struct range r, const char *phase) MUST_USE;
/* Sends initial presence with a ping behind it, whose answer is waited for: one operation is both. */
bool sessions_presence(struct sessions *s, struct range r, const char *phase) MUST_USE;
bool sessions_end(struct sessions *s, struct range r, const char *phase) MUST_USE;

#endif
