/* peer.c - who is to hear of a component that came or went: letters for every shard, and the list of the other components.
 * Threads: an acceptor's.
 * Owns: letters until they are posted. They are made when a link or name begins, so that telling of its end cannot fail.
 */
#include <stdlib.h>

#include "io/link.h"
#include "shardsm/log.h"

struct peer_gone **peer_letters_new(const struct io *io, struct span name)
{
	struct peer_gone **letters = calloc(io->cfg.nshards, sizeof(struct peer_gone *));

	for (uint32_t i = 0; letters && i < io->cfg.nshards; i++) {
		letters[i] = calloc(1, sizeof **letters + name.n);
		if (!letters[i]) {
			peer_letters_free(io, &letters);
			return NULL;
		}
		letters[i]->name_len = name.n;
		if (name.n)
			memcpy(letters[i]->name, name.p, name.n);
	}
	return letters;
}

static void audience_add(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	struct audience *audience = arg;

	(void)name;
	(void)flags;
	if (ob == audience->but || (ob->accept && !audience->accept))
		return;
	for (uint32_t i = 0; i < audience->n; i++) {
		if (audience->obs[i] == ob)
			return;
	}
	if (audience->n == audience->cap) {
		uint32_t cap = audience->cap ? 2 * audience->cap : 16;
		struct outbox **obs = realloc(audience->obs, cap * sizeof(struct outbox *));

		if (!obs) {
			log_limited(LOG_LEVEL_ERROR, "%s: was not told of a component (out of memory)", ob->name);
			return;
		}
		audience->obs = obs;
		audience->cap = cap;
	}
	audience->obs[audience->n++] = ob;
}

void audience_collect(struct audience *audience, const struct names *names)
{
	names_each_rcu(names, audience_add, audience);
}

void audience_free(struct audience *audience)
{
	free(audience->obs);
}

void peer_letters_free(const struct io *io, struct peer_gone ***lettersp)
{
	struct peer_gone **letters = *lettersp;

	*lettersp = NULL;
	for (uint32_t i = 0; letters && i < io->cfg.nshards; i++)
		free(letters[i]);
	free(letters);
}

void peer_letters_aim(const struct io *io, struct peer_gone **letters, enum letter_kind kind, struct link *link)
{
	for (uint32_t i = 0; i < io->cfg.nshards; i++) {
		letters[i]->letter.kind = kind;
		letters[i]->link = &link->ob;
		outbox_ref(&link->ob);
	}
}
