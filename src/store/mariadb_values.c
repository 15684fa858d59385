/* mariadb_values.c - values on their way to MariaDB and back.
 * Threads: the connection's.
 * Owns: nothing: what is bound is the request's, or the caller's.
 */
#include "store/mariadb.h"

static void param_text(struct maria_params *p, const struct span *s)
{
	p->binds[p->n++] = (MYSQL_BIND){
		.buffer_type = MYSQL_TYPE_STRING, .buffer = (void *)(s->n ? s->p : ""), .buffer_length = s->n };
}

static void param_int(struct maria_params *p, const int64_t *i)
{
	p->binds[p->n++] = (MYSQL_BIND){ .buffer_type = MYSQL_TYPE_LONGLONG, .buffer = (void *)i, .buffer_length = sizeof(*i) };
}

/* A value that is not null. */
static void param_value(struct maria_params *p, const struct value *v)
{
	if (v->kind == VALUE_INT)
		param_int(p, &v->i);
	else
		param_text(p, &v->s);
}

static void param_present(struct maria_params *p, const struct stmt *s)
{
	for (unsigned i = 0; i < store_tables[s->table].ncolumns; i++) {
		if (s->present >> i & 1)
			param_value(p, &s->values[i]);
	}
}

void maria_params(struct maria_params *p, const struct stmt *s, enum verb verb)
{
	p->n = 0;
	if (verb == VERB_MERGE)
		param_present(p, s);
	param_text(p, &s->owner);
	if (verb == VERB_PUT) {
		param_present(p, s);
		return;
	}
	param_text(p, &s->owner);
	if (verb == VERB_PAGE || verb == VERB_DELETE_UPTO)
		param_int(p, &s->sequence);
	if (verb == VERB_PAGE) {
		p->limit = s->limit;
		param_int(p, &p->limit);
	}
	if (stmt_filters(s)) {
		param_value(p, &s->filter);
		if (s->filter.kind == VALUE_TEXT)
			param_value(p, &s->filter);
	}
}

void maria_params_repeat(struct maria_params *p, const struct span *text, unsigned n)
{
	p->n = 0;
	while (n--)
		param_text(p, text);
}

bool maria_is_number(const struct stmt *s, unsigned cell)
{
	if (cell == 0)
		return true;
	enum column_type type = store_tables[s->table].columns[cell - 1].type;

	return type == COL_INT || type == COL_BOOL;
}

void maria_bind_cells(struct maria_cells *cells, const struct stmt *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		MYSQL_BIND *b = &cells->binds[i];

		*b = (MYSQL_BIND){ .length = &cells->lengths[i], .is_null = &cells->nulls[i] };
		if (maria_is_number(s, i)) {
			b->buffer_type = MYSQL_TYPE_LONGLONG;
			b->buffer = &cells->numbers[i];
			b->buffer_length = sizeof(cells->numbers[i]);
		} else {
			b->buffer_type = MYSQL_TYPE_STRING;
		}
	}
}
