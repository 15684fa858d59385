/* notify.c - datagrams to the service manager.
 * Threads: see the header.
 * Owns: the socket.
 * Source: sd_notify(3), sd_watchdog_enabled(3). The protocol is stable and small; its library would be one more to be there.
 */
#include "shardsm/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shardsm/log.h"

#define MESSAGE_BYTES 512

static int fd = -1;
static uint32_t watchdog_ms;

static void read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long every = usec ? strtoull(usec, NULL, 10) / 1000 : 0;

	if (fd < 0 || (pid && strtol(pid, NULL, 10) != getpid()))
		return;
	watchdog_ms = every > UINT32_MAX ? UINT32_MAX : (uint32_t)every;
}

static void connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(to.sun_path)) {
		log_warning("NOTIFY_SOCKET: \"%s\" is no unix socket: the service manager is told nothing", path);
		return;
	}
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) == 0)
		return;
	log_warning("NOTIFY_SOCKET: %s cannot be reached (%m): the service manager is told nothing", path);
	if (fd >= 0)
		close(fd);
	fd = -1;
}

void notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path)
		connect_to(path);
	read_watchdog();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

bool notify_heard(void)
{
	return fd >= 0;
}

uint32_t notify_watchdog_ms(void)
{
	return watchdog_ms;
}

void notify(const char *fmt, ...)
{
	char text[MESSAGE_BYTES];
	va_list args;

	if (fd < 0)
		return;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);

	va_end(args);
	if (n < 0 || n >= (int)sizeof(text))
		return;
	if (send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_limited(LOG_LEVEL_WARNING, "the service manager cannot be told \"%s\" (%m)", text);
}

void notify_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	notify("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}
