/* names.c - the table of component names: copied whole at every change, which are few; read without locks.
 * Threads: acceptors change it under its mutex; every registered RCU thread reads.
 * Owns: the table in force and the views in it. A table or view that was replaced is freed after a grace period, and only then gives
 * back its references on outboxes: what a read section found stays alive until its end.
 */
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/tsan.h"
#include "shardsm/hash.h"
#include "shardsm/names.h"
#include "shardsm/rcu.h"

struct binder {
	struct outbox *ob; /* counted */
	unsigned flags;
};

/* One name with everyone who bound it, in the order of binding. Immutable. */
struct name_view {
	struct rcu_head rcu;
	uint64_t hash;
	uint32_t n, name_len;
	struct binder *binders; /* behind the struct */
	char *name;             /* behind those */
};

/* Immutable; the views outlive it where the next table has them too. */
struct table_view {
	struct rcu_head rcu;
	uint32_t n, mask;              /* n views in mask + 1 places, open addressing */
	const struct outbox *fallback; /* the default route */
	struct outbox *router;         /* counted */
	uint32_t nlogs;                /* of bindings with NAME_LOG */
	const struct name_view *at[];
};

struct names {
	pthread_mutex_t lock;
	const struct table_view *_Atomic table;
};

static struct span view_name(const struct name_view *v) { return span_of(v->name, v->name_len); }

static const struct table_view *table_rcu(const struct names *names)
{
	struct names *n = (struct names *)(uintptr_t)names;

	return atomic_load_explicit(&n->table, memory_order_acquire);
}

/* Reads of t and v (may be NULL) are over: what comes after a grace period comes after them. */
static void read_done(const struct table_view *t, const struct name_view *v)
{
	tsan_release(t);
	if (v)
		tsan_release(v);
}

static const struct name_view *view_find(const struct table_view *t, struct span name, uint64_t hash)
{
	for (uint32_t i = (uint32_t)hash & t->mask;; i = (i + 1) & t->mask) {
		const struct name_view *v = t->at[i];

		if (!v || (v->hash == hash && span_eq(view_name(v), name)))
			return v;
	}
}

static void view_free(struct rcu_head *head)
{
	struct name_view *v = caa_container_of(head, struct name_view, rcu);

	tsan_acquire(v);
	for (uint32_t i = 0; i < v->n; i++)
		outbox_unref(&v->binders[i].ob);
	free(v);
}

static void table_free(struct rcu_head *head)
{
	struct table_view *t = caa_container_of(head, struct table_view, rcu);

	tsan_acquire(t);
	outbox_unref(&t->router);
	free(t);
}

/* A view of name with the binders of old (may be NULL) but without one of them (may be NULL), and one more (ob NULL: none). */
static struct name_view *view_new(struct span name, const struct name_view *old, const struct outbox *without, struct binder more)
{
	uint32_t n = (old ? old->n : 0) + 1;
	struct name_view *v = calloc(1, sizeof *v + n * sizeof *v->binders + name.n);

	if (!v)
		return NULL;
	v->hash = hash_bytes(name);
	v->binders = (struct binder *)(v + 1);
	v->name = (char *)(v->binders + n);
	v->name_len = name.n;
	memcpy(v->name, name.p, name.n);
	for (uint32_t i = 0; old && i < old->n; i++) {
		if (old->binders[i].ob != without)
			v->binders[v->n++] = old->binders[i];
	}
	if (more.ob)
		v->binders[v->n++] = more;
	for (uint32_t i = 0; i < v->n; i++)
		outbox_ref(v->binders[i].ob);
	return v;
}

/* What the bindings in it say together. */
static void table_sum(struct table_view *t)
{
	for (uint32_t i = 0; i <= t->mask; i++) {
		const struct name_view *v = t->at[i];

		for (uint32_t b = 0; v && b < v->n; b++) {
			if (v->binders[b].flags & NAME_DEFAULT)
				t->fallback = v->binders[b].ob;
			if (v->binders[b].flags & NAME_LOG)
				t->nlogs++;
		}
	}
}

