/* config_test.c - the config file: values as jabberd2 reads them, and complaints that name file and line.
 * Threads: one.
 * Owns: temporary files.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "files.h"
#include "shardsm/config.h"
#include "shardsm/log.h"

TestSuite(config, .fini = test_files_remove);

static struct config *load(const char *text)
{
	struct config *c = config_load(test_file(text), NULL);
	cr_assert_not_null(c);
	return c;
}

static void value_is(const struct config_value *v, const char *text, int line)
{
	cr_assert_not_null(v, "no value where %s was expected", text);
	cr_expect(span_is(v->text, text), "'" SPAN_FMT "' instead of '%s'", SPAN_ARG(v->text), text);
	cr_expect_eq(v->line, line, "%s: line %d instead of %d", text, v->line, line);
}

/* The text that loading this file leaves on stderr; it must fail. */
static const char *refused(const char *text)
{
	const char *path = test_file(text);
	test_catch(STDERR_FILENO);
	struct config *c = config_load(path, NULL);
	const char *said = test_caught(STDERR_FILENO);
	cr_assert_null(c, "accepted: %s", text);
	cr_expect(strncmp(said, path, strlen(path)) == 0, "no file name in: %s", said);
	return said + strlen(path);
}

Test(config, keys_are_paths_without_the_root)
{
	struct config *c = load("<?xml version='1.0'?>\n<!-- c -->\n<sm>\n<id>x</id>\n<router><retry>\n<init>7</init></retry></router></sm>\n");
	value_is(config_get(c, "id", 0), "x", 4);
	value_is(config_get(c, "router.retry.init", 0), "7", 6);
	cr_expect_null(config_get(c, "sm.id", 0));
	cr_expect_null(config_get(c, "", 0));
	cr_expect_null(config_get(c, "router.retry.lost", 0));
	cr_expect(config_has(c, "router"));
	cr_expect_not(config_has(c, "listen"));
	config_free(&c);
	cr_expect_null(c);
}

Test(config, a_value_is_the_text_before_the_first_child_untrimmed)
{
	struct config *c = load("<sm>\n<a> x <!-- no text -->y<![CDATA[<&>]]> &lt;&#65;<b/>later</a>\n<c>\n <d/></c></sm>");
	value_is(config_get(c, "a", 0), " x y<&> <A", 2);
	value_is(config_get(c, "c", 0), "\n ", 3);
	config_free(&c);
}

Test(config, an_element_without_text_is_1)
{
	struct config *c = load("<sm><a/><b></b><c><d/></c><e>false</e></sm>");
	value_is(config_get(c, "a", 0), "1", 1);
	value_is(config_get(c, "b", 0), "1", 1);
	value_is(config_get(c, "c", 0), "1", 1);
	cr_expect(config_has(c, "e"), "presence is what counts, not the value");
	config_free(&c);
}

Test(config, repeated_elements_are_several_values_with_attributes_of_their_own)
{
	struct config *c = load("<sm><l><id a='1'>x</id></l>\n<l>\n<id\n a='&quot;2'\n b=''>y</id></l></sm>");
	cr_assert_eq(config_count(c, "l.id"), 2);
	value_is(config_get(c, "l.id", 0), "x", 1);
	value_is(config_get(c, "l.id", 1), "y", 3);
	cr_expect_null(config_get(c, "l.id", 2));
	cr_expect(span_is(config_attr(config_get(c, "l.id", 0), "a"), "1"));
	cr_expect(span_is(config_attr(config_get(c, "l.id", 1), "a"), "\"2"));
	cr_expect_null(config_attr(config_get(c, "l.id", 0), "b").p);
	cr_expect_not_null(config_attr(config_get(c, "l.id", 1), "b").p, "an empty attribute is present");
	config_free(&c);
}

Test(config, below_sees_direct_children_alone)
{
	struct config *c = load("<sm><chain><module>a</module><x><module>no</module></x>\n<module>b</module></chain><chain><module>c</module></chain></sm>");
	const struct config_value *chain = config_get(c, "chain", 0);
	value_is(config_below(c, chain, "module", 0), "a", 1);
	value_is(config_below(c, chain, "module", 1), "b", 2);
	cr_expect_null(config_below(c, chain, "module", 2));
	value_is(config_below(c, config_get(c, "chain", 1), "module", 0), "c", 2);
	config_free(&c);
}

