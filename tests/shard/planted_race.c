/* planted_race.c - a letter that its poster still writes to after it was posted: ThreadSanitizer must report it.
 * Threads: two.
 * Owns: nothing that outlives it. In the list of tests that must fail; it runs in ThreadSanitizer builds alone.
 */
#include <pthread.h>
#include <stdlib.h>

#include "shardsm/mailbox.h"

struct note {
	struct letter letter;
	int text;
};

static struct mailbox box;

static void *reader(void *arg)
{
	struct letter *last, *l;
	int *sum = arg;

	while (!(l = mailbox_take(&box, &last)))
		mailbox_wait(&box, -1);
	*sum += ((struct note *)l)->text;
	return NULL;
}

int main(void)
{
	struct note *note = calloc(1, sizeof(*note));
	struct letter *l = &note->letter;
	pthread_t thread;
	int sum = 0;

	if (!note || !mailbox_init(&box, "reader") || pthread_create(&thread, NULL, reader, &sum) != 0)
		return 0; /* nothing was shown: an unexpected pass, which is a failure */
	l->kind = LETTER_FREE;
	mailbox_post(&box, &l);
	note->text = 1; /* not ours any more */
	pthread_join(thread, NULL);
	free(note);
	mailbox_fini(&box);
	return 0;
}
