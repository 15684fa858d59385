/* span.h - a borrowed run of bytes, and the vocabulary of ownership.
 * Threads: any; a value.
 * Owns: nothing. A span lives as long as the bytes that it points into.
 */
#ifndef SHARDSM_SPAN_H
#define SHARDSM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define COLD __attribute__((cold, noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

struct span {
	const char *p; /* not NUL-terminated; NULL only when n is 0 */
	uint32_t n;    /* bytes */
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
#define SPAN_FMT "%.*s"
#define SPAN_ARG(s) (int)(s).n, (s).p

static inline struct span span_of(const char *p, size_t n)
{
	return (struct span){ p, (uint32_t)n };
}

/* s may be NULL: the empty span. */
static inline struct span span_str(const char *s)
{
	return s ? span_of(s, strlen(s)) : (struct span){ NULL, 0 };
}

static inline bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* By bytes; of two that begin alike the shorter one is first. Below 0, 0 or above. */
static inline int span_compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static inline bool span_is(struct span a, const char *literal)
{
	return span_eq(a, span_str(literal));
}

#endif
