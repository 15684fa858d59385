/* defer.c - packets of a link that does not take what it is sent: they wait as if they had not been read yet.
 * Threads: the shard's own.
 * Owns: the packets that wait, and a reference on the link of each line.
 *
 * An answer may be a thousand times what asked for it, and presence goes to many: who is read as fast as it sends may cause more than its link
 * takes. The acceptor stops reading such a link; this is for what it has read already. All packets of the link wait in one line, so that
 * no one is overtaken; what is sent to its users by others does not.
 */
#include <stdlib.h>

#include "shard/shard.h"

SHARD_THREAD_BEGIN

struct deferral {
	struct deferral *next;
	struct outbox *link;         /* counted */
	struct waiting *first, **end;
};

/* For what is written; or for what this turn has sent to many, and the link may be to get. */
static bool must_wait(const struct shard *shard, const struct outbox *link)
{
	return outbox_is_behind(link) || (shard->fanned_out && shard->fanned_out > outbox_room(link));
}

static void work_off_first(struct shard *shard, struct deferral *d)
{
	struct waiting *w = d->first;

	d->first = w->next;
	if (!d->first)
		d->end = &d->first;
	packet_unhold(shard, w->packet);
	dispatch(shard, w->packet);
	out_relieve(shard->out);
	packet_drop(&w->packet);
	free(w);
}

static void forget(struct shard *shard, struct deferral *d)
{
	struct deferral **at = &shard->deferrals;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	outbox_unref(&d->link);
	free(d);
}

static bool ask(struct shard *shard, struct deferral *d);

static void go_on(struct shard *shard, struct deferral *d)
{
	while (d->first && !must_wait(shard, d->link))
		work_off_first(shard, d);
	if (d->first && ask(shard, d))
		return;
	while (d->first) /* there is no memory to wait */
		work_off_first(shard, d);
	forget(shard, d);
}

static void on_room(struct shard *shard, struct user *u, bool written, uint64_t arg)
{
	(void)u, (void)written;
	go_on(shard, (struct deferral *)(uintptr_t)arg);
}

/* Goes through every shard and comes back, behind what was sent to them: then that is on the links. */
struct round {
	struct letter letter;
	struct shard *home;
	struct deferral *d; /* home's */
};

static void round_post(const struct shard *shard, struct round *round)
{
	const struct server *server = shard->server;
	struct letter *letter = &round->letter;

	mailbox_post(server->boxes[(shard->index + 1) % server->set.nshards], &letter);
}

void on_round(struct shard *shard, struct letter *letter)
{
	struct round *round = (struct round *)letter;
	struct deferral *d = round->d;

	if (shard != round->home) {
		out_flush(shard->out);
		round_post(shard, round);
		return;
	}
	atomic_fetch_sub_explicit(&shard->open_parks, 1, memory_order_relaxed);
	free(round);
	go_on(shard, d);
}

/* One answer comes, and d stays until then. */
static bool ask(struct shard *shard, struct deferral *d)
{
	struct round *round;

	if (outbox_is_behind(d->link))
		return link_when_written(shard, d->link, NULL, on_room, (uintptr_t)d);
	round = malloc(sizeof(*round));
	if (!round)
		return false;
	*round = (struct round){ { .kind = LETTER_ROUND }, shard, d };
	dispatch_tray_post(&shard->tray);
	atomic_fetch_add_explicit(&shard->open_parks, 1, memory_order_relaxed);
	round_post(shard, round);
	return true;
}

static struct deferral *deferral_of(struct shard *shard, struct outbox *link)
{
	struct deferral *d = shard->deferrals;

	while (d && d->link != link)
		d = d->next;
	if (d || !must_wait(shard, link) || !(d = calloc(1, sizeof(*d))))
		return d;
	d->link = link;
	d->end = &d->first;
	outbox_ref(link);
	d->next = shard->deferrals;
	shard->deferrals = d;
	if (ask(shard, d))
		return d;
	forget(shard, d);
	return NULL;
}

/* Not asked about for each packet: many threads write what is read for that. */
static bool keeps_up(struct shard *shard, const struct outbox *link)
{
	const uint32_t relieved = out_relieve(shard->out);

	if (likely(shard->keeps_up == link && shard->kept_up == relieved && !shard->fanned_out))
		return true;
	if (must_wait(shard, link))
		return false;
	shard->keeps_up = link;
	shard->kept_up = relieved;
	return true;
}

bool defer(struct shard *shard, struct packet *p)
{
	struct deferral *d;
	struct waiting *w;

	if (p->stage != STAGE_IN || !p->link || (likely(!shard->deferrals) && likely(keeps_up(shard, p->link))))
		return false;
	d = deferral_of(shard, p->link);
	if (!d)
		return false;
	w = malloc(sizeof(*w));
	if (!w || !(w->packet = packet_hold(shard, p, false))) {
		free(w);
		reply_condition(shard, p, SE_RESOURCE_CONSTRAINT);
		return true;
	}
	w->next = NULL;
	*d->end = w;
	d->end = &w->next;
	return true;
}

void defer_end(struct shard *shard, const struct outbox *link)
{
	for (struct deferral *d = shard->deferrals; d; d = d->next)
		while (d->first && d->link == link)
			work_off_first(shard, d);
}

void deferrals_free(struct shard *shard)
{
	while (shard->deferrals) {
		struct deferral *d = shard->deferrals;

		while (d->first) {
			struct waiting *w = d->first;

			d->first = w->next;
			packet_drop(&w->packet);
			free(w);
		}
		forget(shard, d);
	}
}

SHARD_THREAD_END
