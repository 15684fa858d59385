/* standstill.c - two barriers: all are here, all go on.
 * Threads: see the header.
 * Owns: the letters, one for each thread, used again each time: a thread has let go of its own before it goes on.
 */
#include "shardsm/standstill.h"

#include <pthread.h>
#include <stdlib.h>

#include "shardsm/heart.h"

struct halt {
	struct letter letter;
	struct standstill *standstill;
	struct mailbox *box;
};

struct standstill {
	pthread_barrier_t here, on;
	uint32_t n;
	struct halt halts[];
};

struct standstill *standstill_new(struct mailbox *const *boxes, uint32_t n)
{
	struct standstill *s = calloc(1, sizeof(*s) + n * sizeof(s->halts[0]));

	if (!s)
		return NULL;
	pthread_barrier_init(&s->here, NULL, n + 1);
	pthread_barrier_init(&s->on, NULL, n + 1);
	s->n = n;
	for (uint32_t i = 0; i < n; i++)
		s->halts[i] = (struct halt){ .letter.kind = LETTER_HALT, .standstill = s, .box = boxes[i] };
	return s;
}

void standstill_free(struct standstill **sp)
{
	struct standstill *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	pthread_barrier_destroy(&s->here);
	pthread_barrier_destroy(&s->on);
	free(s);
}

void standstill_begin(struct standstill *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct letter *l = &s->halts[i].letter;

		mailbox_post(s->halts[i].box, &l);
	}
	pthread_barrier_wait(&s->here);
}

void standstill_end(struct standstill *s)
{
	pthread_barrier_wait(&s->on);
}

void standstill_here(struct letter *letter)
{
	struct standstill *s = ((struct halt *)letter)->standstill;

	heart_rest();
	pthread_barrier_wait(&s->here);
	pthread_barrier_wait(&s->on);
	heart_wake();
}
