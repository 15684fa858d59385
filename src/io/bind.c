/* bind.c - names that components bind here, and who is told of them.
 * Threads: a link's acceptor; io->binding is held over each change together with its telling, so that nobody hears of a name's end
 * before its beginning.
 * Owns: struct bound, until the name is unbound.
 * Source: the answers of jabberd2's router.
 */
#include <stdlib.h>

#include "io/link.h"
#include "shardsm/log.h"

struct greeting {
	struct link *to;
	struct span last; /* the name told before: several binders come one after the other */
};

static void put_advert(struct buf *b, struct span name, bool here)
{
	buf_str(b, "<presence xmlns='" NS_COMPONENT "'");
	buf_attr(b, "from", name);
	buf_str(b, here ? "/>" : " type='unavailable'/>");
}

/* Everyone but the link itself. */
static void tell_components(struct link *link, struct span name, bool here)
{
	struct audience all = { .but = &link->ob };
	struct buf b;

	buf_init(&b);
	put_advert(&b, name, here);
	audience_collect(&all, link->home->io->cfg.names);
	for (uint32_t i = 0; i < all.n; i++) {
		if (b.failed || !out_put(link->home->out, all.obs[i], buf_span(&b)))
			log_limited(LOG_LEVEL_ERROR, "%s: was not told of a component (out of memory)", all.obs[i]->name);
	}
	audience_free(&all);
	buf_free(&b);
}

static void greet_name(struct link *link, struct span name)
{
	struct buf b;

	buf_init(&b);
	put_advert(&b, name, true);
	if (!b.failed)
		link_send(link, buf_span(&b));
	buf_free(&b);
}

static void greet_one(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	struct greeting *g = arg;

	(void)flags;
	if (ob == &g->to->ob || span_eq(name, g->last))
		return;
	g->last = name;
	greet_name(g->to, name);
}

/* Who binds its first name is told of everyone there, ourselves first. */
static void greet(struct link *link)
{
	const struct io_config *cfg = &link->home->io->cfg;
	struct greeting g = { .to = link };

	if (link->told)
		return;
	link->told = true;
	pthread_mutex_lock(&link->home->io->binding);
	greet_name(link, cfg->id);
	for (uint32_t i = 0; i < cfg->ndomains; i++) {
		if (!span_eq(cfg->domains[i], cfg->id))
			greet_name(link, cfg->domains[i]);
	}
	names_each_rcu(cfg->names, greet_one, &g);
	out_flush(link->home->out);
	pthread_mutex_unlock(&link->home->io->binding);
}

static void bound_free(const struct io *io, struct bound *b)
{
	if (b)
		peer_letters_free(io, &b->gone);
	free(b);
}

static struct bound *bound_new(const struct io *io, struct span name)
{
	struct bound *b = calloc(1, sizeof *b + name.n);

	if (!b)
		return NULL;
	b->name_len = name.n;
	memcpy(b->name, name.p, name.n);
	b->gone = peer_letters_new(io, name);
	if (!b->gone) {
		free(b);
		return NULL;
	}
	return b;
}

/* Under io->binding. */
static int bind_locked(struct link *link, struct bound *b, unsigned flags)
{
	struct acceptor *a = link->home;
	struct span name = span_of(b->name, b->name_len);

	if (io_serves(a->io, name))
		return 409;
	switch (names_bind(a->io->cfg.names, name, flags, &link->ob)) {
	case NAMES_TAKEN:
		return 409;
	case NAMES_NO_MEMORY:
		return 500;
	case NAMES_OK:
		break;
	}
	b->next = link->names;
	link->names = b;
	tell_components(link, name, true);
	out_flush(a->out);
	return 0;
}

int bind_name(struct link *link, struct span name, unsigned flags)
{
	struct io *io = link->home->io;
	struct bound *b = bound_new(io, name);
	int code = 500;

	if (b) {
		pthread_mutex_lock(&io->binding);
		code = bind_locked(link, b, flags);
		pthread_mutex_unlock(&io->binding);
	}
	if (code) {
		bound_free(io, b);
		log_limited(LOG_LEVEL_NOTICE, "%s tried to bind '" SPAN_FMT "' (%d)", link->ob.name, SPAN_ARG(name), code);
		return code;
	}
	if (flags & NAME_DEFAULT)
		log_notice("[" SPAN_FMT "] set as default route", SPAN_ARG(name));
	if (flags & NAME_LOG)
		log_notice("[" SPAN_FMT "] set as log sink", SPAN_ARG(name));
	log_notice("[" SPAN_FMT "] online (bound to %s)", SPAN_ARG(name), link->ob.name);
	return 0;
}

