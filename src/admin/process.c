/* process.c - what the kernel and the allocator know of this process, under the names that Prometheus' own libraries use.
 * Threads: main's.
 * Owns: nothing.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"

/* jemalloc's; another allocator (of the sanitizers) has none. */
int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len) __attribute__((weak));

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	metrics_family(out, name, "gauge", help);
	buf_fmt(out, "%s %llu\n", name, (unsigned long long)value);
}

static void write_memory(struct buf *out)
{
	unsigned long long pages[2] = { 0 };
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), epoch = 1;
	size_t allocated = 0, len = sizeof(allocated);

	if (f && fscanf(f, "%llu %llu", &pages[0], &pages[1]) == 2) {
		gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes.", pages[0] * page);
		gauge(out, "process_resident_memory_bytes", "Resident memory size in bytes.", pages[1] * page);
	}
	if (f)
		fclose(f);
	/* Its figures are those of the last epoch. */
	if (mallctl && mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) == 0 &&
		mallctl("stats.allocated", &allocated, &len, NULL, 0) == 0)
		gauge(out, "shardsm_allocated_bytes", "Memory that is allocated, as the allocator counts it.", allocated);
}

static void write_descriptors(struct buf *out)
{
	DIR *dir = opendir("/proc/self/fd");
	struct rlimit limit;
	const struct dirent *e;
	uint64_t n = 0;

	while (dir && (e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	if (dir) {
		closedir(dir);
		gauge(out, "process_open_fds", "Number of open file descriptors.", n - 1); /* not the directory's */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		gauge(out, "process_max_fds", "Maximum number of open file descriptors.", limit.rlim_cur);
}

void process_write(const struct admin *admin, struct buf *out)
{
	struct timespec cpu = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	metrics_family(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
	buf_fmt(out, "process_cpu_seconds_total %lld.%06ld\n", (long long)cpu.tv_sec, cpu.tv_nsec / 1000);
	gauge(out, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.", (uint64_t)admin->started);
	write_memory(out);
	write_descriptors(out);
}
