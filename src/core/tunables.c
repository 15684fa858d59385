/* tunables.c - a change of options: what was read waits in copies, and changes places with what is in force.
 * Threads: main's.
 * Owns: the copies.
 */
#include "shardsm/tunables.h"

#include <stdlib.h>

struct aside {
	struct aside *next;
	struct tunables of;
	void *bytes;
};

struct change {
	struct aside *first, **end;
};

struct change *change_new(void)
{
	struct change *change = malloc(sizeof(*change));

	if (change)
		*change = (struct change){ .end = &change->first };
	return change;
}

bool change_read(struct change *change, const struct tunables *t, struct config *config)
{
	struct aside *a;

	if (!t->read)
		return true;
	a = malloc(sizeof(*a));
	if (!a)
		return false;
	*a = (struct aside){ .of = *t, .bytes = calloc(1, t->size ? t->size : 1) };
	if (!a->bytes) {
		free(a);
		return false;
	}
	*change->end = a;
	change->end = &a->next;
	return t->read(config, a->bytes);
}

static void swap(char *x, char *y, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = x[i];

		x[i] = y[i];
		y[i] = c;
	}
}

void change_apply(struct change *change)
{
	for (struct aside *a = change->first; a; a = a->next)
		swap(a->of.live, a->bytes, a->of.size);
}

void change_free(struct change **changep)
{
	struct change *change = *changep;

	*changep = NULL;
	while (change && change->first) {
		struct aside *a = change->first;

		change->first = a->next;
		if (a->of.drop)
			a->of.drop(a->bytes);
		free(a->bytes);
		free(a);
	}
	free(change);
}
