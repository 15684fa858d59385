/* roster_publish.c - published rosters: contacts that an operator's table puts into users' rosters when these are loaded.
 * Threads: shards; the options change while these stand still, the caches stand under a mutex.
 * Owns: the caches. What is read for one user's load belongs to that load.
 */
#include <pthread.h>
#include <stdlib.h>

#include "module/roster.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"

#define CACHE_PLACES 4096u /* a fixed table: what meets in a place replaces what was there */
#define GROUPS_MAX 1024u   /* of one contact */

enum fetch_key { KEY_NONE, KEY_FIXED, KEY_USER, KEY_DOMAIN };

static struct options {
	bool on, check, create, fix, override, map, force;
	enum fetch_key key;
	struct span fixed, check_domain, prefix, suffix;
	int64_t active_ttl, group_ttl; /* seconds; 0: no cache */
} set;

#define P "user.template.publish"

static bool read_options(struct config *config, void *into)
{
	struct options *o = into;

	o->on = config_has(config, P);
	if (!o->on)
		return true;
	o->key = config_has(config, P ".fetch-key.fixed") ? KEY_FIXED : config_has(config, P ".fetch-key.user") ? KEY_USER
		: config_has(config, P ".fetch-key.domain") ? KEY_DOMAIN : KEY_NONE;
	o->fixed = config_text(config, P ".fetch-key.fixed", "");
	o->check = config_has(config, P ".check-remove-domain");
	o->check_domain = config_text(config, P ".check-remove-domain", "");
	if (span_is(o->check_domain, "1")) /* how an element without text reads */
		o->check_domain = (struct span){ 0 };
	o->create = config_has(config, P ".force-create-contacts");
	o->fix = config_has(config, P ".fix-subscriptions");
	o->override = config_has(config, P ".override-names");
	o->map = config_has(config, P ".mapped-groups.map-groups");
	o->force = config_has(config, P ".force-groups");
	o->prefix = config_text(config, P ".force-groups.prefix", "");
	o->suffix = config_text(config, P ".force-groups.suffix", "");
	o->active_ttl = config_int(config, P ".active-cache-ttl", 0, 0, INT32_MAX);
	o->group_ttl = config_int(config, P ".mapped-groups.group-cache-ttl", 0, 0, INT32_MAX);
	return true;
}

/* --- caches ------------------------------------------------------------------------------------------------------------------ */

struct cached {
	uint64_t key, until_ms;
	bool found;
	uint32_t n;
	char *text;
};

static pthread_mutex_t caching = PTHREAD_MUTEX_INITIALIZER;
static struct cached active_cache[CACHE_PLACES], group_cache[CACHE_PLACES];

/* Is an answer known? text, if any, is appended to out. */
static bool cache_find(struct cached *cache, struct span key, bool *found, struct buf *out)
{
	uint64_t hash = hash_bytes(key);
	struct cached *c = &cache[hash % CACHE_PLACES];
	bool known;

	pthread_mutex_lock(&caching);
	known = c->key == hash && c->until_ms > clock_mono_ms();
	if (known) {
		*found = c->found;
		buf_put(out, span_of(c->text, c->n));
	}
	pthread_mutex_unlock(&caching);
	return known;
}

static void cache_put(struct cached *cache, struct span key, int64_t ttl, bool found, struct span text)
{
	uint64_t hash = hash_bytes(key);
	struct cached *c = &cache[hash % CACHE_PLACES];
	char *copy = ttl && text.n ? malloc(text.n) : NULL;

	if (!ttl || (text.n && !copy))
		return;
	if (text.n)
		memcpy(copy, text.p, text.n);
	pthread_mutex_lock(&caching);
	free(c->text);
	*c = (struct cached){ hash, clock_mono_ms() + (uint64_t)ttl * 1000, found, text.n, copy };
	pthread_mutex_unlock(&caching);
}

/* --- reading ----------------------------------------------------------------------------------------------------------------- */

