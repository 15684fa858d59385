/* request.h - the inside of a store request, for the store and its engines.
 * Threads: the one that owns the request.
 * Owns: one chain of memory per request; statements, values, results and the error live in it and die with it.
 */
#ifndef SHARDSM_STORE_REQUEST_H
#define SHARDSM_STORE_REQUEST_H

#include <stdatomic.h>

#include "shardsm/store.h"

enum verb { VERB_GET, VERB_PAGE, VERB_COUNT, VERB_PUT, VERB_MERGE, VERB_DELETE, VERB_DELETE_UPTO };

static inline bool verb_writes(enum verb v) { return v >= VERB_PUT; }

/* A request's results may take this much: a user's rows are kilobytes, so one that asks for more is a mistake or an
 * attack, and one user must not push the others out of memory. */
#define REQ_RESULT_MAX (64u << 20)

struct row {
	int64_t sequence;
	struct value values[];
};

struct stmt {
	uint8_t verb, table;         /* enum verb, enum store_table */
	int16_t filter_column;       /* STORE_ALL: none */
	uint32_t limit;              /* page */
	int64_t sequence;            /* page: after; delete_upto: up to */
	struct span owner;
	struct value filter;
	const struct value *values;  /* put, merge: as many as the table has columns */
	uint64_t present;            /* put, merge: bit per column that is not null */
	struct row **rows;           /* the answer */
	uint32_t nrows, rows_cap;
	uint32_t position;           /* a part's: its index in the whole */
};

/* The filter has a value that a placeholder stands for; null is asked for by the statement's text. */
static inline bool stmt_filters(const struct stmt *s)
{
	return s->filter_column != STORE_ALL && s->filter.kind != VALUE_NULL;
}

struct chunk;
struct arena {
	struct chunk *last;          /* the first lies in the request's own allocation */
	size_t bytes;                /* of all chunks */
};

struct store_req {
	struct letter letter;        /* first: a request is posted as it is */
	struct arena arena;
	struct chunk *mark;          /* where the question ends and the answer begins */
	uint32_t mark_used;
	size_t mark_bytes;

	struct stmt *stmts;
	uint32_t nstmts, stmts_cap;
	struct span first_owner, owner;
	bool writes, reads;          /* has a statement that does */
	bool quiet;                  /* STORE_QUIET */

	enum store_status status;
	const char *error;           /* NULL: none */
	struct mailbox *to;
	uint64_t token;
	uint64_t since_us;           /* when it was submitted */
	size_t queued_bytes;         /* what it counts for in its queue */
	struct store_tag tag;

	/* A request whose tables lie in several databases has a part for each; the last part to be answered answers it. */
	struct store_req *parts;     /* its first part; it owns them */
	struct store_req *next_part;
	struct store_req *whole;     /* a part: what it is a part of, whose statements' values it borrows */
	_Atomic uint32_t open_parts;
} __attribute__((aligned(16))); /* its first chunk of memory follows it */

/* Ends the question: what is allocated from here on is the answer, and goes at req_reset(). */
void req_seal(struct store_req *req);
/* Back to the unanswered question, for another try. */
void req_reset(struct store_req *req);
/* A builder's failure, or the answer's: the first reason given stays until req_reset(). Copies reason. */
void req_fail(struct store_req *req, enum store_status status, const char *reason);

/* A part of whole with room for n statements; whole owns it. NULL: no memory. */
struct store_req *req_part(struct store_req *whole, uint32_t n) MUST_USE;
/* Takes over what the parts were answered: they are done. */
void req_join(struct store_req *whole);

/* For engines: one more row of n values, all null. NULL: no memory or over REQ_RESULT_MAX, said by *why. */
struct row *req_row(struct store_req *req, struct stmt *s, uint32_t n, const char **why) MUST_USE;
/* The tables that the request reads rows of its first owner from, as bits; 0: too few for a question before, which of them
 * have any, to be worth it. */
uint64_t req_tables_to_ask(const struct store_req *req);
/* The answer of a statement that reads, where its table has nothing of the owner. False: *why says what is wrong. */
bool req_answer_empty(struct store_req *req, struct stmt *s, const char **why) MUST_USE;
/* Bytes copied into the answer. NULL, or why they could not be. */
const char *req_text(struct store_req *req, const void *p, size_t n, struct value *out) MUST_USE;

#endif
