/* penalty.c - logins that failed: how long the next answer waits, who is turned away, and what is forgotten.
 * Threads: one.
 * Owns: nothing between tests.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>

#include "io/link.h"
#include "shardsm/hash.h"

static struct penalties table;

static void setup(void)
{
	hash_init();
	pthread_mutex_init(&table.lock, NULL);
}

TestSuite(penalty, .init = setup);

static const struct sockaddr *address(const char *text)
{
	static struct sockaddr_storage at;
	struct sockaddr_in6 *v6 = (void *)&at;
	struct sockaddr_in *v4 = (void *)&at;

	memset(&at, 0, sizeof at);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		at.ss_family = AF_INET;
	} else {
		at.ss_family = AF_INET6;
		cr_assert_eq(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	}
	return (struct sockaddr *)&at;
}

Test(penalty, each_waits_longer_up_to_a_bound)
{
	static const uint32_t delays[] = { 200, 400, 800, 1600, 3200, 3200, 3200 };

	for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++)
		cr_expect_eq(penalty_add(&table, address("192.0.2.1"), 1000 + i), delays[i]);
	cr_expect_eq(penalty_add(&table, address("192.0.2.2"), 1010), 200, "another address");
}

Test(penalty, a_network_is_one_address_and_a_mapped_one_is_itself)
{
	penalty_add(&table, address("2001:db8::1"), 1000);
	cr_expect_eq(penalty_add(&table, address("2001:db8::ffff:2"), 1000), 400);
	cr_expect_eq(penalty_add(&table, address("2001:db8:0:1::1"), 1000), 200);
	penalty_add(&table, address("192.0.2.1"), 1000);
	cr_expect_eq(penalty_add(&table, address("::ffff:192.0.2.1"), 1000), 400);
}

Test(penalty, is_forgiven)
{
	penalty_add(&table, address("192.0.2.1"), 1000);
	cr_expect_eq(penalty_add(&table, address("192.0.2.1"), 301000), 400);
	cr_expect_eq(penalty_add(&table, address("192.0.2.1"), 301000 + 300001), 200);
}

Test(penalty, a_guesser_is_turned_away_for_a_while)
{
	cr_expect_not(penalty_turns_away(&table, address("192.0.2.1"), 1000));
	for (int i = 0; i < 7; i++)
		penalty_add(&table, address("192.0.2.1"), 1000);
	cr_expect_not(penalty_turns_away(&table, address("192.0.2.1"), 1000));
	penalty_add(&table, address("192.0.2.1"), 1000);
	cr_expect(penalty_turns_away(&table, address("192.0.2.1"), 1000));
	cr_expect_not(penalty_turns_away(&table, address("192.0.2.2"), 1000));
	cr_expect_not(penalty_turns_away(&table, address("192.0.2.1"), 1000 + 3200));
}

Test(penalty, nobody_is_turned_away_on_loopback)
{
	static const char *const local[] = { "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1" };

	for (int i = 0; i < 4 * 20; i++)
		penalty_add(&table, address(local[i % 4]), 1000);
	for (int i = 0; i < 4; i++)
		cr_expect_not(penalty_turns_away(&table, address(local[i]), 1000), "%s", local[i]);
}

Test(penalty, many_addresses_take_no_more_room)
{
	char text[32];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		cr_assert_eq(penalty_add(&table, address(text), 1000), 200);
	}
}
