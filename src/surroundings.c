/* surroundings.c - what the process was given at its start, put right before anything is opened.
 * Threads: main, at start.
 * Owns: the three standard descriptors, to the end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "program.h"
#include "shardsm/log.h"

/* Less than this is soon used up by links and by what the database opens. */
#define DESCRIPTORS_FEW 256

void standard_descriptors(void)
{
	/* Where one of them is closed, the next socket or database would get its number, and every line of the log with it. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
			_exit(EXIT_FAILURE);
	}
}

void raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t before;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	before = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (before < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0)
		log_notice("open files: %llu may be open (raised from %llu, to the hard limit)", (unsigned long long)limit.rlim_cur,
			(unsigned long long)before);
	else
		log_notice("open files: %llu may be open", (unsigned long long)before);
	if (limit.rlim_max < DESCRIPTORS_FEW)
		log_warning("open files: %llu are few for the links and the database (raise the hard limit: LimitNOFILE= of the unit, or ulimit -Hn)",
			(unsigned long long)limit.rlim_max);
}