static void table_add(struct table_view *t, const struct name_view *v)
{
	uint32_t i = (uint32_t)v->hash & t->mask;

	while (t->at[i])
		i = (i + 1) & t->mask;
	t->at[i] = v;
	t->n++;
}

/* A table like old, with drop left out and add put in (either may be NULL). */
static struct table_view *table_new(const struct table_view *old, const struct name_view *drop, const struct name_view *add)
{
	uint32_t places = 8;
	struct table_view *t;

	while (places < 2 * (old ? old->n + 1 : 1))
		places *= 2;
	t = calloc(1, sizeof *t + places * sizeof t->at[0]);
	if (!t)
		return NULL;
	t->mask = places - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++) {
		if (old->at[i] && old->at[i] != drop)
			table_add(t, old->at[i]);
	}
	if (add)
		table_add(t, add);
	table_sum(t);
	t->router = old ? old->router : NULL;
	if (t->router)
		outbox_ref(t->router);
	return t;
}

/* Puts t in force; retires the table and the view (may be NULL) that it replaces. Under the mutex. */
static void table_publish(struct names *names, struct table_view *t, const struct name_view *gone)
{
	struct table_view *old = (struct table_view *)(uintptr_t)table_rcu(names);
	struct name_view *v = (struct name_view *)(uintptr_t)gone;

	atomic_store_explicit(&names->table, t, memory_order_release);
	tsan_release(old);
	rcu_after(&old->rcu, table_free);
	if (v) {
		tsan_release(v);
		rcu_after(&v->rcu, view_free);
	}
}

struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof *names);
	struct table_view *t = table_new(NULL, NULL, NULL);

	if (!names || !t) {
		free(names);
		free(t);
		return NULL;
	}
	pthread_mutex_init(&names->lock, NULL);
	atomic_init(&names->table, t);
	return names;
}

void names_free(struct names **namesp)
{
	struct names *names = *namesp;
	struct table_view *t;

	*namesp = NULL;
	if (!names)
		return;
	t = (struct table_view *)(uintptr_t)table_rcu(names);
	for (uint32_t i = 0; i <= t->mask; i++) {
		if (t->at[i])
			view_free((struct rcu_head *)(uintptr_t)&t->at[i]->rcu);
	}
	table_free(&t->rcu);
	pthread_mutex_destroy(&names->lock);
	free(names);
}

static const struct binder *binder_of(const struct name_view *v, const struct outbox *ob)
{
	for (uint32_t i = 0; v && i < v->n; i++) {
		if (v->binders[i].ob == ob)
			return &v->binders[i];
	}
	return NULL;
}

/* Replaces old (NULL: none) by a view with one binder less or more. Under the mutex. */
static bool names_change(struct names *names, const struct name_view *old, struct name_view *now)
{
	struct table_view *t;

	if (!now)
		return false;
	t = table_new(table_rcu(names), old, now->n ? now : NULL);
	if (!t) {
		view_free(&now->rcu);
		return false;
	}
	table_publish(names, t, old);
	if (now->n == 0)
		view_free(&now->rcu);
	return true;
}

struct outbox *names_holder_rcu(const struct names *names, struct span name, unsigned flags)
{
	const struct table_view *t = table_rcu(names);
	const struct name_view *v = view_find(t, name, hash_bytes(name));
	const struct outbox *ob = NULL;

	if (v && !(flags & v->binders[0].flags & NAME_MULTI))
		ob = v->n == 1 ? v->binders[0].ob : NULL;
	else if (flags & NAME_DEFAULT)
		ob = t->fallback;
	read_done(t, v);
	return (struct outbox *)(uintptr_t)ob;
}

enum names_result names_bind(struct names *names, struct span name, unsigned flags, struct outbox *ob)
{
	enum names_result result = NAMES_OK;
	const struct table_view *t;
	const struct name_view *v;

	pthread_mutex_lock(&names->lock);
	t = table_rcu(names);
	v = view_find(t, name, hash_bytes(name));
	if (v && (binder_of(v, ob) || !(flags & NAME_MULTI) || !(v->binders[0].flags & NAME_MULTI)))
		result = NAMES_TAKEN;
	else if ((flags & NAME_DEFAULT) && t->fallback)
		result = NAMES_TAKEN;
	else if (!names_change(names, v, view_new(name, v, NULL, (struct binder){ ob, flags })))
		result = NAMES_NO_MEMORY;
	pthread_mutex_unlock(&names->lock);
	return result;
}

