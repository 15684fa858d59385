/* options_test.c - typed settings, their defaults and ranges, and the command line.
 * Threads: one.
 * Owns: temporary files.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "files.h"
#include "shardsm/options.h"

TestSuite(options, .fini = test_files_remove);

static struct config *config;
static struct options o;

static bool read_options(const char *text)
{
	config = config_load(test_file(text), NULL);
	cr_assert_not_null(config);
	return options_read(&o, config);
}

static void done(void)
{
	options_free(&o);
	config_free(&config);
}

/* Every one of these must be on stderr; there must be n complaints. */
static void complains(const char *text, int n, const char *const *wanted)
{
	test_catch(STDERR_FILENO);
	bool ok = read_options(text);
	const char *said = test_caught(STDERR_FILENO);
	cr_expect_not(ok, "accepted: %s", text);
	cr_expect_eq(config_errors(config), n, "%d complaints: %s", config_errors(config), said);
	for (int i = 0; i < n; i++)
		cr_expect_not_null(strstr(said, wanted[i]), "'%s' is not in: %s", wanted[i], said);
	done();
}

Test(options, defaults_are_jabberd2s)
{
	cr_assert(read_options("<sm/>"));
	cr_expect_str_eq(o.id, "sm");
	cr_expect_null(o.pidfile);
	cr_expect(o.dial);
	cr_expect_str_eq(o.router.ip, "127.0.0.1");
	cr_expect_eq(o.router.port, 5347);
	cr_expect_str_eq(o.router.user, "jabberd");
	cr_expect_str_eq(o.router.pass, "secret");
	cr_expect_null(o.router.tls.pemfile);
	cr_expect_eq(o.router.retry_init, 3);
	cr_expect_eq(o.router.retry_lost, 3);
	cr_expect_eq(o.router.retry_sleep, 2);
	cr_expect_eq(o.nlistens, 0);
	cr_assert_eq(o.ndomains, 1);
	cr_expect(o.domains_are_id);
	cr_expect_str_eq(o.domains[0], "sm");
	cr_expect_str_eq(o.log.type, "stdout");
	cr_expect_str_eq(o.log.ident, "jabberd/sm");
	cr_expect_eq(o.acceptors, 1);
	cr_expect_geq(o.workers, 1);
	cr_expect_eq(o.store_threads, 2);
	cr_expect_not(o.route_parser_mxml);
	cr_expect_not(o.local_via_router);
	cr_expect_eq(o.route_limits.frame_bytes, 1048576);
	cr_expect_eq(o.route_limits.depth, 64);
	cr_expect_eq(o.route_limits.attributes, 64);
	cr_expect_eq(o.route_limits.elements, 4096);
	cr_expect_eq(o.link_queue_bytes, 64ull << 20);
	cr_expect_eq(o.write_queue_bytes, 256ull << 20);
	cr_expect_eq(o.shard_queue_bytes, 32ull << 20);
	cr_expect_eq(o.user_queue_packets, 1000);
	cr_expect_eq(o.waiting_bytes, 256ull << 20);
	cr_expect_eq(o.user_sessions, 100);
	cr_expect_eq(o.sessions, 0);
	cr_expect_eq(o.users, 0);
	done();
}

Test(options, everything_can_be_said)
{
	cr_assert(read_options("<sm><id> SM.Example </id><pidfile>/run/${id}.pid</pidfile>"
			       "<router><ip>::1</ip><port>1</port><user>u</user><pass> p </pass><pemfile>/p</pemfile>"
			       "<retry><init>-1</init><lost>0</lost><sleep>0</sleep></retry></router>"
			       "<listen/><listen><ip>0.0.0.0</ip><allow-unencrypted-network/>\n<port>65535</port><user>a</user><pass>b</pass><secret>c</secret></listen>"
			       "<local><id>Example.ORG</id><id>b\xc3\xbc" "cher.example</id><id>example.org</id></local>"
			       "<log type='syslog'><ident>i</ident><facility>local3</facility></log>"
			       "<threads><acceptors>2</acceptors><workers>256</workers><store>1</store></threads>"
			       "<route-parser>mxml</route-parser><local-delivery>router</local-delivery>"
			       "<limits><depth>100</depth></limits></sm>"));
	cr_expect_str_eq(o.id, "sm.example");
	cr_expect_str_eq(o.router.ip, "::1");
	cr_expect_eq(o.router.port, 1);
	cr_expect_str_eq(o.router.pass, "p");
	cr_expect_str_eq(o.router.tls.pemfile, "/p");
	cr_expect_eq(o.router.retry_init, RETRY_FOREVER);
	cr_expect_eq(o.router.retry_lost, 0);
	cr_expect_eq(o.router.retry_sleep, 1);
	cr_assert_eq(o.nlistens, 2);
	cr_expect_str_eq(o.listens[0].ip, "127.0.0.1");
	cr_expect_eq(o.listens[0].port, 5347);
	cr_expect_null(o.listens[0].secret);
	cr_expect_str_eq(o.listens[1].ip, "0.0.0.0");
	cr_expect_eq(o.listens[1].port, 65535);
	cr_expect_str_eq(o.listens[1].user, "a");
	cr_expect_str_eq(o.listens[1].pass, "b");
	cr_expect_str_eq(o.listens[1].secret, "c");
	cr_assert_eq(o.ndomains, 2, "a domain given twice is served once");
	cr_expect_not(o.domains_are_id);
	cr_expect_str_eq(o.domains[0], "example.org");
	cr_expect_str_eq(o.domains[1], "b\xc3\xbc" "cher.example");
	cr_expect_str_eq(o.log.type, "syslog");
	cr_expect_str_eq(o.log.facility, "local3");
	cr_expect_eq(o.workers, 256);
	cr_expect(o.route_parser_mxml);
	cr_expect(o.local_via_router);
	cr_expect_eq(o.route_limits.depth, 100);
	done();
}

