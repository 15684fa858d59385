/* fuzz_link.c - one input, a script of bytes on links (links.h): who reads the envelopes, what is remembered of start tags and how the bytes
 * are cut into reads make no difference to what peers are told and shards get.
 * Threads: one.
 * Owns: the links, opened by the first input, until the end of the process.
 */
#include <stdlib.h>

#include "../world/alone.h"
#include "fuzz.h"
#include "links.h"

static void same(const char *what, unsigned i, struct span a, struct span b, bool whole)
{
	uint32_t n = a.n < b.n ? a.n : b.n;

	if ((whole && a.n != b.n) || (n && memcmp(a.p, b.p, n) != 0))
		broken("%s %u:\n" SPAN_FMT "\nagainst:\n" SPAN_FMT, what, i, SPAN_ARG(a), SPAN_ARG(b));
}

/* As far as it must be the same: to the end, or to where one of the streams broke off. */
static void compare(const struct records *a, const struct records *b, bool whole)
{
	for (unsigned i = 0; i < LINKS; i++)
		same("told", i, buf_span(&a->told[i]), buf_span(&b->told[i]), whole);
	for (unsigned i = 0; i < LINKS_SHARDS; i++)
		same("shard", i, buf_span(&a->posted[i]), buf_span(&b->posted[i]), whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct records first, other;
	static bool open;
	struct span script = span_of((const char *)data, size);

	if (!open) {
		links_open();
		atexit(links_close);
		open = true;
	}
	if (size > 8000)
		return 0;
	uint32_t lines = links_play(script, &(struct manner){ .shapes = true, .lines = LINKS_TO_THE_END }, &first);

	links_play(script, &(struct manner){ .pieces = true, .lines = lines }, &other);
	compare(&first, &other, lines == LINKS_TO_THE_END);
	links_play(script, &(struct manner){ .mxml = true, .lines = lines }, &other);
	compare(&first, &other, lines == LINKS_TO_THE_END);
	return 0;
}
