/* memory_store.c - a store without a database.
 * Threads: one.
 * Owns: see memory_store.h.
 *
 * Everything happens in the order submitted, one request after the other: an order that store.h allows. What is stored survives a lack of
 * memory, as a database's file does; an answer does not.
 */
#include <stdio.h>
#include <stdlib.h>

#include "memory_store.h"
#include "scarce.h"
#include "store/request.h"

struct kept {
	struct kept *next;
	int64_t sequence;
	char *owner;
	uint32_t owner_len;
	struct value values[STORE_COLUMNS]; /* texts are malloc'd */
};

struct store {
	struct kept *rows[T_COUNT];
	int64_t sequence;
	struct store_req *line[4096];
	unsigned first, n;
	enum store_status fail;
};

static struct store the;

struct store *memory_store(void) { return &the; }
void memory_store_fail(enum store_status status) { the.fail = status; }

static void *must(void *p)
{
	if (!p) {
		fputs("memory_store: no memory\n", stderr);
		abort();
	}
	return p;
}

static void set(struct value *to, struct value from)
{
	free((char *)to->s.p);
	*to = from;
	to->s.p = NULL;
	if (from.kind != VALUE_TEXT)
		return;
	char *copy = must(malloc(from.s.n + 1u));

	if (from.s.n)
		memcpy(copy, from.s.p, from.s.n);
	to->s.p = copy;
}

static void kept_free(struct kept *row)
{
	for (unsigned i = 0; i < STORE_COLUMNS; i++)
		free((char *)row->values[i].s.p);
	free(row->owner);
	free(row);
}

void memory_store_put(enum store_table t, struct span owner, const struct value *values)
{
	struct kept *row = must(calloc(1, sizeof(*row))), **at = &the.rows[t];

	row->sequence = ++the.sequence;
	row->owner = must(malloc(owner.n + 1u));
	row->owner_len = owner.n;
	memcpy(row->owner, owner.p, owner.n);
	for (unsigned i = 0; i < store_tables[t].ncolumns; i++)
		set(&row->values[i], values[i]);
	while (*at)
		at = &(*at)->next;
	*at = row;
}

static bool same(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == VALUE_NULL || (a->kind == VALUE_INT ? a->i == b->i : span_eq(a->s, b->s));
}

static bool meant(const struct stmt *s, const struct kept *row)
{
	if (!span_eq(s->owner, span_of(row->owner, row->owner_len)))
		return false;
	if (s->verb == VERB_PAGE && row->sequence <= s->sequence)
		return false;
	if (s->verb == VERB_DELETE_UPTO && row->sequence > s->sequence)
		return false;
	return s->filter_column == STORE_ALL || same(&row->values[s->filter_column], &s->filter);
}

static void delete(const struct stmt *s)
{
	struct kept **at = &the.rows[s->table], *row;

	while ((row = *at)) {
		if (!meant(s, row)) {
			at = &row->next;
			continue;
		}
		*at = row->next;
		kept_free(row);
	}
}

static void merge(const struct stmt *s)
{
	bool found = false;

	for (struct kept *row = the.rows[s->table]; row; row = row->next) {
		if (!meant(s, row))
			continue;
		found = true;
		for (unsigned i = 0; i < store_tables[s->table].ncolumns; i++)
			if (s->present >> i & 1)
				set(&row->values[i], s->values[i]);
	}
	if (!found)
		memory_store_put(s->table, s->owner, s->values);
}

static const char *answer_row(struct store_req *req, struct stmt *s, const struct kept *from)
{
	unsigned n = store_tables[s->table].ncolumns;
	const char *why;
	struct row *row = req_row(req, s, n, &why);

	if (!row)
		return why;
	row->sequence = from->sequence;
	why = NULL;
	for (unsigned i = 0; i < n && !why; i++) {
		row->values[i] = from->values[i];
		if (from->values[i].kind == VALUE_TEXT)
			why = req_text(req, from->values[i].s.p, from->values[i].s.n, &row->values[i]);
	}
	return why;
}

/* NULL, or why there is no answer. */
static const char *look(struct store_req *req, struct stmt *s)
{
	const char *why = NULL;
	int64_t n = 0;

	for (struct kept *row = the.rows[s->table]; row && !why; row = row->next) {
		if (!meant(s, row) || (s->verb == VERB_PAGE && n == s->limit))
			continue;
		n++;
		if (s->verb != VERB_COUNT)
			why = answer_row(req, s, row);
	}
	if (s->verb != VERB_COUNT)
		return why;
	struct row *row = req_row(req, s, 1, &why);

	if (!row)
		return why;
	row->values[0] = value_int(n);
	return NULL;
}

static const char *carry_out(struct store_req *req, struct stmt *s)
{
	switch ((enum verb)s->verb) {
	case VERB_GET:
	case VERB_PAGE:
	case VERB_COUNT:
		return look(req, s);
	case VERB_PUT:
		memory_store_put(s->table, s->owner, s->values);
		return NULL;
	case VERB_MERGE:
		merge(s);
		return NULL;
	case VERB_DELETE:
	case VERB_DELETE_UPTO:
		delete(s);
		return NULL;
	}
	return "no such verb";
}

bool memory_store_turn(void)
{
	if (!the.n)
		return false;
	struct store_req *req = the.line[the.first % 4096];
	const char *why = NULL;
	enum store_status fail = the.fail;

	the.first++;
	the.n--;
	the.fail = STORE_OK;
	if (fail != STORE_OK) {
		req_fail(req, fail, "as the test wants it");
	} else {
		/* A request is atomic: one that writes is not left half-way. */
		scarce_pause += req->writes;
		for (uint32_t i = 0; i < req->nstmts && !why; i++)
			why = carry_out(req, &req->stmts[i]);
		scarce_pause -= req->writes;
		if (why) {
			req_reset(req);
			req_fail(req, STORE_FAILED, why);
		}
	}
	struct letter *l = &req->letter;

	mailbox_post(req->to, &l);
	return true;
}

void store_submit(struct store *store, struct store_req **reqp, struct mailbox *to, uint64_t token, unsigned flags)
{
	struct store_req *req = *reqp;

	(void)flags;
	*reqp = NULL;
	req->to = to;
	req->token = token;
	if (!req->error && store->n == 4096)
		req_fail(req, STORE_FULL, "the store's queue is full");
	if (req->error) {
		struct letter *l = &req->letter;

		mailbox_post(to, &l);
		return;
	}
	req_seal(req);
	store->line[(store->first + store->n++) % 4096] = req;
}

void memory_store_clear(void)
{
	for (; the.n; the.n--, the.first++)
		store_req_free(&the.line[the.first % 4096]);
	for (unsigned t = 0; t < T_COUNT; t++) {
		for (struct kept *row = the.rows[t], *next; row; row = next) {
			next = row->next;
			kept_free(row);
		}
		the.rows[t] = NULL;
	}
	the.fail = STORE_OK;
	the.first = 0;
	the.sequence = 0;
}

unsigned memory_store_holding(enum store_table t, struct span bytes)
{
	unsigned n = 0;

	for (const struct kept *row = the.rows[t]; row; row = row->next)
		for (unsigned i = 0; i < store_tables[t].ncolumns; i++)
			n += row->values[i].s.p && memmem(row->values[i].s.p, row->values[i].s.n, bytes.p, bytes.n);
	return n;
}

unsigned memory_store_rows(void)
{
	unsigned n = 0;

	for (unsigned t = 0; t < T_COUNT; t++)
		for (const struct kept *row = the.rows[t]; row; row = row->next)
			n++;
	return n;
}