Test(config, text_is_trimmed_and_falls_back)
{
	struct config *c = load("<sm><a>\n\t x y \n</a></sm>");
	cr_expect(span_is(config_text(c, "a", "f"), "x y"));
	cr_expect(span_is(config_text(c, "b", "f"), "f"));
	cr_expect_null(config_text(c, "b", NULL).p);
	config_free(&c);
}

Test(config, dollar_expands_to_the_first_value_further_up)
{
	struct config *c = load("<sm><id>s1</id><id>s2</id><l><f>/v/${id}-${l}.log$</f></l><n>${l.f}</n></sm>");
	value_is(config_get(c, "l.f", 0), "/v/s1-1.log$", 1);
	value_is(config_get(c, "n", 0), "/v/s1-1.log$", 1);
	config_free(&c);
}

Test(config, the_command_lines_id_stands_before_the_files)
{
	struct config *c = config_load(test_file("<sm><f>${id}</f><id>file</id><g>${id}</g></sm>"), "given");
	cr_assert_not_null(c);
	value_is(config_get(c, "id", 0), "given", 0);
	value_is(config_get(c, "f", 0), "given", 1);
	value_is(config_get(c, "g", 0), "given", 1);
	config_free(&c);
}

Test(config, dollar_with_an_unknown_key_is_refused)
{
	const char *s = refused("<sm>\n<a>${b}</a><b>x</b></sm>");
	cr_expect(strncmp(s, ":2: a: ", 7) == 0 && strstr(s, "${b}"), "%s", s);
	s = refused("<sm>\n\n<a>${}</a></sm>");
	cr_expect(strncmp(s, ":3: a: ", 7) == 0, "%s", s);
	s = refused("<sm><id>x</id>\n<a>${id</a></sm>");
	cr_expect(strncmp(s, ":2: a: ", 7) == 0 && strstr(s, "}"), "%s", s);
}

Test(config, ill_formed_files_are_refused_with_their_line)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ "<sm>\n<a>\n</b>\n</sm>", ":3: " },
		{ "<sm>\n<a>\n</sm>", ":3: " },
		{ "<sm>\n<a>x\n", ":2: <a> is not closed" },
		{ "<sm>\n", ":1: <sm> is not closed" },
		{ "<sm>\n<a", ":2: <a> is not closed" },
		{ "<sm/>\n<sm/>", ":2: <sm> follows the end" },
		{ "<sm/>\nx", ":2: text outside" },
		{ "x<sm/>", ":1: text outside" },
		{ "<sm>\n&foo;</sm>", ":2: " },
		{ "<sm>\n<a b='1' b='2'/></sm>", ":2: Duplicate attribute 'b'" },
		{ "<sm>\n<a>\x80</a></sm>", ":2: " },
		{ "<!-- nothing -->\n", ":1: no XML element" },
		{ "", ": is empty" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *s = refused(cases[i].text);
		cr_expect(strncmp(s, cases[i].said, strlen(cases[i].said)) == 0, "case %zu: '%s'", i, s);
		cr_expect_eq(strchr(s, '\n'), s + strlen(s) - 1, "case %zu: one line", i);
	}
}

Test(config, a_nul_byte_is_refused)
{
	const char *path = test_file_bytes("<sm><a>x\0y</a></sm>", 19);
	test_catch(STDERR_FILENO);
	struct config *c = config_load(path, NULL);
	test_caught(STDERR_FILENO);
	cr_expect_null(c);
	path = test_file_bytes("<sm></sm>\0<a/>", 14);
	test_catch(STDERR_FILENO);
	c = config_load(path, NULL);
	test_caught(STDERR_FILENO);
	cr_expect_null(c, "what follows the NUL would be ignored silently");
}

