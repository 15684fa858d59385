/* crowd.c - what waits to be written to all links together: when it is too much, who has the most of it goes.
 * Threads: any acceptor.
 * Owns: nothing.
 * A link that is slow for itself has its own limit; this one is for many of them. Those that read what they are sent have next to nothing waiting,
 * whatever they are sent, and are not closed for the others.
 */
#include "io/link.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"

/* Who has the most waiting, NULL: there is nobody; and what all have. */
static struct outbox *fullest(const struct io *io, uint64_t *sum)
{
	struct audience all = { .accept = true };
	struct outbox *most = names_router_rcu(io->cfg.names);

	*sum = most ? outbox_waiting(most) : 0;
	audience_collect(&all, io->cfg.names);
	for (uint32_t i = 0; i < all.n; i++) {
		*sum += outbox_waiting(all.obs[i]);
		if (!most || outbox_waiting(all.obs[i]) > outbox_waiting(most))
			most = all.obs[i];
	}
	audience_free(&all);
	return most;
}

bool crowd_has_room(const struct io *io, uint64_t bytes)
{
	uint64_t sum;
	const struct outbox *most = fullest(io, &sum);

	return !most || outbox_waiting(most) <= bytes;
}

void crowd_thin_out(const struct io *io)
{
	uint64_t sum;
	struct outbox *most = fullest(io, &sum);

	if (sum <= io->cfg.tuning.links_bytes || !outbox_shut(most))
		return;
	log_limited(LOG_LEVEL_WARNING, "%s is closed: of what waits to be written to all links, more than limits.write-queue-bytes, it has the most",
		most->name);
	stat_inc(STAT_LIMIT_WRITE_QUEUE);
	link_ask(most, ASK_CLOSE);
}
