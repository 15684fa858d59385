/* privacy_set.c - all privacy lists of a user: from the database, copied to be edited, and which one is in force.
 * Threads: the owning shard's.
 * Owns: struct privacy holds a reference on each of its lists, and on each active one.
 */
#include <stdlib.h>

#include "module/privacy.h"
#include "shardsm/log.h"

static struct privacy_list *ref(struct privacy_list *list)
{
	if (list)
		list->refs++;
	return list;
}

static bool is_open(const struct user *u, const struct sm_id *id)
{
	for (const struct session *s = u->sessions; s; s = s->next)
		if (sm_id_same(&s->id, id))
			return true;
	return false;
}

struct privacy *privacy_copy(const struct user *u)
{
	static const struct privacy none;
	const struct privacy *old = u->privacy ? u->privacy : &none;
	struct privacy *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	/* One more of each: an edit adds at most that. */
	p->lists = malloc((old->n + 1u) * sizeof(struct privacy_list *));
	p->actives = malloc((old->nactive + 1u) * sizeof(*p->actives));
	if (!p->lists || !p->actives) {
		privacy_free(&p);
		return NULL;
	}
	for (; p->n < old->n; p->n++)
		p->lists[p->n] = ref(old->lists[p->n]);
	for (uint32_t i = 0; i < old->nactive; i++)
		if (is_open(u, &old->actives[i].session))
			p->actives[p->nactive++] = (struct active){ old->actives[i].session, ref(old->actives[i].list) };
	p->def = old->def;
	return p;
}

void privacy_free(struct privacy **p)
{
	struct privacy *old = *p;

	*p = NULL;
	if (!old)
		return;
	for (uint32_t i = 0; i < old->n; i++)
		privacy_list_unref(&old->lists[i]);
	for (uint32_t i = 0; i < old->nactive; i++)
		privacy_list_unref(&old->actives[i].list);
	free(old->lists);
	free(old->actives);
	free(old);
}

struct privacy_list *privacy_find(const struct privacy *p, struct span name)
{
	for (uint32_t i = 0; p && i < p->n; i++)
		if (span_eq(privacy_list_name(p->lists[i]), name))
			return p->lists[i];
	return NULL;
}

static struct active *active_of(const struct privacy *p, const struct session *s)
{
	for (uint32_t i = 0; s && p && i < p->nactive; i++)
		if (sm_id_same(&p->actives[i].session, &s->id))
			return &p->actives[i];
	return NULL;
}

struct privacy_list *privacy_active(const struct privacy *p, const struct session *s)
{
	const struct active *a = active_of(p, s);

	return a ? a->list : NULL;
}

struct privacy_list *privacy_in_force(const struct privacy *p, const struct session *s)
{
	struct privacy_list *list = privacy_active(p, s);

	return list || !p ? list : p->def;
}

bool privacy_put(struct privacy *p, struct privacy_list **list)
{
	struct privacy_list *old = privacy_find(p, privacy_list_name(*list));
	uint32_t i = 0;

	if (!old) {
		struct privacy_list **lists = realloc(p->lists, (p->n + 1u) * sizeof(struct privacy_list *));

		if (!lists) {
			privacy_list_unref(list);
			return false;
		}
		p->lists = lists;
		p->lists[p->n++] = *list;
		*list = NULL;
		return true;
	}
	for (uint32_t k = 0; k < p->nactive; k++)
		if (p->actives[k].list == old) {
			p->actives[k].list = ref(*list);
			old->refs--; /* p->lists still holds one */
		}
	if (p->def == old)
		p->def = *list;
	while (p->lists[i] != old)
		i++;
	privacy_list_unref(&p->lists[i]);
	p->lists[i] = *list;
	*list = NULL;
	return true;
}

static void remove_active(struct privacy *p, uint32_t i)
{
	privacy_list_unref(&p->actives[i].list);
	p->actives[i] = p->actives[--p->nactive];
}

void privacy_remove(struct privacy *p, struct privacy_list *list)
{
	uint32_t i = 0;

	for (uint32_t k = p->nactive; k-- > 0;)
		if (p->actives[k].list == list)
			remove_active(p, k);
	if (p->def == list)
		p->def = NULL;
	while (p->lists[i] != list)
		i++;
	privacy_list_unref(&p->lists[i]);
	p->n--;
	memmove(p->lists + i, p->lists + i + 1, (p->n - i) * sizeof(struct privacy_list *));
}

bool privacy_activate(struct privacy *p, const struct session *s, struct privacy_list *list)
{
	struct active *a = active_of(p, s), *actives;

	if (a)
		remove_active(p, (uint32_t)(a - p->actives));
	if (!list)
		return true;
	actives = realloc(p->actives, (p->nactive + 1u) * sizeof(*actives));
	if (!actives)
		return false;
	p->actives = actives;
	p->actives[p->nactive++] = (struct active){ s->id, ref(list) };
	return true;
}

