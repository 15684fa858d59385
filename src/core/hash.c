/* hash.c - SipHash-1-3 with a key of this process, and session ids.
 * Threads: any, after hash_init().
 * Owns: the key; it never leaves the process.
 * Source: SipHash, a fast short-input PRF (Aumasson, Bernstein), with 1 compression and 3 finalisation rounds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "shardsm/hash.h"

static uint64_t key[2];

bool hash_random(void *out, size_t n)
{
	char *at = out;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

void hash_init(void)
{
	if (!hash_random(key, sizeof(key))) {
		fprintf(stderr, "shardsm: the kernel gives no random bytes (getrandom: %s)\n", strerror(errno));
		exit(1);
	}
}

static inline uint64_t rotl(uint64_t x, int b) { return (x << b) | (x >> (64 - b)); }

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
	v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
	v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
	v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

/* The n < 8 bytes at the end of a text of size bytes, the first one lowest. */
static inline uint64_t last_bytes(const char *p, uint32_t n, uint32_t size)
{
	uint64_t m = 0;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	if (n && size >= 8) {
		memcpy(&m, p + n - 8, 8);
		return m >> (64 - 8 * n);
	}
#endif
	(void)size;
	for (uint32_t i = 0; i < n; i++)
		m |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return m;
}

uint64_t hash_bytes(struct span bytes)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
		key[1] ^ 0x7465646279746573u };
	const char *p = bytes.p;
	uint32_t n = bytes.n;
	uint64_t m;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = (uint64_t)bytes.n << 56 | last_bytes(p, n, bytes.n);
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

bool hash_equal_secret(struct span a, struct span b)
{
	unsigned char difference = 0;

	if (a.n != b.n)
		return false;
	for (uint32_t i = 0; i < a.n; i++)
		difference |= (unsigned char)(a.p[i] ^ b.p[i]);
	return difference == 0;
}

bool sm_id_new(struct sm_id *id, uint32_t tag)
{
	id->tag = tag;
	return hash_random(id->random, sizeof(id->random));
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* Eight digits as the text that they are: one in each byte of a word, the first in the highest. */
static inline uint64_t digits_text(uint64_t digits)
{
	return digits + EACH('0') + ((digits + EACH(6)) >> 4 & EACH(1)) * ('a' - '0' - 10);
}

static inline void print_hex8(uint32_t v, char *out)
{
	uint64_t x = v;

	x = (x | x << 16) & 0x0000ffff0000ffffu;
	x = (x | x << 8) & 0x00ff00ff00ff00ffu;
	x = digits_text((x | x << 4) & EACH(0x0f));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	memcpy(out, &x, 8);
}

#ifdef __SSE2__
static inline __m128i print_digits(__m128i digits)
{
	__m128i letters = _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));

	return _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters);
}

static inline void print_random(const uint64_t random[2], char *out)
{
	__m128i bytes = _mm_set_epi64x((long long)__builtin_bswap64(random[1]), (long long)__builtin_bswap64(random[0]));
	__m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15)), low = _mm_and_si128(bytes, _mm_set1_epi8(15));

	_mm_storeu_si128((__m128i *)(void *)out, print_digits(_mm_unpacklo_epi8(high, low)));
	_mm_storeu_si128((__m128i *)(void *)(out + 16), print_digits(_mm_unpackhi_epi8(high, low)));
}
#else
static inline void print_random(const uint64_t random[2], char *out)
{
	for (int i = 0; i < 2; i++) {
		print_hex8((uint32_t)(random[i] >> 32), out + 16 * i);
		print_hex8((uint32_t)random[i], out + 16 * i + 8);
	}
}
#endif

void sm_id_print(const struct sm_id *id, char out[static SM_ID_HEX])
{
	print_hex8(id->tag, out);
	print_random(id->random, out + 8);
}

/* Eight lower-case hex digits at once, a digit in each byte of a word. What they stand for is written out again and compared, so that
 * whatever is no such digit is seen without a branch for each. */
static bool parse_hex8(const char *s, uint32_t *out)
{
	uint64_t text, digits, x;

	memcpy(&text, s, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	text = __builtin_bswap64(text);
#endif
	digits = text - EACH('0') - (text >> 6 & EACH(1)) * ('a' - '0' - 10);
	if ((digits & EACH(0xf0)) || digits_text(digits) != text)
		return false;
	x = (digits | digits >> 4) & 0x00ff00ff00ff00ffu;
	x = (x | x >> 8) & 0x0000ffff0000ffffu;
	*out = (uint32_t)(x | x >> 16);
	return true;
}

bool sm_id_tag(struct span hex, uint32_t *tag)
{
	return hex.n == SM_ID_HEX && parse_hex8(hex.p, tag);
}

bool sm_id_parse(struct sm_id *id, struct span hex)
{
	uint32_t part[4];

	if (hex.n != SM_ID_HEX || !parse_hex8(hex.p, &id->tag))
		return false;
	for (int i = 0; i < 4; i++)
		if (!parse_hex8(hex.p + 8 + 8 * i, &part[i]))
			return false;
	id->random[0] = (uint64_t)part[0] << 32 | part[1];
	id->random[1] = (uint64_t)part[2] << 32 | part[3];
	return true;
}
