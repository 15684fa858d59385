/* room_threads.c - senders that wait for room at one mailbox: every one that waits is told, and what waits stays below its bound.
 * Threads: SENDERS senders, main takes. A plain main(), so that ThreadSanitizer can watch it.
 * Owns: everything until the end of main.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../check_or_exit.h"
#include "shardsm/packet.h"
#include "shardsm/room.h"

#define SENDERS 3
#define BATCHES 40000
#define BYTES 1000
#define MOST 3000
#define SECONDS 120 /* a letter that never comes ends the test */

static struct mailbox box, own[SENDERS];
static unsigned long waits[SENDERS];

static void wait_for_room(struct mailbox *mb, struct room_letter *room)
{
	struct letter *last, *l;

	room->to = mb;
	mailbox_ask_room(&box, room, MOST / 2);
	/* Once more while the letter is away: it is told once all the same. */
	mailbox_ask_room(&box, NULL, MOST);
	while (!(l = mailbox_take(mb, &last)))
		mailbox_wait(mb, -1);
	CHECK(l == &room->letter && l == last && l->kind == LETTER_ROOM);
}

static void *sender(void *arg)
{
	struct mailbox *mb = arg;
	struct room_letter room;

	for (int i = 0; i < BATCHES; i++) {
		struct batch *b = malloc(sizeof *b);
		struct letter *l = &b->letter;

		while (mailbox_load(&box) > MOST) {
			wait_for_room(mb, &room);
			waits[mb - own]++;
		}
		*b = (struct batch){ .letter.kind = LETTER_BATCH, .to = &box, .used = BYTES };
		mailbox_came(&box, BYTES);
		mailbox_post(&box, &l);
	}
	return NULL;
}

/* Alone, one who is not told waits for ever; with others their batches would tell it. */
static void run(int senders)
{
	pthread_t threads[SENDERS];
	unsigned long taken = 0;

	for (int i = 0; i < senders; i++) {
		waits[i] = 0;
		CHECK(pthread_create(&threads[i], NULL, sender, &own[i]) == 0);
	}
	while (taken < (unsigned long)senders * BATCHES) {
		struct letter *last, *l, *next;

		mailbox_wait(&box, -1);
		for (l = mailbox_take(&box, &last); l; l = next, taken++) {
			struct batch *b = (struct batch *)l;

			next = mailbox_next(l, last);
			CHECK(mailbox_load(&box) <= MOST + SENDERS * BYTES);
			batch_free(&b);
		}
	}
	for (int i = 0; i < senders; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
		CHECK(waits[i] > 0);
	}
	CHECK(mailbox_load(&box) == 0 && !mailboxes_full());
}

/* Who asks looks again: what it waits for may just have happened. */
static void told_at_once(void)
{
	struct room_letter room;

	mailbox_came(&box, MOST);
	mailbox_went(&box, MOST);
	wait_for_room(&own[0], &room);
}

int main(void)
{
	alarm(SECONDS);
	CHECK(mailbox_init(&box, "box"));
	for (int i = 0; i < SENDERS; i++)
		CHECK(mailbox_init(&own[i], "sender"));
	told_at_once();
	run(1);
	run(SENDERS);
	for (int i = 0; i < SENDERS; i++)
		mailbox_fini(&own[i]);
	mailbox_fini(&box);
	return 0;
}