Test(options, a_listener_alone_dials_nobody)
{
	cr_assert(read_options("<sm><listen/></sm>"));
	cr_expect_not(o.dial);
	done();
	cr_assert(read_options("<sm><listen/><router/></sm>"));
	cr_expect(o.dial);
	done();
}

Test(options, all_mistakes_are_told_at_once)
{
	complains("<sm>\n<router><port>0</port>\n<ip>router.example</ip></router><listen>\n<ip>*</ip><port>x</port></listen></sm>", 4,
		(const char *const[]){ ":2: router.port: \"0\" is not a number from 1 to 65535", ":3: router.ip: \"router.example\" is not an IP address",
			":4: listen.ip: \"*\"", ":4: listen.port: \"x\" is not a number from 0 to 65535" });
	complains("<sm>\n<id>a@b</id><local>\n<id>b/c</id></local></sm>", 2,
		(const char *const[]){ ":2: id: \"a@b\" is not a domain name", ":3: local.id: \"b/c\"" });
	complains("<sm>\n<threads>\n<workers>many</workers><store>0</store><acceptors>257</acceptors></threads></sm>", 3,
		(const char *const[]){ ":3: threads.workers: \"many\"", "threads.store: \"0\"", "threads.acceptors: \"257\"" });
	complains("<sm><route-parser>expat</route-parser>\n<local-delivery>x</local-delivery><log type='file'/></sm>", 3,
		(const char *const[]){ ":1: route-parser: \"expat\" is neither \"scan\" nor \"mxml\"", ":2: local-delivery: \"x\"", "log: type='file'" });
	complains("<sm>\n<limits><frame-bytes>8388608</frame-bytes><link-queue-bytes>1048576</link-queue-bytes></limits></sm>", 1,
		(const char *const[]){ ":2: limits: one frame" });
	complains("<sm><listen/><local-delivery>router</local-delivery></sm>", 1, (const char *const[]){ "needs a <router>" });
}

static bool parse(struct cmdline *c, int *status, int argc, ...)
{
	static char name[] = "shardsm", *argv[8] = { name };
	va_list args;
	va_start(args, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	argv[argc + 1] = NULL;
	return cmdline_read(c, argc + 1, argv, status);
}

Test(options, command_line)
{
	struct cmdline c;
	int status;
	cr_assert(parse(&c, &status, 0));
	cr_expect_str_eq(c.config_path, SYSCONFDIR "/sm.xml");
	cr_expect_null(c.id);
	cr_expect_not(c.debug || c.check);
	cr_assert(parse(&c, &status, 6, "-c", "f", "-i", "x", "-D", "--check"));
	cr_expect_str_eq(c.config_path, "f");
	cr_expect_str_eq(c.id, "x");
	cr_expect(c.debug && c.check);
}

Test(options, usage_is_on_stdout_with_status_1)
{
	static const char *const wrong[] = { "-h", "-?", "--nonsense", "-x", "stray", "-c" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cmdline c;
		int status = 0;
		test_catch(STDOUT_FILENO);
		bool go = parse(&c, &status, 1, wrong[i]);
		const char *said = test_caught(STDOUT_FILENO);
		cr_expect_not(go);
		cr_expect_eq(status, 1);
		cr_expect(strncmp(said, "usage: shardsm", 14) == 0, "%s: %s", wrong[i], said);
	}
}

Test(options, version)
{
	struct cmdline c;
	int status = 1;
	test_catch(STDOUT_FILENO);
	cr_expect_not(parse(&c, &status, 1, "--version"));
	const char *said = test_caught(STDOUT_FILENO);
	cr_expect_eq(status, 0);
	cr_expect(strncmp(said, "shardsm ", 8) == 0, "%s", said);
}
