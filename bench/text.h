/* text.h - writing into a reserved buffer without printf: half of a load generator's time would be in it.
 * Threads: any; functions of their arguments.
 * Owns: nothing. The caller has reserved enough.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include "shardsm/span.h"

#define HEX8 8

static inline char *text_put(char *p, struct span s)
{
	memcpy(p, s.p, s.n);
	return p + s.n;
}

static inline char *text_uint(char *p, uint32_t v)
{
	char digits[10];
	unsigned n = 0;
	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static inline char *text_hex8(char *p, uint32_t v)
{
	for (int i = HEX8 - 1; i >= 0; i--, v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	return p + HEX8;
}

static inline bool text_unhex8(const char *p, uint32_t *out)
{
	uint32_t v = 0;
	for (int i = 0; i < HEX8; i++) {
		unsigned c = (unsigned char)p[i], d = c - '0' < 10 ? c - '0' : c - 'a' < 6 ? c - 'a' + 10 : 16;
		if (d > 15)
			return false;
		v = v << 4 | d;
	}
	*out = v;
	return true;
}

#endif
