/* ctl.c - shardsm-ctl: one command to the control socket of a running shardsm, its answer on stdout.
 * Threads: one.
 * Owns: nothing that outlives it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "shardsm/config.h"

#define EXIT_USAGE 2
#define LINE_MAX_BYTES 4000

static int usage(FILE *out)
{
	fputs("usage: shardsm-ctl [-c FILE | -s SOCKET] COMMAND [ARGUMENT]\n"
	      "  -c FILE    shardsm's configuration, which names the socket (" SYSCONFDIR "/sm.xml)\n"
	      "  -s SOCKET  the socket\n"
	      "  -h         this; -V the version\n"
	      "The command `help' lists the others.\n", out);
	return out == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

/* The path that the configuration names, malloc'd. NULL: it was said why there is none. */
static char *socket_of(const char *file)
{
	struct config *config = config_load(file, NULL);
	struct span path = config ? config_text(config, "control.socket", "") : (struct span){ 0 };
	char *copy = path.n ? strndup(path.p, path.n) : NULL;

	if (config && !path.n)
		fprintf(stderr, "shardsm-ctl: %s names no socket (wanted: <control><socket>/run/jabberd2/shardsm.sock</socket></control>)\n", file);
	config_free(&config);
	return copy;
}

static int dial(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(at.sun_path)) {
		fprintf(stderr, "shardsm-ctl: %s: too long for a socket's path\n", path);
		return -1;
	}
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
		fprintf(stderr, "shardsm-ctl: %s: %s%s\n", path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED ? " (is shardsm running, with this <control><socket>?)" : "");
		return -1;
	}
	return fd;
}

static bool ask(int fd, char **words, int n)
{
	char line[LINE_MAX_BYTES + 2];
	size_t used = 0;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		if (used + len + 1 > LINE_MAX_BYTES || memchr(words[i], '\n', len)) {
			fputs("shardsm-ctl: that command is too long, or has more than one line\n", stderr);
			return false;
		}
		if (i)
			line[used++] = ' ';
		memcpy(line + used, words[i], len);
		used += len;
	}
	line[used++] = '\n';
	for (size_t sent = 0; sent < used;) {
		ssize_t k = send(fd, line + sent, used - sent, MSG_NOSIGNAL);

		if (k < 0 && errno != EINTR)
			break; /* it may have said why it hung up */
		sent += k > 0 ? (size_t)k : 0;
	}
	return true;
}

/* The first line says how it went. */
static int show(FILE *answer)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = getline(&line, &cap, answer);
	bool good = n > 0 && strcmp(line, "ok\n") == 0;

	if (n <= 0)
		fputs("shardsm-ctl: no answer\n", stderr);
	else if (!good)
		fprintf(stderr, "shardsm-ctl: %s", strncmp(line, "error: ", 7) == 0 ? line + 7 : line);
	while ((n = getline(&line, &cap, answer)) > 0)
		fwrite(line, 1, (size_t)n, good ? stdout : stderr);
	if (ferror(answer)) {
		fprintf(stderr, "shardsm-ctl: the answer broke off (%s)\n", strerror(errno));
		good = false;
	}
	free(line);
	return good && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const char *file = SYSCONFDIR "/sm.xml", *given = NULL;
	int opt, fd, status;
	char *path;
	FILE *answer;

	while ((opt = getopt(argc, argv, "+c:s:hV")) != -1) {
		if (opt == 'c') {
			file = optarg;
		} else if (opt == 's') {
			given = optarg;
		} else if (opt == 'V') {
			puts("shardsm-ctl " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		} else {
			return usage(opt == 'h' ? stdout : stderr);
		}
	}
	if (optind == argc)
		return usage(stderr);
	path = given ? strdup(given) : socket_of(file);
	fd = path ? dial(path) : -1;
	free(path);
	if (fd < 0)
		return EXIT_FAILURE;
	answer = ask(fd, argv + optind, argc - optind) ? fdopen(fd, "r") : NULL;
	status = answer ? show(answer) : EXIT_USAGE;
	if (answer)
		fclose(answer);
	return status;
}
