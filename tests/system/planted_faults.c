/* planted_faults.c - preloaded into a server that valgrind watches: a leak, and a value that nobody set. Both must be reported.
 * Threads: those of the server.
 * Owns: what it leaks.
 */
#include <dlfcn.h>
#include <mxml.h>
#include <time.h>

/* Each hundredth tree is forgotten. */
void mxmlDelete(mxml_node_t *node)
{
	static void (*real)(mxml_node_t *);
	static int count;

	if (!real)
		real = (void (*)(mxml_node_t *))dlsym(RTLD_NEXT, "mxmlDelete");
	if (__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) % 100)
		real(node);
}

/* The right time, and not all of it is known: x ^ x of an x that was never set. */
int clock_gettime(clockid_t id, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	volatile long *unset = __builtin_alloca(sizeof(*unset));
	int result;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = real(id, now);
	now->tv_nsec += *unset ^ *unset;
	return result;
}
