/* roster.c - rosters in memory: sorted arrays of immutable items, pending requests, small JID sets.
 * Threads: the owning shard's.
 * Owns: items and requests belong to their user.
 */
#include <stdlib.h>

#include "shard/shard.h"

SHARD_THREAD_BEGIN

const struct roster roster_none;

/* The user's own, made where it has none. NULL: no memory. */
static struct roster *own(struct user *u)
{
	if (!u->roster)
		u->roster = calloc(1, sizeof(*u->roster));
	return u->roster;
}

void roster_free(struct user *u)
{
	struct roster *r = u->roster;

	if (!r)
		return;
	for (uint32_t i = 0; i < r->n; i++)
		free(r->items[i]);
	free(r->items);
	while (r->pending) {
		struct pending *p = r->pending;

		r->pending = p->next;
		free(p);
	}
	free(r);
	u->roster = NULL;
}

bool roster_version_put(struct user *u, const struct roster_version *v)
{
	if (!own(u))
		return false;
	u->roster->version = *v;
	return true;
}

/* The place of jid in the sorted array; found says whether it is there. */
static uint32_t place(const struct roster *r, struct span jid, bool *found)
{
	uint32_t lo = 0, hi = r->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int c = span_compare(item_jid(r->items[mid]), jid);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

const struct roster_item *roster_find(const struct user *u, struct span jid)
{
	const struct roster *r = user_roster(u);
	bool found;
	uint32_t i;

	if (!r->n)
		return NULL;
	i = place(r, jid, &found);
	return found ? r->items[i] : NULL;
}

const struct roster_item *roster_for(const struct user *u, const struct jid *j)
{
	const struct roster_item *item = roster_find(u, jid_bare(j));

	return item || !jid_has_resource(j) ? item : roster_find(u, jid_full(j));
}

bool roster_lets_see(const struct user *u, const struct jid *j)
{
	const struct roster_item *item;

	if (span_eq(jid_bare(j), user_bare(u)))
		return true;
	item = roster_for(u, j);
	return item && item->from;
}

struct roster_item *roster_item_new(const struct item_fields *f)
{
	size_t groups = 0;

	for (uint32_t i = 0; i < f->ngroups; i++)
		groups += 2u + f->groups[i].n;
	struct roster_item *item = malloc(sizeof(*item) + f->jid.n + f->name.n + groups);

	if (!item)
		return NULL;
	*item = (struct roster_item){ .to = f->to, .from = f->from, .ask = f->ask, .named = f->named, .jid_len = (uint16_t)f->jid.n,
		.name_len = (uint16_t)f->name.n, .ngroups = (uint16_t)f->ngroups, .groups_len = (uint32_t)groups };
	char *at = item->text;
	struct jid jid = { 0 };

	item->odd = !jid_split(&jid, f->jid) || jid_has_resource(&jid);
	item->node_len = jid.node_len;
	item->hash = item->odd ? 0 : hash_bytes(f->jid);
	memcpy(at, f->jid.p, f->jid.n);
	at += f->jid.n;
	if (f->name.n)
		memcpy(at, f->name.p, f->name.n);
	at += f->name.n;
	for (uint32_t i = 0; i < f->ngroups; i++) {
		uint16_t n = (uint16_t)f->groups[i].n;

		memcpy(at, &n, 2);
		if (n)
			memcpy(at + 2, f->groups[i].p, n);
		at += 2 + n;
	}
	return item;
}

struct roster_item *roster_item_copy(const struct roster_item *item)
{
	size_t size = sizeof(*item) + item->jid_len + item->name_len + item->groups_len;
	struct roster_item *copy = malloc(size);

	if (copy)
		memcpy(copy, item, size);
	return copy;
}

struct span item_group(const struct roster_item *item, const char **at)
{
	uint16_t n;

	if (!*at)
		*at = item->text + item->jid_len + item->name_len;
	memcpy(&n, *at, 2);
	struct span group = span_of(*at + 2, n);

	*at += 2 + n;
	return group;
}

bool roster_put(struct user *u, struct roster_item **item)
{
	struct roster *r = own(u);
	bool found = false;
	uint32_t i = r ? place(r, item_jid(*item), &found) : 0;

	if (found) {
		free(r->items[i]);
		r->items[i] = *item;
		*item = NULL;
		return true;
	}
	if (!r || r->n == r->cap) {
		uint32_t cap = r && r->cap ? r->cap * 2 : 4;
		struct roster_item **items = r ? realloc(r->items, cap * sizeof(*items)) : NULL;

		if (!items) {
			free(*item);
			*item = NULL;
			return false;
		}
		r->items = items;
		r->cap = cap;
	}
	memmove(r->items + i + 1, r->items + i, (r->n - i) * sizeof(*r->items));
	r->items[i] = *item;
	*item = NULL;
	r->n++;
	return true;
}

void roster_remove(struct user *u, struct span jid)
{
	struct roster *r = u->roster;
	bool found = false;
	uint32_t i = r ? place(r, jid, &found) : 0;

	if (!found)
		return;
	free(r->items[i]);
	r->n--;
	memmove(r->items + i, r->items + i + 1, (r->n - i) * sizeof(*r->items));
}

/* --- requests that wait for an answer --------------------------------------------------------------------------------- */

static struct pending **pending_at(struct roster *r, struct span bare)
{
	struct pending **at = &r->pending;

	while (*at && !span_eq(span_of((*at)->text, (*at)->jid_len), bare))
		at = &(*at)->next;
	return at;
}

struct pending *roster_pending(const struct user *u, struct span bare)
{
	return u->roster ? *pending_at(u->roster, bare) : NULL;
}

bool roster_pending_put(struct user *u, struct span bare, struct span attrs, struct span xml)
{
	struct pending *p = own(u) ? malloc(sizeof(*p) + bare.n + attrs.n + xml.n) : NULL;
	const struct span parts[] = { bare, attrs, xml };
	char *at;

	if (!p)
		return false;
	roster_pending_remove(u, bare);
	*p = (struct pending){ .jid_len = (uint16_t)bare.n, .attrs_len = attrs.n, .xml_len = xml.n };
	at = p->text;
	for (int i = 0; i < 3; at += parts[i++].n)
		if (parts[i].n)
			memcpy(at, parts[i].p, parts[i].n);
	*pending_at(u->roster, bare) = p; /* the end of the list: it is not in it any more */
	return true;
}

void roster_pending_remove(struct user *u, struct span bare)
{
	struct pending *p = roster_pending(u, bare);

	if (!p)
		return;
	*pending_at(u->roster, bare) = p->next;
	free(p);
}

/* --- small sets ------------------------------------------------------------------------------------------------------- */

static uint32_t set_place(const struct jid_set *set, const struct jid *j)
{
	uint32_t i = 0;

	while (i < set->n && !span_eq(span_of(set->jids[i].s, set->jids[i].len), jid_full(j)))
		i++;
	return i;
}

bool jid_set_has(const struct jid_set *set, const struct jid *j)
{
	return set->n && set_place(set, j) < set->n;
}

bool jid_set_add(struct jid_set *set, const struct jid *j, uint32_t limit)
{
	if (set_place(set, j) < set->n)
		return true;
	if (set->n == limit)
		return false;
	if (set->n == set->cap) {
		uint32_t cap = set->cap ? set->cap * 2 : 2;
		struct jid_text *jids = realloc(set->jids, cap * sizeof(*jids));

		if (!jids)
			return false;
		set->jids = jids;
		set->cap = cap;
	}
	char *s = malloc(j->len);

	if (!s)
		return false;
	memcpy(s, j->s, j->len);
	set->jids[set->n++] = (struct jid_text){ j->len, j->bare_len, j->node_len, s };
	return true;
}

void jid_set_remove(struct jid_set *set, const struct jid *j)
{
	uint32_t i = set_place(set, j);

	if (i == set->n)
		return;
	free(set->jids[i].s);
	set->jids[i] = set->jids[--set->n];
}

void jid_set_fini(struct jid_set *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		free(set->jids[i].s);
	free(set->jids);
	memset(set, 0, sizeof(*set));
}

/* --- what few sessions have -------------------------------------------------------------------------------------------- */

struct session_extra *session_extra(struct session *s)
{
	if (!s->extra)
		s->extra = calloc(1, sizeof(*s->extra));
	return s->extra;
}

bool session_bounced(const struct session *s, const struct jid *j)
{
	return s->extra && jid_set_has(&s->extra->bounced, j);
}

void session_forget_bounced(struct session *s, const struct jid *j)
{
	if (s->extra)
		jid_set_remove(&s->extra->bounced, j);
}

void session_forget_directed(struct session *s, const struct jid *j)
{
	if (s->extra)
		jid_set_remove(&s->extra->directed, j);
}

void session_extra_free(struct session *s)
{
	if (!s->extra)
		return;
	jid_set_fini(&s->extra->directed);
	jid_set_fini(&s->extra->bounced);
	free(s->extra->private);
	free(s->extra);
	s->extra = NULL;
}

SHARD_THREAD_END
