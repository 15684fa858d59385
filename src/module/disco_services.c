/* disco_services.c - the services beside this server: those that sm.xml names, and components that said what they are.
 * Threads: any shard reads inside a read section; changes, which are few, are made under a mutex.
 * Owns: the list. A view that was replaced or removed is freed after a grace period.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "module/disco.h"
#include "shardsm/rcu.h"

#define SERVICES_MAX 1000     /* of components */
#define TEXT_MAX_BYTES 4096u  /* of one */

/* Immutable but for next. */
struct service_view {
	struct rcu_head rcu;
	struct service_view *_Atomic next;
	const struct outbox *link; /* an identity, never followed */
	bool known;                /* it has answered, and is no server like this one */
	struct service_info info;
	struct span jid, id;
	char text[];
};

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static struct service_view *_Atomic online;
static uint32_t count;

static struct service_view *next_of(struct service_view *_Atomic *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static struct span keep(char **at, struct span s)
{
	struct span kept = span_of(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static struct service_view *view_new(struct span jid, struct span id, const struct service_info *info)
{
	size_t n = (size_t)jid.n + id.n + info->category.n + info->type.n + info->name.n;
	struct service_view *v = n <= TEXT_MAX_BYTES ? calloc(1, sizeof(*v) + n) : NULL;
	char *at;

	if (!v)
		return NULL;
	at = v->text;
	v->jid = keep(&at, jid);
	v->id = keep(&at, id);
	v->info = (struct service_info){ keep(&at, info->category), keep(&at, info->type), keep(&at, info->name), info->does };
	return v;
}

static void push(struct service_view *_Atomic *list, struct service_view *v)
{
	atomic_store_explicit(&v->next, next_of(list), memory_order_relaxed);
	atomic_store_explicit(list, v, memory_order_release);
}

static void free_view(struct rcu_head *head)
{
	free(caa_container_of(head, struct service_view, rcu));
}

/* Under the mutex. */
static void retire(struct service_view *_Atomic *at)
{
	struct service_view *v = next_of(at);

	atomic_store_explicit(at, next_of(&v->next), memory_order_release);
	count--;
	rcu_after(&v->rcu, free_view);
}

static struct service_view *_Atomic *place(struct service_view *_Atomic *list, struct span jid)
{
	struct service_view *v;

	while ((v = next_of(list)) != NULL && !span_eq(v->jid, jid))
		list = &v->next;
	return list;
}

bool services_asked(struct span jid, const struct outbox *link, struct span id)
{
	const struct service_info nothing = { 0 };
	struct service_view *v = view_new(jid, id, &nothing);
	bool room;

	if (!v)
		return false;
	v->link = link;
	pthread_mutex_lock(&changing);
	if (next_of(place(&online, jid)))
		retire(place(&online, jid));
	room = count < SERVICES_MAX;
	if (room) {
		push(&online, v);
		count++;
	}
	pthread_mutex_unlock(&changing);
	if (!room)
		free(v);
	return room;
}

/* A server of the same kind is no service of this one: jabberd2's rule. */
static bool is_server(const struct service_info *info)
{
	return span_is(info->category, "server") && span_is(info->type, "im");
}

bool services_answered(struct span jid, struct span id, const struct service_info *info)
{
	struct service_view *old, *v;

	pthread_mutex_lock(&changing);
	old = next_of(place(&online, jid));
	v = old && !old->known && span_eq(old->id, id) ? view_new(jid, id, info) : NULL;
	if (v) {
		v->link = old->link;
		v->known = !is_server(info);
		retire(place(&online, jid));
		push(&online, v);
		count++;
	}
	pthread_mutex_unlock(&changing);
	return v != NULL;
}

void services_gone(struct span jid, const struct outbox *link)
{
	struct service_view *_Atomic *at = &online;
	struct service_view *v;

	pthread_mutex_lock(&changing);
	while ((v = next_of(at)) != NULL) {
		if (v->link == link && (!jid.n || span_eq(v->jid, jid)))
			retire(at);
		else
			at = &v->next;
	}
	pthread_mutex_unlock(&changing);
}

void services_each_rcu(struct service_view *_Atomic *fixed, void (*fn)(struct span jid, const struct service_info *info, void *arg), void *arg)
{
	struct service_view *v;

	rcu_enter();
	for (v = next_of(&online); v; v = next_of(&v->next))
		if (v->known)
			fn(v->jid, &v->info, arg);
	for (v = next_of(fixed); v; v = next_of(&v->next)) {
		const struct service_view *now = next_of(place(&online, v->jid));

		if (!now || !now->known) /* what a service says of itself comes before what sm.xml says */
			fn(v->jid, &v->info, arg);
	}
	rcu_leave();
}

static bool read_item(struct config *config, const struct config_value *item, struct service_view *_Atomic *list)
{
	struct service_info info = { config_attr(item, "category"), config_attr(item, "type"), config_attr(item, "name"), 0 };
	const struct config_value *ns;
	char room[JID_MAX + 1];
	struct service_view *v;
	struct jid jid;

	if (!jid_prep(&jid, config_attr(item, "jid"), room)) {
		config_bad(config, item, "jid=\"" SPAN_FMT "\" is not a JID, as in conference.example.org",
			SPAN_ARG(config_attr(item, "jid")));
		return true;
	}
	for (uint32_t i = 0; (ns = config_below(config, item, "ns", i)) != NULL; i++) {
		info.does |= span_is(config_value_text(ns), "jabber:iq:register") ? SERVICE_REGISTERS : 0;
		info.does |= span_is(config_value_text(ns), "jabber:iq:search") ? SERVICE_SEARCHES : 0;
	}
	v = view_new(jid_full(&jid), (struct span){ 0 }, &info);
	if (!v)
		return false;
	/* In the order of the file. */
	while (next_of(list))
		list = &next_of(list)->next;
	push(list, v);
	return true;
}

bool services_read(struct config *config, struct service_view *_Atomic *list)
{
	const struct config_value *item;

	for (uint32_t i = 0; (item = config_get(config, "discovery.items.item", i)) != NULL; i++)
		if (!read_item(config, item, list))
			return false;
	return true;
}

void services_drop(struct service_view *_Atomic *list)
{
	struct service_view *v;

	while ((v = next_of(list)) != NULL) {
		atomic_store_explicit(list, next_of(&v->next), memory_order_relaxed);
		free(v);
	}
}
