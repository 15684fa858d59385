/* sessions.h - the users of a run: started, made present, ended; each step a measured phase.
 * Threads: the one thread of the program.
 * Owns: the session table, from sessions_init() to sessions_free().
 */
#ifndef BENCH_SESSIONS_H
#define BENCH_SESSIONS_H

#include "peer.h"
#include "report.h"

#define SM_ID_MAX 64

enum session_state { SESSION_NEW, SESSION_REFUSED, SESSION_CREATED, SESSION_STARTED, SESSION_PRESENT, SESSION_ENDED };

/* Session i is user(i+1)@DOMAIN/r, known to the sm by the c2s id i+1, on link i mod links. */
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
	char *text;              /* all JIDs */
	char sm_name[PEER_NAME]; /* the component that answered `started`: later traffic goes to it */
	uint64_t strays;         /* routes that no phase was waiting for */
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
/* The session that a route's payload names with its c2s id; false: none of ours. */
bool session_of(const struct sessions *s, const struct frame *f, uint32_t *i) MUST_USE;

/* Starts all; users that the sm refuses are created and started again. False: the run failed. */
bool sessions_start(struct sessions *s) MUST_USE;
/* Sends initial presence with a ping behind it, whose answer is waited for: one operation is both. */
bool sessions_presence(struct sessions *s) MUST_USE;
bool sessions_end(struct sessions *s) MUST_USE;
/* Reads until nothing comes for a moment, so that one phase's echoes are not counted in the next. False: a link is
 * lost. */
bool sessions_settle(struct sessions *s) MUST_USE;

#endif
