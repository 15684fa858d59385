/* jid_test.c - JIDs are split, prepared and refused as RFC 6122 says.
 * Threads: one.
 * Owns: nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <stringprep.h>

#include "shardsm/jid.h"

static char buf[JID_MAX + 1];

/* Text that ends where its bytes end, so that a sanitizer sees a read too far. */
static bool prep(struct jid *j, struct span text)
{
	static char *exact;

	free(exact);
	exact = malloc(text.n ? text.n : 1);
	cr_assert_not_null(exact);
	memcpy(exact, text.p, text.n);
	return jid_prep(j, span_of(exact, text.n), buf);
}

static void becomes(const char *text, const char *node, const char *domain, const char *resource)
{
	struct jid j;

	cr_assert(prep(&j, span_str(text)), "%s", text);
	cr_expect(span_is(jid_node(&j), node), "%s: node %.*s", text, SPAN_ARG(jid_node(&j)));
	cr_expect(span_is(jid_domain(&j), domain), "%s: domain %.*s", text, SPAN_ARG(jid_domain(&j)));
	cr_expect(span_is(jid_resource(&j), resource), "%s: resource %.*s", text, SPAN_ARG(jid_resource(&j)));
	/* What is prepared stays as it is. */
	char again[JID_MAX + 1], first[JID_MAX + 1];
	struct span full = jid_full(&j);
	memcpy(first, full.p, full.n);
	struct jid k;
	cr_assert(jid_prep(&k, span_of(first, full.n), again), "%s", text);
	cr_expect(jid_same(&j, &k), "%s", text);
	cr_assert(jid_split(&k, span_of(first, full.n)));
	cr_expect(jid_same(&j, &k) && k.node_len == j.node_len && k.bare_len == j.bare_len, "%s", text);
}

Test(jid, parts)
{
	becomes("localhost", "", "localhost", "");
	becomes("bob@localhost", "bob", "localhost", "");
	becomes("bob@localhost/b", "bob", "localhost", "b");
	becomes("localhost/b", "", "localhost", "b");
	becomes("bob@localhost/a/b@c", "bob", "localhost", "a/b@c");
	becomes("localhost/a@b", "", "localhost", "a@b");
	becomes("bob@[::1]", "bob", "[::1]", "");
}

Test(jid, prepared)
{
	becomes("BOB@LocalHost/Home PC", "bob", "localhost", "Home PC");
	becomes("bob@localhost.", "bob", "localhost", "");
	becomes("bob@localhost./x", "bob", "localhost", "x");
	becomes("J\xc3\xbcrgen@b\xc3\xbc" "cher.example/\xe2\x85\xa3", "j\xc3\xbcrgen", "b\xc3\xbc" "cher.example", "IV");
	becomes("stra\xc3\x9f" "e@x", "strasse", "x", "");
	becomes("a\xc2\xad" "b@x", "ab", "x", "");
}

Test(jid, plain_text_is_borrowed)
{
	static const char text[] = "bob@localhost/b";
	struct jid j;

	cr_assert(jid_prep(&j, SPAN(text), buf));
	cr_expect_eq(j.s, text);
	struct jid bare = jid_to_bare(&j);
	cr_expect(span_is(jid_full(&bare), "bob@localhost"));
	cr_expect_not(jid_has_resource(&bare));
	cr_expect(jid_same_bare(&bare, &j));
	cr_expect_not(jid_same(&bare, &j));
}

Test(jid, refused)
{
	static const struct span bad[] = {
		SPAN(""), SPAN("@localhost"), SPAN("bob@"), SPAN("bob@/x"), SPAN("/x"), SPAN("localhost/"), SPAN("bob@localhost/"), SPAN("@@@"), SPAN("@"), SPAN("/"),
		SPAN("a@b@c"), SPAN("b ob@localhost"), SPAN("b:ob@localhost"), SPAN("b\"ob@localhost"), SPAN("b'ob@localhost"), SPAN("b&ob@localhost"),
		SPAN("<b>@localhost"), SPAN("bob@local host"), SPAN("bob@local\nhost"), SPAN("bob@local\x7fhost"), SPAN("."), SPAN("a.."), SPAN("bob@."),
		SPAN("bob@localhost/a\tb"), SPAN("bob@localhost/\x7f"), SPAN("b\0b@localhost"), SPAN("bob@localhost/\0"),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct jid j;
		cr_expect_not(prep(&j, bad[i]), "%.*s", SPAN_ARG(bad[i]));
	}
}

/* libidn reads past the end of text that is not UTF-8. */
Test(jid, ill_formed_utf8_is_refused)
{
	static const struct span bad[] = { SPAN("bob@localhost/\xc3"), SPAN("bob@localhost/\xf0\x9f\x98"), SPAN("\xff@localhost"), SPAN("bob@\xed\xa0\x80"),
		SPAN("bob@localhost/\xc0\x80"), SPAN("bob@localhost/\xe2\x82") };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct jid j;
		cr_expect_not(prep(&j, bad[i]), "%zu", i);
	}
}

