/* main.c - shardsm-bench: puts a load on a session manager, checks every answer, and says what it cost.
 * Threads: one.
 * Owns: the peers and the report, for the run.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "options.h"
#include "scenario.h"

void bench_die(const char *fmt, ...)
{
	va_list ap;

	int why = errno; /* for %m */
	va_start(ap, fmt);
	fprintf(stderr, "shardsm-bench: ");
	errno = why;
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

void *bench_realloc(void *p, size_t n)
{
	void *q = realloc(p, n);
	if (!q)
		bench_die("out of memory (%zu bytes)", n);
	return q;
}

void *bench_calloc(size_t n, size_t size)
{
	void *q = calloc(n ? n : 1, size);
	if (!q)
		bench_die("out of memory (%zu x %zu bytes)", n, size);
	return q;
}

uint64_t bench_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The sm has dialled, so the file was written or is about to be. */
static int read_pid_file(const char *path)
{
	const struct timespec tick = {0, 10000000};
	for (int tries = 0; tries < 500; tries++) {
		FILE *f = fopen(path, "re");
		int pid = 0;
		if (f) {
			if (fscanf(f, "%d", &pid) != 1)
				pid = 0;
			fclose(f);
		}
		if (pid > 0)
			return pid;
		nanosleep(&tick, NULL);
	}
	bench_die("%s: holds no pid", path);
}

static void run(const struct scenario *scenario, const struct options *opt, struct report *report, uint32_t users)
{
	struct peers peers;
	struct sessions sessions;

	peers_open(&peers, opt);
	report->pid = opt->pid_file ? read_pid_file(opt->pid_file) : opt->pid;
	report_open(report);
	sessions_init(&sessions, &peers, report, users);
	scenario->run(&sessions);
	sessions_free(&sessions);
	peers_close(&peers);
}

int main(int argc, char **argv)
{
	struct options opt;

	options_parse(&opt, argc, argv);
	const struct scenario *scenario = scenario_find(opt.scenario);
	if (!scenario)
		return 2;
	uint32_t users = scenario->users ? scenario->users(&opt) : opt.sessions;
	if (opt.sql) {
		graph_print_sql(&opt, users);
		return ferror(stdout) || fflush(stdout) != 0 ? 2 : 0;
	}
	struct report report = {.opt = &opt};
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	run(scenario, &opt, &report, users);
	report_print(&report);
	bool failed = report.failure[0] != '\0';
	if (opt.json && !report_json(&report, opt.json)) {
		fprintf(stderr, "shardsm-bench: cannot write %s (%m)\n", opt.json);
		failed = true;
	}
	report_free(&report);
	return failed ? 1 : 0;
}
