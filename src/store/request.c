/* request.c - building a store request and reading its answer.
 * Threads: the one that owns the request.
 * Owns: a request's chain of memory: from store_req_new() to store_req_free(), whatever thread it went through.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/request.h"

/* A put of an everyday message, its owner and the request itself fit into one allocation. */
#define REQ_FIRST_BYTES 1792u
#define CHUNK_MAX_BYTES (1u << 20) /* chunks double up to here */

static const char no_memory[] = "no memory", too_large[] = "the result is too large";

struct chunk {
	struct chunk *prev;
	size_t used, cap;
	_Alignas(16) char data[];
};

static void *arena_alloc(struct arena *a, size_t n)
{
	struct chunk *c = a->last;

	n = (n + 15) & ~(size_t)15;
	if (c->cap - c->used < n) {
		size_t cap = c->cap * 2 > CHUNK_MAX_BYTES ? CHUNK_MAX_BYTES : c->cap * 2;

		/* A large one gets a chunk that fits, with a little room for what comes with it. */
		if (n > cap / 2)
			cap = n + cap / 16;
		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct chunk){ a->last, 0, cap };
		a->last = c;
		a->bytes += sizeof(*c) + cap;
	}
	void *p = c->data + c->used;

	c->used += n;
	return p;
}

static void arena_back_to(struct arena *a, struct chunk *mark)
{
	while (a->last != mark) {
		struct chunk *c = a->last;

		a->last = c->prev;
		a->bytes -= sizeof(*c) + c->cap;
		free(c);
	}
}

static bool copy_span(struct arena *a, struct span in, struct span *out)
{
	char *p = arena_alloc(a, in.n ? in.n : 1);

	if (!p)
		return false;
	if (in.n)
		memcpy(p, in.p, in.n);
	*out = span_of(p, in.n);
	return true;
}

/* Room for one more element of an array that lives in the arena. */
static bool array_grow(struct arena *a, void **array, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return true;
	uint32_t more = *cap ? *cap * 2 : 2; /* most requests have one statement or two */
	struct chunk *c = a->last;

	/* Nothing was allocated behind it: it grows where it is. */
	if (*cap && (char *)*array + *cap * size == c->data + c->used && c->cap - c->used >= 4 * size && size % 4 == 0) {
		c->used += 4 * size;
		*cap += 4;
		return true;
	}
	void *p = arena_alloc(a, more * size);

	if (!p)
		return false;
	if (n)
		memcpy(p, *array, n * size);
	*array = p;
	*cap = more;
	return true;
}

struct store_req *store_req_new(struct span owner)
{
	size_t room = sizeof(struct store_req) + sizeof(struct chunk) + owner.n;
	size_t total = room > REQ_FIRST_BYTES / 2 ? room + REQ_FIRST_BYTES : REQ_FIRST_BYTES;
	struct store_req *req = malloc(total);

	if (!req)
		return NULL;
	memset(req, 0, sizeof(*req));
	_Static_assert(sizeof(struct store_req) % _Alignof(struct chunk) == 0, "the first chunk follows the request");
	struct chunk *first = (struct chunk *)(req + 1);

	*first = (struct chunk){ NULL, 0, total - sizeof(*req) - sizeof(*first) };
	req->letter.kind = LETTER_STORE;
	req->arena.last = first;
	req->arena.bytes = total;
	if (!copy_span(&req->arena, owner, &req->first_owner)) {
		free(req);
		return NULL;
	}
	req->owner = req->first_owner;
	return req;
}

void store_req_free(struct store_req **req)
{
	if (!*req)
		return;
	for (struct store_req *part = (*req)->parts, *next; part; part = next) {
		next = part->next_part;
		store_req_free(&part);
	}
	arena_back_to(&(*req)->arena, (struct chunk *)(*req + 1));
	free(*req);
	*req = NULL;
}

struct store_req *req_part(struct store_req *whole, uint32_t n)
{
	struct store_req *part = store_req_new(whole->first_owner);

	if (!part)
		return NULL;
	part->stmts = arena_alloc(&part->arena, n * sizeof(*part->stmts));
	if (!part->stmts) {
		store_req_free(&part);
		return NULL;
	}
	part->stmts_cap = n;
	part->whole = whole;
	part->next_part = whole->parts;
	whole->parts = part;
	return part;
}