#define NOT_ASKED (-1)
#define KNOWN_YES (-2)
#define KNOWN_NO (-3)

struct range { uint32_t off, n; };

struct contact {
	struct range jid, name, group; /* in text; group: its name, or its id where mapped is a statement */
	bool named;
	uint8_t to, from, ask;
	int active, mapped;            /* a statement of the second read, or one of the above */
};

/* What one load is about. One block: contacts, then text. */
struct publishing {
	uint32_t n;
	struct contact contacts[];
};

static struct span text_of(const struct publishing *p, struct range r)
{
	return span_of((const char *)&p->contacts[p->n] + r.off, r.n);
}

static struct range keep(struct buf *text, struct span s)
{
	struct range r = { text->n, s.n };

	buf_put(text, s);
	return r;
}

static int load_ask(struct store_req *req)
{
	struct span user = store_req_owner(req), key = { 0 };
	const char *at = set.on ? memchr(user.p, '@', user.n) : NULL;
	int first;

	if (!set.on)
		return -1;
	if (set.key == KEY_FIXED)
		key = set.fixed;
	else if (set.key == KEY_USER)
		key = user;
	else if (set.key == KEY_DOMAIN && at)
		key = span_of(at + 1, (size_t)(user.p + user.n - at - 1));
	store_owner(req, key);
	first = store_get(req, T_PUBLISHED_ROSTER, STORE_ALL, value_null());
	store_owner(req, user);
	return first;
}

static bool load_done(struct user *u, const struct store_req *req, int first)
{
	(void)u;
	(void)req;
	(void)first;
	return true; /* load_more() goes on once the roster itself is there */
}

static bool in_check_domain(const struct jid *jid)
{
	return !set.check_domain.n || span_eq(jid_domain(jid), set.check_domain);
}

static int ask_active(struct store_req *req, const struct user *u, const struct jid *jid)
{
	bool found;
	struct buf none;
	int statement = NOT_ASKED;

	if (!(set.check && in_check_domain(jid)) && !(set.create && serves_domain(u->owner, jid_domain(jid))))
		return NOT_ASKED;
	buf_init(&none);
	if (cache_find(active_cache, jid_bare(jid), &found, &none)) {
		statement = found ? KNOWN_YES : KNOWN_NO;
	} else {
		store_owner(req, jid_bare(jid));
		statement = store_get(req, T_ACTIVE, STORE_ALL, value_null());
	}
	buf_free(&none);
	return statement;
}

static int ask_group(struct store_req *req, struct span id, struct buf *text, struct range *group)
{
	uint32_t begin = text->n;
	bool found;

	if (!set.map || !id.n) {
		*group = keep(text, id);
		return NOT_ASKED;
	}
	if (cache_find(group_cache, id, &found, text)) {
		*group = (struct range){ begin, text->n - begin };
		return found ? KNOWN_YES : KNOWN_NO;
	}
	*group = keep(text, id);
	store_owner(req, id);
	return store_get(req, T_PUBLISHED_ROSTER_GROUPS, STORE_ALL, value_null());
}

/* One row, with what is still to be read for it. False: it is left out. */
static bool read_contact(struct user *u, const struct store_req *answer, int first, uint32_t row, struct store_req *req,
	struct buf *text, struct contact *c)
{
	struct value jid_text = store_value(answer, first, row, PUBITEM_JID), name = store_value(answer, first, row, PUBITEM_NAME);
	struct span group = store_value(answer, first, row, PUBITEM_GROUP).s;
	char room[JID_MAX + 1];
	struct jid jid;

