/* hold.c - links whose next frame waits for a shard: who is held, and who goes on first when there is room.
 * Threads: the link's acceptor.
 * Owns: nothing; links stand in the line of the shard that they wait for, who waits longest first.
 *
 * A link that sends much is held when what links like it have before a shard takes long enough, so that the others do not wait behind that;
 * any link, when a shard has more before it than may be. The shard's mailbox says when there is room for the first of its line; each goes on
 * until there is none again, and then stands behind the others.
 */
#include <sys/epoll.h>

#include "io/link.h"
#include "shardsm/stats.h"

#define MUCH (64u * 1024) /* in BURST_MS */
#define BURST_MS 10

void hold_count(struct link *link, uint32_t bytes)
{
	link->burst += bytes;
	if (link->burst > 2 * MUCH)
		link->burst = 2 * MUCH; /* forgiven soon */
}

void hold_forgive(struct link *link)
{
	uint64_t ms = link->home->now - link->burst_since, less = ms * MUCH / BURST_MS;

	link->burst_since = link->home->now;
	link->burst = less < link->burst ? link->burst - (uint32_t)less : 0;
}

bool hold_sends_much(const struct link *link)
{
	return link->burst > MUCH;
}

static uint64_t most(const struct link *link, uint32_t shard)
{
	const struct io_config *cfg = &link->home->io->cfg;
	uint64_t share = mailbox_share(cfg->shards[shard]);

	return hold_sends_much(link) && share < cfg->tuning.shard_bytes ? share : cfg->tuning.shard_bytes;
}

bool hold_is_full(const struct link *link, uint32_t shard)
{
	return tray_load(&link->home->shards, shard) > most(link, shard);
}

/* It goes on at half of what it is held at. */
static uint64_t goes_on_below(const struct link *link, uint32_t shard)
{
	return most(link, shard) / 2 + 1;
}

void hold_ask(struct acceptor *a, uint32_t shard, uint64_t below)
{
	struct hold *h = &a->holds[shard];
	bool asked = h->asked;

	if (!asked) { /* else the letter is not ours until it comes */
		h->asked = true;
		h->room.to = &a->mb;
	}
	mailbox_ask_room(a->io->cfg.shards[shard], asked ? NULL : &h->room, below);
}

static void stand_in_line(struct link *link)
{
	struct hold *h = &link->home->holds[link->held_shard];

	link->next_held = NULL;
	*(h->first ? &h->last->next_held : &h->first) = link;
	h->last = link;
}

void link_pause(struct link *link, uint32_t shard, const char *frame, const struct route *route)
{
	struct acceptor *a = link->home;

	link->held = true;
	link->held_shard = shard;
	link->held_route = *route;
	link->held_off = (uint32_t)(frame - link->in);
	link_watch(link, 0, EPOLLIN);
	if (shard == SHARD_NONE)
		return;
	if (mailbox_load(a->io->cfg.shards[shard]) > a->io->cfg.tuning.shard_bytes)
		stat_inc(STAT_LIMIT_SHARD_QUEUE);
	a->paused++;
	stand_in_line(link);
	/* What fills the shard may be what is not posted yet. */
	dispatch_tray_post_one(&a->shards, shard);
	hold_ask(a, shard, goes_on_below(link, shard));
}

void hold_leave(struct link *link)
{
	struct link *before = NULL;
	struct hold *h;

	if (!link->held)
		return;
	link->held = false;
	if (link->held_shard == SHARD_NONE)
		return;
	h = &link->home->holds[link->held_shard];
	link->home->paused--;
	for (struct link **at = &h->first; *at != link; at = &(*at)->next_held)
		before = *at;
	*(before ? &before->next_held : &h->first) = link->next_held;
	if (h->last == link)
		h->last = before;
}

void hold_room(struct acceptor *a, uint32_t shard)
{
	struct hold *h = &a->holds[shard];
	uint64_t below = 0;
	uint32_t n = 0;

	h->asked = false;
	for (const struct link *link = h->first; link; link = link->next_held)
		n++;
	for (; n && h->first; n--) {
		struct link *link = h->first;

		hold_leave(link);
		if (tray_load(&a->shards, shard) < goes_on_below(link, shard)) {
			link_resume(link);
			continue;
		}
		link->held = true;
		a->paused++;
		stand_in_line(link);
	}
	for (const struct link *link = h->first; link; link = link->next_held)
		below = goes_on_below(link, shard) > below ? goes_on_below(link, shard) : below;
	if (below)
		hold_ask(a, shard, below);
}

void hold_none(struct acceptor *a)
{
	for (struct link *link = a->links; link; link = link->next)
		hold_leave(link);
}