void req_join(struct store_req *whole)
{
	for (const struct store_req *part = whole->parts; part; part = part->next_part) {
		if (part->error)
			req_fail(whole, part->status, part->error);
		for (uint32_t i = 0; i < part->nstmts; i++) {
			const struct stmt *from = &part->stmts[i];
			struct stmt *to = &whole->stmts[from->position];

			to->rows = from->rows;
			to->nrows = from->nrows;
		}
	}
	for (uint32_t i = 0; whole->error && i < whole->nstmts; i++)
		whole->stmts[i].nrows = 0;
}

void req_fail(struct store_req *req, enum store_status status, const char *reason)
{
	if (req->error)
		return;
	size_t n = strlen(reason) + 1;
	char *copy = arena_alloc(&req->arena, n);

	req->status = status;
	req->error = copy ? memcpy(copy, reason, n) : no_memory;
}

/* One more statement, or NULL with the request marked. */
static struct stmt *add(struct store_req *req, enum verb verb, enum store_table t)
{
	if (req->error)
		return NULL;
	if ((unsigned)t >= T_COUNT) {
		req_fail(req, STORE_FAILED, "no such table");
		return NULL;
	}
	if (!array_grow(&req->arena, (void **)&req->stmts, req->nstmts, &req->stmts_cap, sizeof(*req->stmts))) {
		req_fail(req, STORE_FAILED, no_memory);
		return NULL;
	}
	struct stmt *s = &req->stmts[req->nstmts++];

	*s = (struct stmt){ .verb = (uint8_t)verb, .table = (uint8_t)t, .filter_column = STORE_ALL, .owner = req->owner };
	if (verb_writes(verb))
		req->writes = true;
	else
		req->reads = true;
	return s;
}

/* Copies a value that is meant for a column; null fits every one. */
static bool copy_value(struct store_req *req, enum store_table t, int column, struct value in, struct value *out)
{
	enum column_type type = store_tables[t].columns[column].type;
	enum value_kind wanted = type == COL_INT || type == COL_BOOL ? VALUE_INT : VALUE_TEXT;

	if (in.kind != VALUE_NULL && in.kind != wanted) {
		req_fail(req, STORE_FAILED, "a value is not of its column's type");
		return false;
	}
	*out = in;
	if (in.kind == VALUE_TEXT && !copy_span(&req->arena, in.s, &out->s)) {
		req_fail(req, STORE_FAILED, no_memory);
		return false;
	}
	return true;
}

static int add_filtered(struct store_req *req, enum verb verb, enum store_table t, int column, struct value filter)
{
	struct stmt *s = add(req, verb, t);

	if (!s)
		return -1;
	if (column != STORE_ALL) {
		if (column < 0 || column >= store_tables[t].ncolumns) {
			req_fail(req, STORE_FAILED, "no such column");
			return -1;
		}
		s->filter_column = (int16_t)column;
		if (!copy_value(req, t, column, filter, &s->filter))
			return -1;
	}
	return (int)req->nstmts - 1;
}

int store_get(struct store_req *req, enum store_table t, int filter_column, struct value filter)
{
	return add_filtered(req, VERB_GET, t, filter_column, filter);
}

int store_count(struct store_req *req, enum store_table t, int filter_column, struct value filter)
{
	return add_filtered(req, VERB_COUNT, t, filter_column, filter);
}

int store_delete(struct store_req *req, enum store_table t, int filter_column, struct value filter)
{
	return add_filtered(req, VERB_DELETE, t, filter_column, filter);
}

int store_get_page(struct store_req *req, enum store_table t, int64_t after, uint32_t limit)
{
	struct stmt *s = add(req, VERB_PAGE, t);

	if (!s)
		return -1;
	s->sequence = after;
	s->limit = limit;
	return (int)req->nstmts - 1;
}

int store_delete_upto(struct store_req *req, enum store_table t, int64_t sequence)
{
	struct stmt *s = add(req, VERB_DELETE_UPTO, t);

	if (!s)
		return -1;
	s->sequence = sequence;
	return (int)req->nstmts - 1;
}

static int add_values(struct store_req *req, enum verb verb, enum store_table t, const struct value *values)
{
	struct stmt *s = add(req, verb, t);

	if (!s)
		return -1;
	uint32_t n = store_tables[t].ncolumns;
	struct value *copy = arena_alloc(&req->arena, n * sizeof(*copy));

	if (!copy) {
		req_fail(req, STORE_FAILED, no_memory);
		return -1;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!copy_value(req, t, (int)i, values[i], &copy[i]))
			return -1;
		if (copy[i].kind != VALUE_NULL)
			s->present |= UINT64_C(1) << i;
	}
	s->values = copy;
	return (int)req->nstmts - 1;
}

