/* hash_test.c - keyed hashing and session ids.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shardsm/hash.h"

Test(ids, what_is_printed_is_read)
{
	char hex[SM_ID_HEX];
	struct sm_id id, back;
	uint32_t tag;

	hash_init();
	for (int i = 0; i < 10000; i++) {
		cr_assert(sm_id_new(&id, (uint32_t)i * 2654435761u));
		sm_id_print(&id, hex);
		cr_assert(sm_id_parse(&back, span_of(hex, sizeof(hex))));
		cr_assert(sm_id_same(&id, &back));
		cr_assert(sm_id_tag(span_of(hex, sizeof(hex)), &tag) && tag == id.tag);
	}
}

Test(ids, digits_stand_for_what_they_are)
{
	struct sm_id id;

	cr_assert(sm_id_parse(&id, SPAN("0123456789abcdef0123456789abcdeffedcba98")));
	cr_assert_eq(id.tag, 0x01234567);
	cr_assert_eq(id.random[0], 0x89abcdef01234567u);
	cr_assert_eq(id.random[1], 0x89abcdeffedcba98u);
}

/* Every byte that is no lower-case hex digit, at every place. */
Test(ids, nothing_else_is_an_id)
{
	static const char digits[] = "0123456789abcdef";
	char hex[SM_ID_HEX];
	struct sm_id id;

	for (int at = 0; at < SM_ID_HEX; at++)
		for (int c = 0; c < 256; c++) {
			memset(hex, at % 2 ? '0' : 'f', sizeof(hex));
			hex[at] = (char)c;
			bool digit = c && strchr(digits, c);

			cr_assert_eq(sm_id_parse(&id, span_of(hex, sizeof(hex))), digit, "byte %d at %d", c, at);
		}
	cr_assert_not(sm_id_parse(&id, span_of(hex, SM_ID_HEX - 1)));
	cr_assert_not(sm_id_parse(&id, (struct span){ 0 }));
}

Test(ids, two_are_never_alike)
{
	struct sm_id a, b;

	cr_assert(sm_id_new(&a, 7) && sm_id_new(&b, 7));
	cr_assert_not(sm_id_same(&a, &b));
	b = a;
	cr_assert(sm_id_same(&a, &b));
	b.random[1] ^= 1;
	cr_assert_not(sm_id_same(&a, &b));
}

Test(hashing, differs_by_every_byte_and_by_length)
{
	char text[40] = { 0 };
	uint64_t first;

	hash_init();
	first = hash_bytes(span_of(text, sizeof(text)));
	cr_assert_eq(first, hash_bytes(span_of(text, sizeof(text))));
	for (size_t i = 0; i < sizeof(text); i++) {
		text[i] = 1;
		cr_expect_neq(first, hash_bytes(span_of(text, sizeof(text))), "byte %zu", i);
		text[i] = 0;
		cr_expect_neq(first, hash_bytes(span_of(text, i)), "length %zu", i);
	}
}

Test(hashing, users_spread_over_shards)
{
	unsigned users[7] = { 0 };
	char jid[32];

	hash_init();
	for (int i = 0; i < 70000; i++) {
		int n = snprintf(jid, sizeof(jid), "user%d@example.org", i);

		users[shard_of(span_of(jid, (size_t)n), 7)]++;
	}
	for (int i = 0; i < 7; i++)
		cr_expect(users[i] > 9500 && users[i] < 10500, "shard %d has %u of 10000", i, users[i]);
}

Test(secrets, equal_only_when_equal)
{
	cr_assert(hash_equal_secret(SPAN("secret"), SPAN("secret")));
	cr_assert_not(hash_equal_secret(SPAN("secret"), SPAN("secreT")));
	cr_assert_not(hash_equal_secret(SPAN("secret"), SPAN("secre")));
}

/* A table that peers fill: what is in one place of it is up to the key alone, and seldom much. */
Test(hashing, names_that_are_alike_spread_over_a_table)
{
	enum { NAMES = 20000, PLACES = 32768, MOST = 16 };
	static uint8_t in[PLACES], before[PLACES];
	char name[32];
	int moved = 0;

	for (int round = 0; round < 2; round++) {
		hash_init();
		memcpy(before, in, sizeof(in));
		memset(in, 0, sizeof(in));
		for (int i = 0; i < NAMES; i++) {
			int n = snprintf(name, sizeof(name), "u%d@example.com", i);
			uint64_t place = hash_bytes(span_of(name, (uint32_t)n)) % PLACES;

			cr_assert_lt(++in[place], MOST, "%d in one place", in[place]);
		}
	}
	for (int i = 0; i < PLACES; i++)
		moved += in[i] != before[i];
	cr_assert_gt(moved, PLACES / 4, "another key, and only %d places differ", moved);
}
