/* log_test.c - log lines: their form, what is escaped, reopening, a full disk.
 * Threads: one; four that log, in one test.
 * Owns: temporary files.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log_writer.h"
#include "files.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"

TestSuite(log, .fini = test_files_remove);

/* The text of the one line that fn's call left, behind "[level] ". */
static const char *one_line(const char *path)
{
	const char *line = test_read(path), *text = strstr(line, "] ");
	cr_assert_not_null(text, "no log line: '%s'", line);
	cr_expect_eq(strchr(line, '\n'), line + strlen(line) - 1, "one line: %s", line);
	return text + 2;
}

Test(log, a_line_has_jabberd2s_form)
{
	const char *path = test_path("log");
	int year, day, hour, minute, second, end = 0;
	char week[4], month[4];
	log_open(SPAN("file"), NULL, NULL, path);
	log_notice("sm: ready for %d sessions", 7);
	log_close();
	const char *line = test_read(path);
	sscanf(line, "%3s %3s %d %d:%d:%d %d [notice] sm: ready for 7 sessions%n", week, month, &day, &hour, &minute, &second,
		&year, &end);
	cr_assert_gt(end, 0, "%s", line);
	cr_expect_str_eq(line + end, "\n");
	time_t now = (time_t)clock_wall();
	cr_expect_eq(year, 1900 + localtime(&now)->tm_year);
}

Test(log, levels_have_names_and_a_threshold)
{
	const char *path = test_path("log");
	log_open(SPAN("file"), NULL, NULL, path);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("unwanted");
	log_threshold = LOG_LEVEL_DEBUG;
	log_debug("d");
	log_close();
	const char *said = test_read(path);
	cr_expect(strstr(said, "[error] a\n") && strstr(said, "[warning] b\n") && strstr(said, "[info] c\n"), "%s", said);
	cr_expect(strstr(said, "[debug] d\n") && !strstr(said, "unwanted"), "%s", said);
}

Test(log, what_could_forge_a_line_or_a_terminal_is_escaped)
{
	const char *path = test_path("log");
	log_open(SPAN("file"), NULL, NULL, path);
	log_info("%s", "a\nb\x1b[1m\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|\xff\xc3|\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80|\xc2\x85\xe2\x80\xa8");
	log_close();
	cr_expect_str_eq(one_line(path), "a\\x0ab\\x1b[1m\\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80|\\xff\\xc3|\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80|"
					 "\\xc2\\x85\\xe2\\x80\\xa8\n");
}

Test(log, a_long_line_is_cut_between_characters)
{
	const char *path = test_path("log");
	char text[3000];
	for (size_t skew = 0; skew < 4; skew++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = skew; i + 2 < sizeof(text); i += 2)
			memcpy(text + i, "\xc3\xa4", 2);
		text[sizeof(text) - 1] = '\0';
		unlink(path);
		log_open(SPAN("file"), NULL, NULL, path);
		log_info("%s", text);
		log_close();
		const char *got = one_line(path);
		size_t whole = strlen(test_read(path));
		cr_expect(whole <= 1025 && whole >= 1020, "%zu bytes", whole);
		cr_expect_eq((unsigned char)got[strlen(got) - 2], skew ? got[strlen(got) - 2] == 'x' ? 'x' : 0xa4 : 0xa4);
		cr_expect_null(strstr(got, "\\x"), "a character was cut in two");
	}
}

/* started: the log has a thread of its own. */
static void reopen(bool started)
{
	const char *path = test_path("log"), *old = test_path("old");
	log_open(SPAN("file"), NULL, NULL, path);
	if (started)
		log_start();
	log_info("first");
	cr_assert_eq(rename(path, old), 0);
	log_info("second");
	log_reopen();
	log_info("third");
	log_close();
	const char *said = test_read(old);
	cr_expect(strstr(said, "first\n") && strstr(said, "second\n") && !strstr(said, "third"), "%s", said);
	cr_expect(strstr(said, "reopening log ...\n"), "%s", said);
	said = test_read(path);
	cr_expect(strstr(said, "log started\n") && strstr(said, "third\n") && !strstr(said, "second"), "%s", said);
}

Test(log, reopening_goes_to_a_new_file)
{
	reopen(false);
}

Test(log, a_file_that_cannot_be_opened_falls_back_to_stdout_and_comes_back)
{
	const char *dir = test_path("dir");
	char file[400];
	snprintf(file, sizeof(file), "%s/log", dir);
	test_catch(STDOUT_FILENO);
	test_catch(STDERR_FILENO);
	log_open(SPAN("file"), NULL, NULL, file);
	log_info("on stdout");
	const char *said = test_caught(STDERR_FILENO);
	cr_expect(strstr(said, file) && strstr(said, "stdout"), "%s", said);
	cr_assert_eq(mkdir(dir, 0700), 0);
	log_reopen();
	log_info("in the file");
	log_close();
	said = test_caught(STDOUT_FILENO);
	cr_expect(strstr(said, "[info] on stdout\n") && !strstr(said, "in the file"), "%s", said);
	said = test_read(file);
	cr_expect(strstr(said, "[info] in the file\n"), "%s", said);
	unlink(file);
	rmdir(dir);
}

Test(log, stdout_is_the_default)
{
	test_catch(STDOUT_FILENO);
	log_open((struct span){ 0 }, NULL, NULL, NULL);
	log_info("here");
	log_close();
	cr_expect(strstr(test_caught(STDOUT_FILENO), "[info] here\n"));
}

