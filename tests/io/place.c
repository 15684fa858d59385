/* place.c - which acceptor a new link goes to.
 * Threads: one.
 * Owns: nothing between tests.
 */
#include <criterion/criterion.h>

#include "io/link.h"

static struct acceptor acceptors[3];
static struct io io = { .cfg.acceptors = 3, .acceptors = acceptors };

static long place(void)
{
	return io_place(&io) - acceptors;
}

Test(place, the_one_with_fewest_links)
{
	acceptors[0].nlinks = 1; /* the router's */
	cr_expect_eq(place(), 1);
	cr_expect_eq(place(), 2);
	acceptors[1].nlinks = 0;
	cr_expect_eq(place(), 1);
	acceptors[1].busy = 1000000;
	acceptors[0].nlinks = acceptors[2].nlinks = 2;
	cr_expect_eq(place(), 1, "however much it reads");
}

Test(place, of_several_the_one_that_reads_least)
{
	acceptors[0].busy = 3000;
	acceptors[1].busy = 1000;
	acceptors[2].busy = 2000;
	cr_expect_eq(place(), 1);
	cr_expect_eq(place(), 2);
	cr_expect_eq(place(), 0);
}
