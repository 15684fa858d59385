/* fuzz_config.c - one input, a config file: it is read or refused with a reason, and what is read is within its limits.
 * Threads: one.
 * Owns: a file in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "shardsm/log.h"
#include "shardsm/options.h"

static void broken(const char *what)
{
	fprintf(stdout, "fuzz_config: %s\n", what);
	fflush(stdout);
	abort();
}

static void check(struct config *config)
{
	struct options o;
	bool good = options_read(&o, config);

	if (good != (config_errors(config) == 0) && good)
		broken("errors were counted, and all is well");
	if (good && (o.ndomains == 0 || !o.id || !*o.id || o.workers < 1 || o.workers > THREADS_MAX || o.acceptors < 1 || o.acceptors > THREADS_MAX ||
			o.store_threads < 1 || o.store_threads > THREADS_MAX || (!o.dial && !o.nlistens)))
		broken("settings out of their limits");
	if (good && o.dial && (!o.router.ip || o.router.port == 0 || o.router.retry_sleep < 1))
		broken("a router that cannot be dialled");
	options_free(&o);
	config_warn_unknown(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool quiet;
	char path[40];
	int fd;

	if (!quiet) {
		log_open(SPAN("file"), NULL, NULL, "/dev/null");
		quiet = true;
	}
	fd = memfd_create("sm.xml", 0);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		broken("no file in memory");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct config *config = config_load(path, NULL);

	if (config) {
		check(config);
		config_free(&config);
	}
	close(fd);
	return 0;
}
