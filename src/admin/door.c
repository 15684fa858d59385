/* door.c - the two sockets that are listened on.
 * Threads: main's, before the others run.
 * Owns: nothing; the descriptors are the admin's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"
#include "shardsm/log.h"

#define BACKLOG 16

static bool open_at(struct admin *admin, struct door *door, const struct sockaddr *at, socklen_t len)
{
	int one = 1, fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	door->watch.ready = connection_accept;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, at, len) == 0) {
		door->watch.fd = fd; /* from here on a path is ours */
		if (listen(fd, BACKLOG) == 0 && admin_watch(admin, &door->watch, EPOLLIN, false))
			return true;
	}
	int error = errno;

	if (door->watch.fd < 0)
		close(fd);
	errno = error;
	return false;
}

/* A socket that a process left behind when it was killed may go; one that answers, or another file, may not. */
static bool make_way(const struct sockaddr_un *at)
{
	struct stat st;
	int fd;
	bool taken;

	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT;
	errno = EEXIST;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	taken = fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno == EAGAIN;
	if (fd >= 0)
		close(fd);
	errno = EADDRINUSE;
	return !taken && unlink(at->sun_path) == 0;
}

bool door_open_control(struct admin *admin, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t before;
	bool ok;

	admin->control.asked = command_asked;
	admin->control.local = true;
	if (strlen(path) >= sizeof(at.sun_path)) {
		log_error("control.socket: %s is longer than a socket's path may be (%zu bytes)", path, sizeof(at.sun_path) - 1);
		return false;
	}
	memcpy(at.sun_path, path, strlen(path) + 1);
	before = umask(0177); /* nobody else may connect, from the first moment on */
	ok = make_way(&at) && open_at(admin, &admin->control, (const struct sockaddr *)&at, sizeof(at));
	umask(before);
	if (!ok)
		log_error("control.socket: %s cannot be opened (%s)", path,
			errno == EADDRINUSE ? "another process answers there" : errno == EEXIST ? "a file that is no socket is there" : strerror(errno));
	return ok;
}

bool door_open_metrics(struct admin *admin, const char *ip, uint16_t port)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at;
	socklen_t len = sizeof(at);
	bool ok;

	admin->metrics.asked = http_asked;
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		ok = open_at(admin, &admin->metrics, (const struct sockaddr *)v4, sizeof(*v4));
	} else {
		inet_pton(AF_INET6, ip, &v6->sin6_addr);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		ok = open_at(admin, &admin->metrics, (const struct sockaddr *)v6, sizeof(*v6));
	}
	if (!ok) {
		log_error("metrics: %s, port %u cannot be opened (%m)", ip, port);
		return false;
	}
	getsockname(admin->metrics.watch.fd, (struct sockaddr *)&at, &len);
	admin->metrics_port = ntohs(at.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
	log_notice("[%s, port=%u] listening for HTTP requests of /metrics", ip, admin->metrics_port);
	return true;
}