/* A part that turns into something that splits elsewhere, or into nothing. */
Test(jid, what_stringprep_makes_is_looked_at)
{
	static const struct span bad[] = { SPAN("bob@a\xef\xbc\x8f" "b"), SPAN("a\xef\xbc\xa0" "b"), SPAN("bob\xef\xbc\xa0x@y"), SPAN("\xc2\xad@localhost"),
		SPAN("bob@\xc2\xad"), SPAN("bob@localhost/\xc2\xad"), SPAN("bob@a\xef\xbc\x8e\xef\xbc\x8e") };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct jid j;
		cr_expect_not(prep(&j, bad[i]), "%zu", i);
	}
}

Test(jid, sizes)
{
	char text[3 * JID_PART_MAX + 10];
	struct jid j;

	memset(text, 'a', sizeof(text));
	text[JID_PART_MAX] = '@';
	text[2 * JID_PART_MAX + 1] = '/';
	cr_assert(prep(&j, span_of(text, JID_MAX)));
	cr_expect_eq(jid_resource(&j).n, JID_PART_MAX);
	cr_expect_not(prep(&j, span_of(text, JID_MAX + 1)), "a resource of 1024 bytes");
	text[JID_PART_MAX] = 'a';
	text[JID_PART_MAX + 1] = '@';
	cr_expect_not(prep(&j, span_of(text, JID_PART_MAX + 10)), "a node of 1024 bytes");
	memset(text, 'a', sizeof(text));
	cr_expect_not(prep(&j, span_of(text, JID_PART_MAX + 1)), "a domain of 1024 bytes");
	cr_expect_not(jid_split(&j, span_of(text, JID_PART_MAX + 1)));
	/* U+1E9E is three bytes and prepares to two of one: and the other way round, a part that grows past the end. */
	text[0] = 'x', text[1] = '/';
	for (int i = 0; i < 340; i++)
		memcpy(text + 2 + 3 * i, "\xef\xb7\xba", 3);
	cr_expect_not(prep(&j, span_of(text, 2 + 3 * 340)), "a resource that grows to many times its size");
}

/* One part through libidn alone. */
static bool by_libidn(char out[64 + 1], struct span part, const Stringprep_profile *profile)
{
	memcpy(out, part.p, part.n);
	out[part.n] = '\0';
	return part.n && stringprep(out, 65, 0, profile) == STRINGPREP_OK && *out;
}

/* Quick ways round libidn say what libidn says. No character here is one that libidn lets pass in a domain and we do not. */
Test(jid, plain_ones_are_what_libidn_makes_of_them)
{
	static const char alphabet[] = "abcxyz0189._-_.azAZ@/azmbcd";
	unsigned good = 0;

	srandom(1);
	for (int i = 0; i < 200000; i++) {
		char text[70], node[65], domain[65], resource[65], whole[200];
		uint32_t n = 1 + (uint32_t)random() % 64;
		struct jid j;

		for (uint32_t k = 0; k < n; k++)
			text[k] = alphabet[(uint32_t)random() % (n > 40 ? 5 : sizeof(alphabet) - 1)];
		if (n > 4 && random() % 4) {
			text[1 + (uint32_t)random() % (n / 2)] = '@';
			text[n / 2 + 1 + (uint32_t)random() % (n - n / 2 - 1)] = random() % 2 ? '/' : 'a';
		}
		const char *slash = memchr(text, '/', n), *at = memchr(text, '@', slash ? (size_t)(slash - text) : n);
		const char *begin = at ? at + 1 : text, *end = slash ? slash : text + n;
		bool ok = (!at || by_libidn(node, span_of(text, (size_t)(at - text)), stringprep_xmpp_nodeprep)) &&
			by_libidn(domain, span_of(begin, (size_t)(end - begin)), stringprep_nameprep) &&
			(!slash || by_libidn(resource, span_of(slash + 1, (size_t)(text + n - slash - 1)), stringprep_xmpp_resourceprep));

		if (ok && domain[strlen(domain) - 1] == '.') {
			domain[strlen(domain) - 1] = '\0';
			ok = *domain && domain[strlen(domain) - 1] != '.';
		}
		/* What nameprep lets stand, and a host's name cannot hold. */
		ok = ok && !strchr(domain, '@');
		cr_assert_eq(prep(&j, span_of(text, n)), ok, "%.*s", (int)n, text);
		if (!ok)
			continue;
		good++;
		snprintf(whole, sizeof(whole), "%s%s%s%s%s", at ? node : "", at ? "@" : "", domain, slash ? "/" : "", slash ? resource : "");
		cr_assert(span_is(jid_full(&j), whole) && j.node_len == (at ? strlen(node) : 0) &&
			j.bare_len == j.node_len + (at ? 1u : 0u) + strlen(domain), "%.*s", (int)n, text);
	}
	cr_expect(good > 20000, "%u", good);
}
