/* peer.c - letters that tell every shard of a component that came or went.
 * Threads: an acceptor's.
 * Owns: letters until they are posted. They are made when a link or name begins, so that telling of its end cannot fail.
 */
#include <stdlib.h>

#include "io/link.h"

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