	if (!jid_prep(&jid, jid_text.s, room) || !xml_text_ok(name.s) || !xml_text_ok(group)) {
		log_limited(LOG_LEVEL_ERROR, "%s: row %lld is not readable and is left out",
			store_tables[T_PUBLISHED_ROSTER].name, (long long)store_sequence(answer, first, row));
		return false;
	}
	if (span_eq(jid_full(&jid), user_bare(u)))
		return false;
	*c = (struct contact){ .jid = keep(text, jid_full(&jid)), .name = keep(text, name.s), .named = name.s.n > 0,
		.to = store_value(answer, first, row, PUBITEM_TO).i != 0, .from = store_value(answer, first, row, PUBITEM_FROM).i != 0,
		.ask = (uint8_t)store_value(answer, first, row, PUBITEM_ASK).i };
	c->active = ask_active(req, u, &jid);
	c->mapped = ask_group(req, group, text, &c->group);
	return true;
}

static void *load_more(struct user *u, const struct store_req *answer, int first, struct store_req *req)
{
	uint32_t rows = store_rows(answer, first), n = 0;
	struct contact *contacts = calloc(rows + 1, sizeof(*contacts));
	struct publishing *p = NULL;
	struct buf text;

	buf_init(&text);
	for (uint32_t i = 0; contacts && u->exists && i < rows; i++)
		n += read_contact(u, answer, first, i, req, &text, &contacts[n]);
	if (n && !text.failed)
		p = malloc(sizeof(*p) + n * sizeof(*contacts) + text.n);
	if (p) {
		p->n = n;
		memcpy(p->contacts, contacts, n * sizeof(*contacts));
		if (text.n)
			memcpy(&p->contacts[n], text.p, text.n);
	}
	buf_free(&text);
	free(contacts);
	return p;
}

/* --- putting them into the roster ------------------------------------------------------------------------------------------------ */

/* The rows of one user's changes, sent off together. */
struct changes {
	struct user *u;
	struct store_req *req;
};

static struct store_req *rows_of(struct changes *c)
{
	if (!c->req)
		c->req = store_req_new(user_bare(c->u));
	return c->req;
}

static bool put(struct changes *c, const struct item_fields *f)
{
	struct roster_item *item = roster_item_new(f);
	struct roster_version v;
	struct store_req *req = item ? rows_of(c) : NULL;

	if (!req) {
		free(item);
		return false;
	}
	v = roster_version_after(c->u, roster_find(c->u, f->jid), item);
	roster_store_item(req, item);
	roster_version_write(req, &v, item_jid(item));
	return roster_change(c->u, &item);
}

static bool drop(struct changes *c, struct span jid)
{
	const struct roster_item *item = roster_find(c->u, jid);
	struct store_req *req = item ? rows_of(c) : NULL;

	if (!item)
		return true;
	if (!req)
		return false;
	struct roster_version v = roster_version_after(c->u, item, NULL);

	store_delete(req, T_ROSTER_ITEMS, ITEM_JID, value_text(jid));
	store_delete(req, T_ROSTER_GROUPS, GROUP_JID, value_text(jid));
	roster_version_write(req, &v, jid);
	roster_take_out(c->u, jid);
	return true;
}

static bool create_account(struct changes *c, struct span bare)
{
	struct store_req *req = rows_of(c);

	if (!req)
		return false;
	store_owner(req, bare);
	store_merge(req, T_ACTIVE, (struct value[]){ [ACTIVE_TIME] = value_int(clock_wall()) });
	store_owner(req, user_bare(c->u));
	cache_put(active_cache, bare, set.active_ttl, true, (struct span){ 0 });
	return true;
}

/* Made by this module, as far as one can tell. */
static bool is_ours(struct span group)
{
	return (set.prefix.n && group.n >= set.prefix.n && memcmp(group.p, set.prefix.p, set.prefix.n) == 0) ||
		(set.suffix.n && group.n >= set.suffix.n &&
			memcmp(group.p + group.n - set.suffix.n, set.suffix.p, set.suffix.n) == 0);
}

