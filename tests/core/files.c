/* files.c - see files.h.
 * Threads: one.
 * Owns: one directory below $TMPDIR.
 */
#include "files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[256], paths[32][320];
static int npaths;
static int saved[3] = { -1, -1, -1 };
static const char *caught_path[3];

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

const char *test_path(const char *name)
{
	if (!dir[0]) {
		const char *tmp = getenv("TMPDIR");
		snprintf(dir, sizeof(dir), "%s/shardsm-test-XXXXXX", tmp ? tmp : "/tmp");
		must(mkdtemp(dir) != NULL, dir);
	}
	must(npaths < 32, "too many files in one test");
	snprintf(paths[npaths], sizeof(paths[0]), "%s/%d-%s", dir, npaths, name);
	return paths[npaths++];
}

const char *test_file_bytes(const void *bytes, size_t n)
{
	const char *path = test_path("file");
	FILE *f = fopen(path, "w");
	must(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, path);
	return path;
}

const char *test_file(const char *text)
{
	return test_file_bytes(text, strlen(text));
}

void test_file_rewrite(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	must(f && fputs(text, f) >= 0 && fclose(f) == 0, path);
}

const char *test_read(const char *path)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	return text;
}

void test_files_remove(void)
{
	while (npaths > 0)
		unlink(paths[--npaths]);
	if (dir[0])
		rmdir(dir);
	dir[0] = '\0';
}

void test_catch(int fd)
{
	fflush(NULL);
	caught_path[fd] = test_path("caught");
	saved[fd] = dup(fd);
	int file = open(caught_path[fd], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	must(saved[fd] >= 0 && file >= 0 && dup2(file, fd) == fd, "catch");
	close(file);
}

const char *test_caught(int fd)
{
	fflush(NULL);
	if (saved[fd] >= 0) {
		must(dup2(saved[fd], fd) == fd, "caught");
		close(saved[fd]);
		saved[fd] = -1;
	}
	return test_read(caught_path[fd]);
}
