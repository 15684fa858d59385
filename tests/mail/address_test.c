/* address_test.c - which e-mail addresses are taken, and what is said of the others.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "shardsm/mail.h"

static void assert_good(const char *address)
{
	const char *fault = mail_address_fault(span_str(address));

	cr_assert_null(fault, "%s: %s", address, fault);
}

static void assert_bad(const char *address, const char *answer)
{
	const char *fault = mail_address_fault(span_str(address));

	cr_assert(fault && strstr(fault, answer), "%s: %s", address, fault ? fault : "taken");
}

/* An address with parts of those lengths. */
static const char *long_address(unsigned local, unsigned domain)
{
	static char out[1024];
	size_t n = 0;

	while (local--)
		out[n++] = 'a';
	out[n++] = '@';
	for (unsigned i = 0; i < domain; i++)
		out[n++] = i % 64 == 63 ? '.' : 'b';
	out[n] = '\0';
	return out;
}

Test(address, good)
{
	assert_good("johndoe@example.com");
	assert_good("J.O'Hara+x=y@mail-1.example.co");
	assert_good("-a@localhost");
	assert_good("!#$%&'*+-/=?^_`{|}~@a.b");
	assert_good("a@1.2.3");
	assert_good("a@xn--exmple-cua.com");
}

Test(address, lengths)
{
	assert_good(long_address(64, 63));
	assert_bad(long_address(65, 63), "more than 64");
	assert_good(long_address(1, 63));
	char label[80];

	snprintf(label, sizeof(label), "a@%064d", 0);
	assert_bad(label, "a domain like");
	assert_good(long_address(62, MAIL_ADDRESS_MAX - 63));
	assert_bad(long_address(63, MAIL_ADDRESS_MAX - 63), "longer than 254");
}

Test(address, parts_missing)
{
	assert_bad("", "no @");
	assert_bad("joe", "no @");
	assert_bad("@x.test", "nothing in front");
	assert_bad("joe@", "a domain like");
	assert_bad("@", "nothing in front");
	assert_bad("a@b@c", "in front of an @");
}

Test(address, dots_and_hyphens)
{
	assert_bad(".a@x.test", "single dots");
	assert_bad("a.@x.test", "single dots");
	assert_bad("a..b@x.test", "single dots");
	assert_bad("a@.x", "a domain like");
	assert_bad("a@x.", "a domain like");
	assert_bad("a@x..y", "a domain like");
	assert_bad("a@-x", "a domain like");
	assert_bad("a@x-.y", "a domain like");
	assert_bad("a@x-", "a domain like");
}

/* Every byte that means something to SMTP, to a header or to a URL is refused, wherever it stands. */
Test(address, every_byte)
{
	for (int c = 0; c < 256; c++) {
		const char local[] = { 'a', (char)c, 'b', '@', 'x', '.', 'y' }, domain[] = { 'a', '@', 'x', (char)c, 'y' };
		const char *fault = mail_address_fault(span_of(local, sizeof(local)));
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		cr_assert_eq(!fault, letter || c == '.' || (c && strchr("!#$%&'*+-/=?^_`{|}~", c)), "in front of the @: %d", c);
		fault = mail_address_fault(span_of(domain, sizeof(domain)));
		cr_assert_eq(!fault, letter || c == '.' || c == '-', "behind the @: %d", c);
	}
	assert_bad("j\xc3\xb6" "e@x.test", "not ASCII");
	assert_bad("joe@\xc3\xb6.test", "xn--");
}