Test(config, a_missing_file_is_named)
{
	const char *path = test_path("none");
	test_catch(STDERR_FILENO);
	cr_expect_null(config_load(path, NULL));
	const char *said = test_caught(STDERR_FILENO);
	cr_expect(strstr(said, path) && strstr(said, "No such file"), "%s", said);
}

Test(config, numbers_are_checked_and_every_fault_is_told)
{
	struct config *c = load("<sm><a> 17 </a>\n<b>x</b>\n<c>70000</c><d>5 5</d><e>-1</e><f s='9' t='z'>0x10</f><g>+1</g></sm>");
	test_catch(STDERR_FILENO);
	cr_expect_eq(config_int(c, "a", 1, 0, 100), 17);
	cr_expect_eq(config_int(c, "none", 42, 0, 100), 42);
	cr_expect_eq(config_int(c, "e", 0, -1, 100), -1);
	cr_expect_eq(config_attr_int(c, config_get(c, "f", 0), "s", 5, 1, 10), 9);
	cr_expect_eq(config_attr_int(c, config_get(c, "f", 0), "none", 5, 1, 10), 5);
	cr_expect_eq(config_errors(c), 0);
	cr_expect_eq(config_int(c, "b", 8, 0, 100), 8);
	cr_expect_eq(config_int(c, "c", 9, 1, 65535), 9);
	cr_expect_eq(config_int(c, "d", 10, 1, 65535), 10);
	cr_expect_eq(config_int(c, "f", 11, 0, 65535), 11);
	cr_expect_eq(config_int(c, "g", 13, 0, 65535), 13);
	cr_expect_eq(config_attr_int(c, config_get(c, "f", 0), "t", 12, 1, 10), 12);
	const char *said = test_caught(STDERR_FILENO);
	cr_expect_eq(config_errors(c), 6);
	cr_expect_not_null(strstr(said, ":2: b: \"x\" is not a number from 0 to 100\n"), "%s", said);
	cr_expect_not_null(strstr(said, ":3: c: \"70000\" is not a number from 1 to 65535\n"), "%s", said);
	cr_expect_not_null(strstr(said, ":3: f/@t: \"z\" is not a number from 1 to 10\n"), "%s", said);
	config_free(&c);
}

static const char *warnings(const struct config *c)
{
	test_catch(STDOUT_FILENO);
	log_open(SPAN("stdout"), NULL, NULL, NULL);
	config_warn_unknown(c);
	log_close();
	return test_caught(STDOUT_FILENO);
}

Test(config, unknown_elements_are_warned_of_once_with_their_line)
{
	struct config *c = load("<sm><id>x</id>\n<ruter>\n<ip/></ruter><storage>\n<sqlite><dbname/><bdname/></sqlite><oracle><any/></oracle></storage></sm>");
	const char *said = warnings(c), *second = strchr(said, '\n') + 1;
	cr_expect(strstr(said, ":2: ruter: unknown element"), "%s", said);
	cr_expect(strstr(second, ":4: storage.sqlite.bdname: unknown element"), "%s", said);
	cr_expect_eq(strchr(second, '\n')[1], '\0', "two lines: %s", said);
	config_free(&c);
}

Test(config, debians_file_gives_no_warning)
{
	const char *stock = "/etc/jabberd2/sm.xml";
	if (access(stock, R_OK) != 0)
		cr_skip_test("jabberd2 is not installed");
	struct config *c = config_load(stock, NULL);
	cr_assert_not_null(c);
	cr_expect_str_eq(warnings(c), "");
	cr_expect_eq(config_count(c, "modules.chain"), 14);
	cr_expect(span_is(config_text(c, "storage.sqlite.dbname", ""), "/var/lib/jabberd2/sqlite.db"));
	cr_expect(span_is(config_text(c, "local.id", ""), "localhost.localdomain"));
	struct span sql = config_get(c, "storage.sqlite.sql", 0)->text, pragma = SPAN("PRAGMA synchronous = NORMAL;");
	cr_expect_not_null(memmem(sql.p, sql.n, pragma.p, pragma.n), "text behind a comment counts");
	config_free(&c);
}
