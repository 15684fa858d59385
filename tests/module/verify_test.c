/* verify_test.c - how often a user may ask for a mail, and guess.
 * Threads: one.
 * Owns: nothing. Every test is a process, with a table of its own.
 */
#include <criterion/criterion.h>

#include "module/verify.h"

#define MOST 3u

Test(verify, mails_are_counted_for_each)
{
	for (unsigned i = 0; i < MOST; i++) {
		cr_assert_eq(verify_wait_mail(7, MOST), 0);
		verify_count_mail(7);
	}
	unsigned wait = verify_wait_mail(7, MOST);

	cr_assert(wait > 58 && wait <= 60, "%u minutes", wait);
	cr_assert_eq(verify_wait_mail(7, MOST + 1), 0, "the limit is the caller's");
	cr_assert_eq(verify_wait_mail(8, MOST), 0, "somebody else's");
}

Test(verify, a_mail_allows_guesses_again)
{
	for (unsigned left = VERIFY_GUESSES; left > 0; left--) {
		cr_assert_eq(verify_guesses_left(9), left);
		cr_assert(verify_may_guess(9));
	}
	cr_assert_not(verify_may_guess(9));
	cr_assert_not(verify_may_guess(9), "a refused guess is none");
	cr_assert_eq(verify_guesses_left(9), 0);
	cr_assert(verify_may_guess(10), "somebody else's");
	verify_count_mail(9);
	cr_assert_eq(verify_guesses_left(9), VERIFY_GUESSES);
	cr_assert(verify_may_guess(9));
}

/* Whoever fills the table has nobody forgotten: who is in it is still counted, who is not is refused. */
Test(verify, a_full_table_refuses)
{
	const uint64_t same = 8192; /* apart by this, they share a place */

	for (uint64_t who = 1; who <= 8; who++)
		verify_count_mail(5 + who * same);
	cr_assert_eq(verify_wait_mail(5 + 9 * same, MOST), 60);
	cr_assert_not(verify_may_guess(5 + 9 * same));
	cr_assert_eq(verify_guesses_left(5 + 9 * same), 0);
	verify_count_mail(5 + 9 * same);
	cr_assert_eq(verify_wait_mail(5 + same, MOST), 0);
	verify_count_mail(5 + same);
	verify_count_mail(5 + same);
	cr_assert_neq(verify_wait_mail(5 + same, MOST), 0);
}
