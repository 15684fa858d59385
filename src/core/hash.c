/* hash.c - SipHash-1-3 with a key of this process, and session ids.
 * Threads: any, after hash_init().
 * Owns: the key; it never leaves the process.
 * Source: SipHash, a fast short-input PRF (Aumasson, Bernstein), with 1 compression and 3 finalisation rounds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

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
	m = (uint64_t)bytes.n << 56;
	for (uint32_t i = 0; i < n; i++)
		m |= (uint64_t)(unsigned char)p[i] << (8 * i);
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

static void print_hex(uint64_t v, int digits, char *out)
{
	for (int i = digits - 1; i >= 0; i--, v >>= 4)
		out[i] = "0123456789abcdef"[v & 15];
}

void sm_id_print(const struct sm_id *id, char out[static SM_ID_HEX])
{
	print_hex(id->tag, 8, out);
	print_hex(id->random[0], 16, out + 8);
	print_hex(id->random[1], 16, out + 24);
}

static bool parse_hex(const char *s, int digits, uint64_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < digits; i++) {
		unsigned c = (unsigned char)s[i];

		if (c - '0' <= 9)
			c -= '0';
		else if (c - 'a' <= 5)
			c -= 'a' - 10;
		else
			return false;
		v = v << 4 | c;
	}
	*out = v;
	return true;
}

bool sm_id_parse(struct sm_id *id, struct span hex)
{
	uint64_t tag;

	if (hex.n != SM_ID_HEX || !parse_hex(hex.p, 8, &tag) || !parse_hex(hex.p + 8, 16, &id->random[0]) ||
		!parse_hex(hex.p + 24, 16, &id->random[1]))
		return false;
	id->tag = (uint32_t)tag;
	return true;
}