/* --- from the database --------------------------------------------------------------------------------------------------- */

int privacy_load_ask(struct store_req *req)
{
	int first = store_get(req, T_PRIVACY_ITEMS, STORE_ALL, value_null());

	store_get(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null());
	return first;
}

static bool is_subscription(struct span v)
{
	return span_is(v, "to") || span_is(v, "from") || span_is(v, "both") || span_is(v, "none");
}

/* A row as a rule; false: it is not one. COMPAT jabberd2: the type's first letter counts, no type is the rule for everybody, and a JID may
 * stand there as its client wrote it. jid: room for it. */
static bool rule_of_row(const struct store_req *req, int first, uint32_t row, struct rule_fields *f, char jid_text[static JID_MAX + 1])
{
	struct span type = store_value(req, first, row, PRIVITEM_TYPE).s;
	int64_t order = store_value(req, first, row, PRIVITEM_ORDER).i;
	struct jid jid;

	*f = (struct rule_fields){ .value = store_value(req, first, row, PRIVITEM_VALUE).s,
		.order = (int32_t)(order < INT32_MIN ? INT32_MIN : order > INT32_MAX ? INT32_MAX : order),
		.deny = store_value(req, first, row, PRIVITEM_DENY).i != 0,
		.mask = (uint8_t)(store_value(req, first, row, PRIVITEM_BLOCK).i & MASK_ALL) };
	switch (type.n ? type.p[0] : '\0') {
	case 'j':
		f->type = RULE_JID;
		if (!jid_prep(&jid, f->value, jid_text))
			return false;
		f->value = jid_full(&jid);
		return true;
	case 'g':
		f->type = RULE_GROUP;
		return f->value.n <= UINT16_MAX && xml_text_ok(f->value);
	case 's':
		f->type = RULE_SUBSCRIPTION;
		return is_subscription(f->value);
	default:
		f->value = (struct span){ 0 };
		return true;
	}
}

struct loaded_row {
	struct span list;
	struct rule_fields rule;
	uint32_t at; /* of the value in the text of all rows */
};

/* The rules of the list that rows[from] is of, together; the others move behind them in their order. */
static bool load_list(struct privacy *p, struct loaded_row *rows, uint32_t *n, struct rule_fields *rules)
{
	struct span name = rows[0].list;
	uint32_t mine = 0, others = 0;
	struct privacy_list *list;

	for (uint32_t i = 0; i < *n; i++) {
		if (span_eq(rows[i].list, name))
			rules[mine++] = rows[i].rule;
		else
			rows[others++] = rows[i];
	}
	*n = others;
	list = privacy_list_new(name, rules, mine);
	return list && privacy_put(p, &list);
}

static uint32_t read_rows(const struct store_req *req, int first, struct loaded_row *rows, struct buf *text)
{
	char jid[JID_MAX + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < store_rows(req, first); i++) {
		struct loaded_row *row = &rows[n];

		row->list = store_value(req, first, i, PRIVITEM_LIST).s;
		row->at = text->n;
		if (!row->list.n || row->list.n > UINT16_MAX || !xml_text_ok(row->list) || !rule_of_row(req, first, i, &row->rule, jid)) {
			log_limited(LOG_LEVEL_WARNING, SPAN_FMT ": a row of its privacy lists is not readable and left out",
				SPAN_ARG(store_req_owner(req)));
			continue;
		}
		buf_put(text, row->rule.value);
		n++;
	}
	for (uint32_t i = 0; !text->failed && i < n; i++)
		rows[i].rule.value.p = text->p + rows[i].at;
	return n;
}

bool privacy_load_done(struct user *u, const struct store_req *req, int first)
{
	uint32_t n = store_rows(req, first);
	struct loaded_row *rows;
	struct rule_fields *rules;
	struct privacy *p;
	struct buf text;
	bool ok;

	privacy_unload(u);
	if (!n)
		return true;
	buf_init(&text);
	rows = malloc(n * sizeof(*rows));
	rules = malloc(n * sizeof(*rules));
	p = rows && rules ? calloc(1, sizeof(*p)) : NULL;
	ok = p != NULL;
	if (ok)
		n = read_rows(req, first, rows, &text);
	ok = ok && !text.failed;
	while (ok && n)
		ok = load_list(p, rows, &n, rules);
	buf_free(&text);
	free(rows);
	free(rules);
	if (!ok || !p->n) {
		privacy_free(&p);
		return ok;
	}
	if (store_rows(req, first + 1))
		p->def = privacy_find(p, store_value(req, first + 1, 0, PRIVDEF_DEFAULT).s);
	u->privacy = p;
	u->needs = p->def && p->def->uses_roster ? PART_ROSTER : 0;
	return true;
}

void privacy_unload(struct user *u)
{
	privacy_free(&u->privacy);
	u->needs = 0;
}