int store_put(struct store_req *req, enum store_table t, const struct value *values)
{
	return add_values(req, VERB_PUT, t, values);
}

int store_merge(struct store_req *req, enum store_table t, const struct value *values)
{
	return add_values(req, VERB_MERGE, t, values);
}

void store_owner(struct store_req *req, struct span owner)
{
	if (!req->error && !copy_span(&req->arena, owner, &req->owner))
		req_fail(req, STORE_FAILED, no_memory);
}

void req_seal(struct store_req *req)
{
	req->mark = req->arena.last;
	req->mark_used = (uint32_t)req->arena.last->used;
	req->mark_bytes = req->arena.bytes;
}

void req_reset(struct store_req *req)
{
	arena_back_to(&req->arena, req->mark);
	req->mark->used = req->mark_used;
	for (uint32_t i = 0; i < req->nstmts; i++) {
		req->stmts[i].rows = NULL;
		req->stmts[i].nrows = req->stmts[i].rows_cap = 0;
	}
	req->status = STORE_OK;
	req->error = NULL;
}

static bool over_limit(const struct store_req *req, size_t more)
{
	return req->arena.bytes - req->mark_bytes + more > REQ_RESULT_MAX;
}

struct row *req_row(struct store_req *req, struct stmt *s, uint32_t n, const char **why)
{
	size_t size = sizeof(struct row) + n * sizeof(struct value);

	*why = too_large;
	if (over_limit(req, size))
		return NULL;
	*why = no_memory;
	if (!array_grow(&req->arena, (void **)&s->rows, s->nrows, &s->rows_cap, sizeof(struct row *)))
		return NULL;
	struct row *row = arena_alloc(&req->arena, size);

	if (!row)
		return NULL;
	memset(row, 0, size);
	s->rows[s->nrows++] = row;
	return row;
}

/* A user's load asks many tables, most of which have nothing of the user: one statement that asks them all whether they
 * have costs a third of asking each for its rows. From this many statements on it pays. */
#define WORTH_ASKING 3u

uint64_t req_tables_to_ask(const struct store_req *req)
{
	uint64_t tables = 0;
	unsigned n = 0;

	for (uint32_t i = 0; i < req->nstmts; i++) {
		if (span_eq(req->stmts[i].owner, req->first_owner)) {
			tables |= UINT64_C(1) << req->stmts[i].table;
			n++;
		}
	}
	return n < WORTH_ASKING ? 0 : tables;
}

bool req_answer_empty(struct store_req *req, struct stmt *s, const char **why)
{
	if (s->verb != VERB_COUNT)
		return true;
	struct row *row = req_row(req, s, 1, why);

	if (row)
		row->values[0] = value_int(0);
	return row;
}

const char *req_text(struct store_req *req, const void *p, size_t n, struct value *out)
{
	if (over_limit(req, n))
		return too_large;
	if (!copy_span(&req->arena, span_of(p, n), &out->s))
		return no_memory;
	out->kind = VALUE_TEXT;
	return NULL;
}

enum store_status store_status(const struct store_req *req)
{
	return req->status;
}

const char *store_error(const struct store_req *req)
{
	return req->error ? req->error : "";
}

uint64_t store_token(const struct store_req *req)
{
	return req->token;
}

struct span store_req_owner(const struct store_req *req)
{
	return req->first_owner;
}

struct store_tag *store_tag(struct store_req *req)
{
	return &req->tag;
}

static const struct row *answer_row(const struct store_req *req, int statement, uint32_t row)
{
	if (row >= store_rows(req, statement))
		return NULL;
	return req->stmts[statement].rows[row];
}

uint32_t store_rows(const struct store_req *req, int statement)
{
	if (statement < 0 || (uint32_t)statement >= req->nstmts)
		return 0;
	return req->stmts[statement].nrows;
}

struct value store_value(const struct store_req *req, int statement, uint32_t row, int column)
{
	const struct row *r = answer_row(req, statement, row);

	if (!r)
		return value_null();
	const struct stmt *s = &req->stmts[statement];
	int n = s->verb == VERB_COUNT ? 1 : store_tables[s->table].ncolumns;

	assert(column >= 0 && column < n);
	return column >= 0 && column < n ? r->values[column] : value_null();
}

int64_t store_sequence(const struct store_req *req, int statement, uint32_t row)
{
	const struct row *r = answer_row(req, statement, row);

	return r ? r->sequence : 0;
}
