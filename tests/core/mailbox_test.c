/* mailbox_test.c - who is woken by what is posted, and that letters posted together stay in order.
 * Threads: one, which is poster and owner in turn.
 * Owns: the mailbox of a test.
 */
#include <criterion/criterion.h>
#include <poll.h>

#include "shardsm/mailbox.h"

static struct mailbox box;

static void setup(void)
{
	cr_assert(mailbox_init(&box, "box"));
}

static void teardown(void)
{
	mailbox_fini(&box);
}

TestSuite(mailbox, .init = setup, .fini = teardown, .timeout = 60);

static bool woken(void)
{
	return poll(&(struct pollfd){ .fd = box.fd, .events = POLLIN }, 1, 0) == 1;
}

static void post(struct letter *l, bool quietly)
{
	if (quietly)
		mailbox_post_quiet(&box, &l);
	else
		mailbox_post(&box, &l);
	cr_assert_null(l);
}

static void assert_holds(struct letter *letters, unsigned n)
{
	struct letter *last, *l = mailbox_take(&box, &last);

	for (unsigned i = 0; i < n; i++, l = mailbox_next(l, last))
		cr_assert_eq(l, &letters[i], "letter %u", i);
	cr_assert_null(l);
}

Test(mailbox, whoever_sleeps_is_woken_by_all)
{
	struct letter l[2];

	for (unsigned quietly = 0; quietly < 2; quietly++) {
		cr_assert(mailbox_may_sleep(&box));
		cr_assert(!woken());
		post(&l[0], quietly);
		cr_assert(woken());
		mailbox_woken(&box);
		post(&l[1], quietly); /* nobody sleeps any more */
		cr_assert(!woken());
		assert_holds(l, 2);
	}
}

Test(mailbox, whoever_dozes_is_not_woken_by_what_is_quiet)
{
	struct letter l[3];

	atomic_store(&box.sleeping, MAILBOX_DOZES);
	post(&l[0], true);
	post(&l[1], true);
	cr_assert(!woken());
	cr_assert_eq(atomic_load(&box.sleeping), MAILBOX_DOZES);
	post(&l[2], false);
	cr_assert(woken());
	assert_holds(l, 3);
}

Test(mailbox, nobody_sleeps_over_letters)
{
	struct letter l[1];

	post(&l[0], true);
	mailbox_doze(&box, -1);
	mailbox_wait(&box, -1);
	cr_assert(!mailbox_may_sleep(&box));
	assert_holds(l, 1);
}

Test(mailbox, a_chain_is_posted_at_once)
{
	struct letter l[4], *at = &l[0];
	struct letter_chain chain;

	letter_chain_init(&chain);
	mailbox_post_chain(&box, &chain);
	cr_assert(mailbox_may_sleep(&box), "an empty chain is nothing");
	post(at, true);
	mailbox_woken(&box);
	for (unsigned i = 1; i < 4; i++) {
		at = &l[i];
		letter_chain_add(&chain, &at);
		cr_assert_null(at);
	}
	atomic_store(&box.sleeping, MAILBOX_SLEEPS);
	mailbox_post_chain(&box, &chain);
	cr_assert(woken());
	assert_holds(l, 4);
	mailbox_post_chain(&box, &chain);
	assert_holds(l, 0);
}