/* The contact's groups as they should be, in groups; true when they differ from those it has. */
static bool force_groups(const struct roster_item *item, struct span group, struct span *groups, uint32_t *n)
{
	const char *at = NULL;
	bool there = false, changed = false;

	for (uint16_t i = 0; i < item->ngroups && *n < GROUPS_MAX; i++) {
		struct span g = item_group(item, &at);
		bool same = span_eq(g, group);

		there |= same;
		if (set.force && group.n && !same && is_ours(g))
			changed = true;
		else
			groups[(*n)++] = g;
	}
	if (set.force && group.n && !there && *n < GROUPS_MAX) {
		groups[(*n)++] = group;
		changed = true;
	}
	return changed;
}

static bool update(struct changes *c, const struct publishing *p, const struct contact *k, const struct roster_item *item,
	struct span group)
{
	struct span name = text_of(p, k->name), *groups = malloc((GROUPS_MAX + 1) * sizeof(*groups));
	struct item_fields f = { .jid = text_of(p, k->jid), .name = item_name(item), .named = item->named, .to = item->to,
		.from = item->from, .ask = item->ask, .groups = groups };
	bool changed, ok;

	if (!groups)
		return false;
	changed = force_groups(item, group, groups, &f.ngroups);
	if (set.override && k->named && !span_eq(name, f.name)) {
		f.name = name;
		f.named = true;
		changed = true;
	}
	if (set.fix && (f.to != k->to || f.from != k->from)) {
		f.to = k->to;
		f.from = k->from;
		changed = true;
	}
	ok = !changed || put(c, &f);
	free(groups);
	return ok;
}

/* Does the account that the contact names exist, or is that not asked? */
static bool is_active(const struct publishing *p, const struct contact *k, const struct store_req *answer)
{
	bool found = k->active != KNOWN_NO;

	if (k->active >= 0) {
		found = store_rows(answer, k->active) > 0;
		cache_put(active_cache, text_of(p, k->jid), set.active_ttl, found, (struct span){ 0 });
	}
	return found;
}

static bool group_of(const struct publishing *p, const struct contact *k, const struct store_req *answer, struct span *group)
{
	bool found = k->mapped != KNOWN_NO;

	*group = text_of(p, k->group);
	if (k->mapped >= 0) {
		struct span name = store_rows(answer, k->mapped) ? store_value(answer, k->mapped, 0, PUBGROUP_NAME).s : (struct span){ 0 };

		found = name.n && xml_text_ok(name);
		cache_put(group_cache, *group, set.group_ttl, found, found ? name : (struct span){ 0 });
		if (!found)
			log_limited(LOG_LEVEL_ERROR, "published-roster-groups: group '" SPAN_FMT "' has no name: its contacts are left out",
				SPAN_ARG(*group));
		*group = name;
	}
	return found;
}

static bool publish(struct changes *c, const struct publishing *p, const struct contact *k, const struct store_req *answer)
{
	struct span jid = text_of(p, k->jid), group;
	const struct roster_item *item;

	if (!is_active(p, k, answer)) {
		if (!set.create)
			return drop(c, jid);
		if (!create_account(c, jid))
			return false;
	}
	if (!group_of(p, k, answer, &group))
		return true;
	item = roster_find(c->u, jid);
	return item ? update(c, p, k, item, group)
		    : put(c, &(struct item_fields){ .jid = jid, .name = text_of(p, k->name), .named = k->named, .to = k->to, .from = k->from,
			      .ask = k->ask, .groups = &group, .ngroups = group.n ? 1 : 0 });
}

static bool load_finish(struct user *u, const struct store_req *answer, void *state)
{
	const struct publishing *p = state;
	struct changes c = { .u = u };
	bool ok = true;

	for (uint32_t i = 0; ok && i < p->n; i++)
		ok = publish(&c, p, &p->contacts[i], answer);
	store_write_of(u, &c.req);
	return ok;
}

const struct module module_roster_publish = {
	.name = "roster-publish",
	.options = { &set, sizeof(set), read_options, NULL },
	.part = PART_ROSTER,
	.load_ask = load_ask,
	.load_done = load_done,
	.load_more = load_more,
	.load_finish = load_finish,
};
