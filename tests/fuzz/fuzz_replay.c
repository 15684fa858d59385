/* fuzz_replay.c - feeds a fuzz target every file of a directory: the corpus as a test, with any compiler.
 * Threads: one.
 * Owns: one file's bytes at a time.
 *
 * Usage: the directory as the argument, else CORPUS (a macro) below $srcdir.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define MAX (1u << 20)

static int replay(const char *dir, const char *name)
{
	char path[1500];
	uint8_t *bytes;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return 1;
	}
	bytes = malloc(MAX);
	size_t n = bytes ? fread(bytes, 1, MAX, f) : 0;
	fclose(f);
	/* A copy of its own, as long as the input: reads past it are seen. */
	uint8_t *exact = malloc(n ? n : 1);
	int failed = !bytes || !exact;
	if (!failed) {
		memcpy(exact, bytes, n);
		failed = LLVMFuzzerTestOneInput(exact, n) != 0;
	}
	free(exact);
	free(bytes);
	return failed;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	char dir[1000];
	unsigned files = 0;
	int failed = 0;

	snprintf(dir, sizeof(dir), "%s/%s", srcdir ? srcdir : ".", CORPUS);
	if (argc > 1)
		snprintf(dir, sizeof(dir), "%s", argv[1]);
	DIR *d = opendir(dir);
	if (!d) {
		perror(dir);
		return 1;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		failed |= replay(dir, e->d_name);
		files++;
	}
	closedir(d);
	printf("%u files of %s\n", files, dir);
	return failed || files == 0;
}