void bind_announce(struct link *link, struct span name)
{
	struct acceptor *a = link->home;
	struct peer_gone **here = a->phase == PHASE_RUN ? peer_letters_new(a->io, name) : NULL;

	if (here) {
		peer_letters_aim(a->io, here, LETTER_PEER_HERE, link);
		acceptor_tell_shards(a, here);
	} else if (a->phase == PHASE_RUN) {
		log_error("[" SPAN_FMT "] is online, but services will not list it (out of memory)", SPAN_ARG(name));
	}
	peer_letters_free(a->io, &here);
}

static void answer(struct link *link, const char *element, bool multi, int code)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "<%s xmlns='" NS_COMPONENT "'%s", element, multi ? " multi='to'" : "");
	if (code)
		buf_fmt(&b, " error='%d'", code);
	buf_str(&b, "/>");
	if (!b.failed)
		link_send(link, buf_span(&b));
	buf_free(&b);
}

bool bind_request(struct link *link, const char *frame, const struct route *route)
{
	unsigned flags = 0;
	char room[JID_MAX + 1];
	struct jid jid;
	int code = 400;

	flags |= route->flags & ROUTE_MULTI ? NAME_MULTI : 0;
	flags |= route->flags & ROUTE_DEFAULT ? NAME_DEFAULT : 0;
	flags |= route->flags & ROUTE_LOG ? NAME_LOG : 0;
	if (jid_prep(&jid, slice_of(frame, route->name), room) && jid.node_len == 0 && !jid_has_resource(&jid)) {
		if (takeover_waits(link, jid_domain(&jid), flags))
			return false;
		code = bind_name(link, jid_domain(&jid), flags);
	}
	answer(link, "bind", flags & NAME_MULTI, code);
	if (code == 0) {
		greet(link);
		bind_announce(link, jid_domain(&jid));
	}
	return true;
}

/* Under io->binding. Takes b, which is off the link's list. */
static void unbind_locked(struct link *link, struct bound *b)
{
	struct acceptor *a = link->home;
	struct span name = span_of(b->name, b->name_len);

	link->from_len = 0;
	names_unbind(a->io->cfg.names, name, &link->ob);
	if (!names_find_rcu(a->io->cfg.names, name, NULL)) {
		log_notice("[" SPAN_FMT "] offline", SPAN_ARG(name));
		tell_components(link, name, false);
	}
	if (a->phase == PHASE_RUN) {
		peer_letters_aim(a->io, b->gone, LETTER_PEER_GONE, link);
		acceptor_tell_shards(a, b->gone);
	}
	out_flush(a->out);
	bound_free(a->io, b);
}

void bind_undo(struct link *link, const char *frame, const struct route *route)
{
	char room[JID_MAX + 1];
	struct jid jid;
	int code = 404;

	if (!jid_prep(&jid, slice_of(frame, route->name), room)) {
		answer(link, "unbind", false, 400);
		return;
	}
	pthread_mutex_lock(&link->home->io->binding);
	for (struct bound **at = &link->names; *at; at = &(*at)->next) {
		struct bound *b = *at;

		if (span_eq(span_of(b->name, b->name_len), jid_full(&jid))) {
			*at = b->next;
			unbind_locked(link, b);
			code = 0;
			break;
		}
	}
	pthread_mutex_unlock(&link->home->io->binding);
	answer(link, "unbind", false, code);
}

void bind_forget(struct link *link)
{
	if (!link->names)
		return;
	pthread_mutex_lock(&link->home->io->binding);
	while (link->names) {
		struct bound *b = link->names;

		link->names = b->next;
		unbind_locked(link, b);
	}
	pthread_mutex_unlock(&link->home->io->binding);
}

void bind_advert(struct link *link, const char *frame, const struct route *route)
{
	struct acceptor *a = link->home;
	struct span name = slice_of(frame, route->from);
	bool gone = span_is(slice_of(frame, route->stanza_type), "unavailable");
	struct peer_gone **letters;

	if (name.n == 0 || io_serves(a->io, name) || a->phase != PHASE_RUN)
		return;
	letters = peer_letters_new(a->io, name);
	if (!letters) {
		/* A component whose end went unheard would leave its sessions behind; losing the link ends them too. */
		link_lost(link, "out of memory");
		return;
	}
	peer_letters_aim(a->io, letters, gone ? LETTER_PEER_GONE : LETTER_PEER_HERE, link);
	acceptor_tell_shards(a, letters);
	peer_letters_free(a->io, &letters);
}
