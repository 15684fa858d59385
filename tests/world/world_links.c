/* world_links.c - links without sockets.
 * Threads: one.
 * Owns: what the links were told and nobody has read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/link.h"
#include "scarce.h"
#include "world_internal.h"

static ssize_t catch(struct outbox *ob, const struct iovec *iov, int n)
{
	struct fake_link *link = (struct fake_link *)ob;
	size_t all = 0;

	if (link->stalls)
		return 0;
	scarce_pause++;
	for (int i = 0; i < n; i++) {
		if (link->n + iov[i].iov_len > link->cap) {
			link->cap = 2 * (link->n + iov[i].iov_len);
			link->text = realloc(link->text, link->cap);
			if (!link->text)
				broken("no memory");
		}
		memcpy(link->text + link->n, iov[i].iov_base, iov[i].iov_len);
		link->n += iov[i].iov_len;
		all += iov[i].iov_len;
	}
	scarce_pause--;
	return (ssize_t)all;
}

static void nothing(struct outbox *ob) { (void)ob; }

static void overflow(struct outbox *ob) { ((struct fake_link *)ob)->overflown = true; }

static const struct outbox_ops ops = { .write = catch, .arm = nothing, .overflow = overflow, .free = nothing };

void link_open(struct fake_link *link, const char *name)
{
	char *text = link->text;
	size_t cap = link->cap;

	*link = (struct fake_link){ .name = name, .up = true, .text = text, .cap = cap };
	outbox_init(&link->ob, &ops, UINT64_MAX);
	snprintf(link->ob.name, sizeof(link->ob.name), "%s", name);
	route_scanner_begin(&link->in, NULL, false);
	route_scanner_begin(&link->out, NULL, false);
	link->out.limits = (struct route_limits){ .frame_bytes = 1u << 30, .depth = link->in.limits.depth,
		.attributes = link->in.limits.attributes, .elements = 1u << 30 };
}

void link_reset(struct fake_link *link)
{
	link->up = true;
	link->stalls = link->overflown = false;
	link->ob.limit = UINT64_MAX;
	atomic_store(&link->ob.state, 0);
}

void link_stall(struct fake_link *link, bool stalls)
{
	if (!link->up)
		return;
	link->stalls = stalls;
	link->ob.limit = stalls ? WORLD_STALLED : UINT64_MAX;
	if (!stalls)
		outbox_writable(&link->ob);
}

void link_say(struct fake_link *link, struct span frame)
{
	struct packet p = { .stage = STAGE_IN, .link = &link->ob };
	enum route_result r = ROUTE_OK;
	size_t used = 0, at = 0;
	char *copy = NULL;

	if (!link->up)
		return;
	for (; at < frame.n && r == ROUTE_OK; at += used) {
		struct jid_room room;

		r = route_next(&link->in, frame.p + at, frame.n - at, &p.route, &used);
		if (r != ROUTE_OK || (p.route.element != EL_ROUTE && p.route.element != EL_STANZA))
			continue;
		p.frame = frame.p + at + used - p.route.len;
		if (p.route.flags & ROUTE_ODD) {
			size_t cap = 2 * (size_t)p.route.len + 256;
			char *more = realloc(copy, p.route.len + cap);

			if (!more)
				break;
			copy = more;
			memcpy(copy, p.frame, p.route.len);
			if (!route_mxml(&p.route, copy, copy + p.route.len, cap))
				continue;
			p.frame = copy;
		}
		p.flags = 0;
		p.from.s = p.to.s = NULL;
		uint32_t shard = classify(world.io, &p, &room);

		if (shard != SHARD_NONE && !tray_packet(&world.tray, shard, &p))
			break;
	}
	free(copy);
	dispatch_tray_post(&world.tray);
	if (at < frame.n || r != ROUTE_OK) /* a real link would be closed */
		route_scanner_begin(&link->in, NULL, false);
}

void link_here(struct fake_link *link, struct span name, enum letter_kind kind)
{
	scarce_pause++; /* a link has these letters before it has a name */
	for (unsigned i = 0; i < WORLD_SHARDS; i++) {
		struct peer_gone *peer = calloc(1, sizeof(*peer) + name.n);
		struct letter *l = &peer->letter;

		if (!peer)
			broken("no memory");
		peer->letter.kind = kind;
		peer->link = &link->ob;
		peer->name_len = name.n;
		if (name.n)
			memcpy(peer->name, name.p, name.n);
		outbox_ref(&link->ob);
		mailbox_post(server_mailboxes(world.server)[i], &l);
	}
	scarce_pause--;
}

void link_lose(struct fake_link *link, struct span name)
{
	for (unsigned i = 0; i < world.nseats; i++)
		if (&world.links[world.seats[i].link] == link)
			world.seats[i].lost = true;
	link_here(link, name, LETTER_PEER_GONE);
}
