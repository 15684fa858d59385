/* cpu.c - reads /proc of the process under test.
 * Threads: the one thread of the program.
 * Owns: nothing beyond a call.
 */
#include "cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The first bytes of a small file, NUL-terminated. False: it is gone. */
static bool read_small(const char *path, char *out, size_t cap)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	fclose(f);
	return n > 0;
}

/* utime and stime of a stat line, in ns: ticks, so coarse. */
static uint64_t stat_ns(const char *line)
{
	unsigned long utime, stime;
	const char *p = strrchr(line, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &utime, &stime) != 2)
		return 0;
	return (uint64_t)(utime + stime) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static bool thread_ns(int pid, const char *tid, char name[CPU_NAME], uint64_t *ns)
{
	char path[96], text[1024];

	snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", pid, tid);
	if (!read_small(path, text, sizeof text))
		return false;
	snprintf(name, CPU_NAME, "%.*s", (int)strcspn(text, "\n"), text);
	snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, tid);
	if (read_small(path, text, sizeof text) && sscanf(text, "%" SCNu64, ns) == 1)
		return true;
	snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, tid);
	if (!read_small(path, text, sizeof text))
		return false;
	*ns = stat_ns(text);
	return true;
}

static struct cpu_thread *by_name(struct cpu_sample *s, const char *name)
{
	for (unsigned i = 0; i < s->nthreads; i++)
		if (strcmp(s->threads[i].name, name) == 0)
			return &s->threads[i];
	if (s->nthreads == CPU_THREADS)
		return &s->threads[CPU_THREADS - 1]; /* the rest share the last row */
	struct cpu_thread *t = &s->threads[s->nthreads++];
	snprintf(t->name, sizeof t->name, "%s", name);
	return t;
}

static void read_threads(struct cpu_sample *s, int pid)
{
	char path[64], name[CPU_NAME];
	uint64_t ns;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.' || !thread_ns(pid, e->d_name, name, &ns))
			continue;
		struct cpu_thread *t = by_name(s, name);
		t->count++;
		t->ns += ns;
	}
	closedir(dir);
}

uint64_t cpu_rss_kb(int pid)
{
	char path[64], text[128];
	unsigned long pages;

	snprintf(path, sizeof path, "/proc/%d/statm", pid);
	if (pid <= 0 || !read_small(path, text, sizeof text) || sscanf(text, "%*u %lu", &pages) != 1)
		return 0;
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

uint64_t cpu_own_peak_kb(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss : 0;
}

void cpu_read(struct cpu_sample *s, int pid)
{
	clockid_t clock;

	*s = (struct cpu_sample){.own_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
	if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0)
		return;
	read_threads(s, pid);
	s->rss_kb = cpu_rss_kb(pid);
	s->total_ns = clock_ns(clock);
	s->valid = s->total_ns > 0;
}

void cpu_since(struct cpu_sample *out, const struct cpu_sample *earlier, const struct cpu_sample *later)
{
	*out = *later;
	out->valid = earlier->valid && later->valid;
	out->own_ns -= earlier->own_ns;
	out->total_ns -= earlier->total_ns;
	for (unsigned i = 0; i < out->nthreads; i++)
		for (unsigned j = 0; j < earlier->nthreads; j++)
			if (strcmp(out->threads[i].name, earlier->threads[j].name) == 0 &&
				out->threads[i].ns >= earlier->threads[j].ns)
				out->threads[i].ns -= earlier->threads[j].ns;
}

void cpu_add(struct cpu_sample *a, const struct cpu_sample *b)
{
	struct cpu_sample sum = *b;

	sum.own_ns += a->own_ns;
	sum.total_ns += a->total_ns;
	for (unsigned i = 0; i < sum.nthreads; i++)
		for (unsigned j = 0; j < a->nthreads; j++)
			if (strcmp(sum.threads[i].name, a->threads[j].name) == 0)
				sum.threads[i].ns += a->threads[j].ns;
	*a = sum;
}