Test(log, a_full_disk_neither_blocks_nor_kills)
{
	test_catch(STDERR_FILENO);
	log_open(SPAN("file"), NULL, NULL, "/dev/full");
	errno = 77;
	for (int i = 0; i < 3; i++)
		log_info("x");
	cr_expect_eq(errno, 77, "logging leaves errno alone");
	log_close();
	test_caught(STDERR_FILENO);
}

Test(log, a_full_pipe_loses_lines_and_counts_them)
{
	int ends[2], out = dup(STDOUT_FILENO);
	static char all[1 << 20];
	size_t n = 0;
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	close(ends[1]);
	log_open(SPAN("stdout"), NULL, NULL, NULL);
	for (int i = 0; i < 5000; i++)
		log_info("line %d of a log that nobody reads", i);
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	for (ssize_t got; (got = read(ends[0], all + n, sizeof(all) - 1 - n)) > 0;)
		n += (size_t)got;
	log_info("somebody reads");
	for (ssize_t got; (got = read(ends[0], all + n, sizeof(all) - 1 - n)) > 0;)
		n += (size_t)got;
	log_close();
	dup2(out, STDOUT_FILENO);
	close(out);
	all[n] = '\0';
	int lines = 0;
	for (char *p = all; (p = strchr(p, '\n')); p++)
		lines++;
	char *told = strstr(all, "[warning] log: ");
	cr_assert_not_null(told);
	cr_expect_eq(atoi(told + 15) + lines - 2, 5000, "%d lines, %s", lines, told);
	cr_expect_not_null(strstr(told, "[info] somebody reads\n"));
}

/* --- with a thread of its own --------------------------------------------------------------------------------------- */

#define LINES 3000

static void *log_many(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("thread %d line %d", *(int *)arg, i);
	return NULL;
}

Test(log, lines_of_many_threads_are_whole_in_order_and_all_there)
{
	const char *path = test_path("log");
	pthread_t threads[4];
	int numbers[4] = { 0, 1, 2, 3 }, next[4] = { 0 };
	size_t cap = 4 * LINES * 80;
	char *all = malloc(cap);

	log_open(SPAN("file"), NULL, NULL, path);
	log_start();
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	log_close();
	FILE *f = fopen(path, "re");
	cr_assert(f && all);
	while (fgets(all, (int)cap, f)) {
		int thread, line, end = 0;
		const char *text = strstr(all, "[info] ");
		cr_assert(text && sscanf(text, "[info] thread %d line %d\n%n", &thread, &line, &end) == 2 && !text[end], "%s", all);
		cr_assert(thread >= 0 && thread < 4 && line == next[thread], "%s", all);
		next[thread]++;
	}
	fclose(f);
	free(all);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(next[i], LINES);
}

Test(log, what_was_said_before_reopening_is_in_the_old_file)
{
	reopen(true);
}

/* Reads whole lines to the end. */
struct reader { FILE *f; int lines, lost; bool told; };

static void *read_log(void *arg)
{
	struct reader *r = arg;
	char text[1100];
	while (fgets(text, sizeof(text), r->f)) {
		cr_assert_not_null(strchr(text, '\n'), "a part of a line");
		if (strstr(text, "lines lost"))
			r->lost += atoi(strstr(text, "log: ") + 5);
		r->lines += strstr(text, "xxx") != NULL;
		r->told |= strstr(text, "somebody reads") != NULL;
	}
	return NULL;
}

/* Nobody reads: the loggers do not wait, and what was lost is counted once somebody reads again. */
Test(log, a_full_pipe_holds_up_no_thread_but_the_logs, .timeout = 60)
{
	int ends[2], out = dup(STDOUT_FILENO);
	char text[1000];
	pthread_t thread;
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	close(ends[1]);
	struct reader r = { .f = fdopen(ends[0], "r") };
	cr_assert_not_null(r.f);
	log_open(SPAN("stdout"), NULL, NULL, NULL);
	log_start();
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 4000; i++) /* four times the buffer */
		log_info("%.*s", 900, text);
	cr_assert_eq(pthread_create(&thread, NULL, read_log, &r), 0);
	log_writer_flush();
	log_info("somebody reads");
	log_close();
	dup2(out, STDOUT_FILENO);
	close(out);
	pthread_join(thread, NULL);
	fclose(r.f);
	cr_expect(r.lost > 0 && r.lines > 1000 && r.lines + r.lost == 4000, "%d lines, %d lost", r.lines, r.lost);
	cr_expect(r.told);
}

/* Nobody reads, and the server ends: it ends. */
Test(log, a_full_pipe_does_not_hold_up_the_end, .timeout = 60)
{
	int ends[2], out = dup(STDOUT_FILENO);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	log_open(SPAN("stdout"), NULL, NULL, NULL);
	log_start();
	for (int i = 0; i < 5000; i++)
		log_info("line %d of a log that nobody reads", i);
	log_close();
	dup2(out, STDOUT_FILENO);
	close(out);
	close(ends[0]);
	close(ends[1]);
}

Test(log, a_place_that_a_peer_can_trigger_is_limited)
{
	const char *path = test_path("log");
	log_open(SPAN("file"), NULL, NULL, path);
	struct log_limit limit = { 0 };
	uint64_t second = clock_mono_ms() / 1000;
	int allowed = 0;
	for (int i = 0; i < 1000; i++)
		allowed += log_allowed(&limit, 10);
	if (clock_mono_ms() / 1000 == second)
		cr_expect_eq(allowed, 10);
	else
		cr_expect_leq(allowed, 20);
	limit.second--; /* a second passes */
	limit.count = 1000;
	cr_expect(log_allowed(&limit, 10));
	cr_expect(strstr(test_read(path), "990 lines like the next one were left out\n"), "%s", test_read(path));
	log_close();
}