bool names_unbind(struct names *names, struct span name, struct outbox *ob)
{
	const struct name_view *v;
	bool done = false;

	pthread_mutex_lock(&names->lock);
	v = view_find(table_rcu(names), name, hash_bytes(name));
	if (binder_of(v, ob))
		done = names_change(names, v, view_new(name, v, ob, (struct binder){ 0 }));
	pthread_mutex_unlock(&names->lock);
	return done;
}

bool names_bound_by_rcu(const struct names *names, struct span name, const struct outbox *ob)
{
	const struct table_view *t = table_rcu(names);
	const struct name_view *v = view_find(t, name, hash_bytes(name));
	bool bound = binder_of(v, ob) != NULL;

	read_done(t, v);
	return bound;
}

/* jabberd2's choice among several binders (words 1 to 3 of the digest, seen on the wire): whoever talks to one user keeps
 * talking to one component. */
static uint32_t pick(const struct jid *to, uint32_t n)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	uint32_t words[SHA_DIGEST_LENGTH / sizeof(uint32_t)];

	if (!to || !to->s || to->node_len == 0) {
		uint64_t r = 0;

		return hash_random(&r, sizeof r) ? (uint32_t)(r % n) : 0;
	}
	SHA1((const unsigned char *)to->s, to->bare_len, digest);
	memcpy(words, digest, sizeof words);
	return ((words[1] ^ words[2] ^ words[3]) >> 2) % n;
}

struct outbox *names_find_rcu(const struct names *names, struct span name, const struct jid *to)
{
	const struct table_view *t = table_rcu(names);
	const struct name_view *v = view_find(t, name, hash_bytes(name));
	struct outbox *ob = v ? v->binders[v->n > 1 ? pick(to, v->n) : 0].ob : NULL;

	read_done(t, v);
	return ob;
}

struct outbox *names_default_rcu(const struct names *names)
{
	const struct table_view *t = table_rcu(names);
	const struct outbox *ob = t->fallback;

	read_done(t, NULL);
	return (struct outbox *)(uintptr_t)ob;
}

void names_set_router(struct names *names, struct outbox *ob)
{
	struct table_view *t;

	pthread_mutex_lock(&names->lock);
	/* Forgetting a lost router must not fail, and finding one must not be forgotten: there is nothing to go on with. */
	t = table_new(table_rcu(names), NULL, NULL);
	if (!t)
		abort();
	if (ob)
		outbox_ref(ob);
	outbox_unref(&t->router);
	t->router = ob;
	table_publish(names, t, NULL);
	pthread_mutex_unlock(&names->lock);
}

struct outbox *names_router_rcu(const struct names *names)
{
	const struct table_view *t = table_rcu(names);
	struct outbox *ob = t->router;

	read_done(t, NULL);
	return ob;
}

void names_each_rcu(const struct names *names, void (*fn)(struct span name, unsigned flags, struct outbox *ob, void *arg), void *arg)
{
	const struct table_view *t = table_rcu(names);

	for (uint32_t i = 0; i <= t->mask; i++) {
		const struct name_view *v = t->at[i];

		for (uint32_t b = 0; v && b < v->n; b++)
			fn(view_name(v), v->binders[b].flags, v->binders[b].ob, arg);
		read_done(t, v);
	}
}

bool names_have_logs_rcu(const struct names *names)
{
	const struct table_view *t = table_rcu(names);
	bool have = t->nlogs > 0;

	read_done(t, NULL);
	return have;
}

struct log_walk {
	void (*fn)(struct outbox *ob, void *arg);
	void *arg;
};

static void log_visit(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	struct log_walk *walk = arg;

	(void)name;
	if (flags & NAME_LOG)
		walk->fn(ob, walk->arg);
}

void names_logs_rcu(const struct names *names, void (*fn)(struct outbox *ob, void *arg), void *arg)
{
	struct log_walk walk = { fn, arg };

	if (names_have_logs_rcu(names))
		names_each_rcu(names, log_visit, &walk);
}
