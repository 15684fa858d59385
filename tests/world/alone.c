/* alone.c - chance and grace periods of a process with one thread.
 * Threads: one.
 * Owns: see alone.h.
 */
#include "alone.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "scarce.h"
#include "shardsm/rcu.h"

void broken(const char *fmt, ...)
{
	va_list ap;

	scarce_pause++;
	va_start(ap, fmt);
	fputs("broken: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputs("\n", stderr);
	va_end(ap);
	abort();
}

/* --- grace periods: there is one thread, so one is over whenever nothing is being done ------------------------------------------------- */

static struct { struct rcu_head *head; void (*fn)(struct rcu_head *); } later[4096];
static unsigned nlater;

void __wrap_urcu_qsbr_call_rcu(struct rcu_head *head, void (*fn)(struct rcu_head *head));
void __wrap_urcu_qsbr_call_rcu(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	if (nlater == 4096)
		broken("too much is to be freed");
	later[nlater].head = head;
	later[nlater++].fn = fn;
}

void alone_grace(void)
{
	while (nlater) {
		nlater--;
		later[nlater].fn(later[nlater].head);
	}
}

/* --- chance ---------------------------------------------------------------------------------------------------------------------- */

static uint64_t chance;

void alone_chance(uint64_t seed)
{
	chance = seed;
}

ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t n, unsigned flags)
{
	unsigned char *at = out;

	(void)flags;
	for (size_t i = 0; i < n; i++) {
		chance = chance * 6364136223846793005u + 1442695040888963407u;
		at[i] = (unsigned char)(chance >> 56);
	}
	return (ssize_t)n;
}
