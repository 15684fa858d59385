/* scarce.c - malloc and its kin for a program of its own: they fail when scarce_begin() says so, in every library of the process.
 * Threads: any; each has its own count.
 * Owns: nothing: the C library's allocator, or a sanitizer's, does the work.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "scarce.h"

_Thread_local int scarce_pause = 1;
static _Thread_local uint64_t left, behind;
static _Thread_local bool reached;

void scarce_begin(uint64_t n, uint64_t more)
{
	left = n;
	behind = more;
	reached = false;
	scarce_pause = 0;
}

bool scarce_end(void)
{
	scarce_pause = 1;
	left = 0;
	return reached;
}

static bool refused(void)
{
	if (scarce_pause || !left)
		return false;
	if (left > 1) {
		left--;
		return false;
	}
	reached = true;
	if (behind)
		behind--;
	else
		left = 0;
	errno = ENOMEM;
	return true;
}

/* A sanitizer's own allocator where there is one, else the C library's. */
#define REAL(type, name, ...) \
	type __interceptor_##name(__VA_ARGS__) __attribute__((weak)); \
	type __libc_##name(__VA_ARGS__)
#define CALL(name, ...) (__interceptor_##name ? __interceptor_##name(__VA_ARGS__) : __libc_##name(__VA_ARGS__))

REAL(void *, malloc, size_t n);
REAL(void *, calloc, size_t n, size_t size);
REAL(void *, realloc, void *p, size_t n);
REAL(void, free, void *p);
REAL(void *, memalign, size_t align, size_t n);

void *malloc(size_t n) { return refused() ? NULL : CALL(malloc, n); }
void *calloc(size_t n, size_t size) { return refused() ? NULL : CALL(calloc, n, size); }
void *realloc(void *p, size_t n) { return n && refused() ? NULL : CALL(realloc, p, n); }
void free(void *p) { CALL(free, p); }
void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n) { return refused() ? NULL : CALL(memalign, align, n); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n)
{
	void *got = memalign(align, n);

	if (!got)
		return ENOMEM;
	*p = got;
	return 0;
}
