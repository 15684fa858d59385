/* fuzz_dispatch.c - one input, a script for the world (tests/world/world.h): whatever peers and the database say, in whatever order, nothing is
 * lost or doubled, nobody hears what is not for him, nothing is left.
 * Threads: one.
 * Owns: the world, made by the first input, until the end of the process.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../world/world.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool open;

	if (!open) {
		const char *dir = getenv("srcdir");
		char path[1000];

		snprintf(path, sizeof(path), "%s/doc/sm.xml", dir ? dir : ".");
		world_open(path);
		atexit(world_close);
		open = true;
	}
	if (size > 8000)
		return 0;
	world_play(span_of((const char *)data, size), true);
	return 0;
}
