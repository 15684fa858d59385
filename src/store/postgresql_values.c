/* postgresql_values.c - values as PostgreSQL sends and takes them in binary: text as it is, numbers in network order.
 * Threads: the one whose request it is.
 * Owns: nothing; parameters borrow from the request.
 */
#include <endian.h>

#include "store/postgresql.h"

/* Types as the server numbers them. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_BPCHAR = 1042, OID_VARCHAR = 1043 };

static void param(struct postgresql_params *p, unsigned type, const void *value, size_t n)
{
	p->types[p->n] = type;
	p->values[p->n] = value;
	p->lengths[p->n] = (int)n;
	p->formats[p->n++] = 1;
	p->bytes += n;
}

static void param_text(struct postgresql_params *p, struct span s)
{
	param(p, OID_TEXT, s.n ? s.p : "", s.n);
}

static void param_int(struct postgresql_params *p, int64_t i)
{
	int64_t *number = &p->numbers[p->n];

	*number = (int64_t)htobe64((uint64_t)i);
	param(p, OID_INT8, number, sizeof(*number));
}

/* A value that is not null. */
static void param_value(struct postgresql_params *p, enum column_type type, const struct value *v)
{
	if (type == COL_BOOL)
		param(p, OID_BOOL, v->i ? "\1" : "\0", 1);
	else if (type == COL_INT)
		param_int(p, v->i);
	else
		param_text(p, v->s);
}

static void param_present(struct postgresql_params *p, const struct stmt *s)
{
	const struct table *t = &store_tables[s->table];

	for (unsigned i = 0; i < t->ncolumns; i++) {
		if (s->present >> i & 1)
			param_value(p, t->columns[i].type, &s->values[i]);
	}
}

void postgresql_params(struct postgresql_params *p, const struct stmt *s)
{
	p->n = 0;
	p->bytes = 0;
	if (s->verb == VERB_MERGE)
		param_present(p, s);
	param_text(p, s->owner);
	if (s->verb == VERB_PUT)
		param_present(p, s);
	if (s->verb == VERB_PAGE || s->verb == VERB_DELETE_UPTO)
		param_int(p, s->sequence);
	if (s->verb == VERB_PAGE)
		param_int(p, s->limit);
	if (stmt_filters(s))
		param_value(p, store_tables[s->table].columns[s->filter_column].type, &s->filter);
}

int64_t postgresql_number(const char *p, int n)
{
	uint64_t u = 0;

	for (int i = 0; i < n; i++)
		u = u << 8 | (unsigned char)p[i];
	return n == 2 ? (int16_t)u : n == 4 ? (int32_t)u : (int64_t)u;
}

const char *postgresql_value(struct store_req *req, enum column_type type, unsigned oid, const char *p, int n, struct value *out)
{
	switch (type) {
	case COL_BOOL:
		if (oid == OID_BOOL)
			*out = value_int(*p != 0);
		return NULL;
	case COL_INT:
		if (oid == OID_INT2 || oid == OID_INT4 || oid == OID_INT8)
			*out = value_int(postgresql_number(p, n));
		return NULL;
	case COL_TEXT:
	case COL_XML:
		break;
	}
	return oid == OID_TEXT || oid == OID_VARCHAR || oid == OID_BPCHAR ? req_text(req, p, (size_t)n, out) : NULL;
}
