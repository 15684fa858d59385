/* out_of_memory.c - every allocation of a script fails in its turn: nobody crashes, nothing is left, what was asked is answered at most once, and
 * afterwards everything is served as if nothing had been. Built with the address sanitizer (--enable-asan): nothing is lost.
 * Threads: one.
 * Owns: the world.
 *
 * Usage: the scripts, as files or directories; without, some of the fuzz corpus' (all with SHARDSM_CHECK_FULL in the environment).
 * OUT_OF_MEMORY_FROM in the environment: the first allocation to fail, for a repetition.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "scarce.h"
#include "world.h"

#define SCRIPT_MAX 16384
#define TRIES_MAX 200000u
#define STRIDE 6 /* of the corpus, every one of so many */

/* Everyday life, with a bit of everything. */
static const char control[] =
	"+a0home\n+b1work\na<presence/>\nb<presence><priority>1</priority></presence>\n"
	"a<iq type='get'><query xmlns='jabber:iq:roster'/></iq>\n"
	"a<iq type='set'><query xmlns='jabber:iq:roster'><item jid='bob@shard.test'><group>g</group></item></query></iq>\n"
	"a<presence type='subscribe' to='bob@shard.test'/>\nb<presence type='subscribed' to='alice@shard.test'/>\n"
	"a<message to='bob@shard.test' type='chat'><body>hi</body></message>\na<message to='carol@shard.test'><body>kept</body></message>\n"
	"n<message from='x@other.test/r' to='bob@shard.test'><body>ho</body></message>\n"
	"a<iq type='get' to='shard.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>\n"
	"+c2home\nc<presence/>\n";

static unsigned passed, failed, stride = 1;

/* What the control script makes everybody hear, once and for all. */
static bool serves(char **before)
{
	world_play(span_of(control, sizeof(control) - 1), true);
	struct span now = world_summary();
	bool same = *before && span_is(now, *before);

	if (!*before) {
		*before = strndup(now.p, now.n);
		return true;
	}
	if (!same)
		printf("heard afterwards:\n%.*s\nbefore:\n%s\n", (int)now.n, now.p, *before);
	return same;
}

/* With the leak sanitizer: is anything lost that was not before? It is looked at after each script, so that it is known whose it is. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static bool leaks(void)
{
	return __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check() != 0;
}

/* Fails every allocation of the script in turn. more: how many behind it fail too. */
static bool starve(const char *name, struct span script, uint64_t more, char **before)
{
	const char *first = getenv("OUT_OF_MEMORY_FROM");
	uint64_t n = first ? (uint64_t)atoll(first) : 1;
	bool reached = true;

	for (; reached && n < TRIES_MAX; n++) {
		if (first)
			fprintf(stderr, "%s: %llu+%llu\n", name, (unsigned long long)n, (unsigned long long)more);
		scarce_begin(n, more);
		world_play(script, false);
		reached = scarce_end();
		if (n % 16 == 0 && !serves(before)) {
			printf("not ok %s: not served as before after allocation %llu+%llu\n", name, (unsigned long long)n, (unsigned long long)more);
			return false;
		}
	}
	if (!serves(before)) {
		printf("not ok %s: not served as before\n", name);
		return false;
	}
	if (leaks()) {
		printf("not ok %s: allocation 1 to %llu, each with %llu behind it: memory is lost\n", name, (unsigned long long)n - 1,
			(unsigned long long)more);
		return false;
	}
	printf("ok %s: %llu allocations, each with %llu behind it\n", name, (unsigned long long)n - 1, (unsigned long long)more);
	return !reached;
}

static void play_file(const char *path)
{
	static char text[SCRIPT_MAX];
	static char *before;
	FILE *f = fopen(path, "rb");
	struct span script;

	if (!f) {
		perror(path);
		exit(1);
	}
	script = span_of(text, fread(text, 1, sizeof(text), f));
	fclose(f);
	if (!before)
		(void)serves(&before);
	for (uint64_t more = 0; more <= (stride == 1 ? 8 : 0); more += 8) {
		bool ok = starve(path, script, more, &before);

		passed += ok;
		failed += !ok;
	}
}

static void play(const char *path)
{
	struct stat st;
	struct dirent **names;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		play_file(path);
		return;
	}
	int n = scandir(path, &names, NULL, alphasort);

	for (unsigned i = 0; n > 0 && i < (unsigned)n; i++) {
		char whole[1500];

		snprintf(whole, sizeof(whole), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && i % stride == 0)
			play_file(whole);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

int main(int argc, char **argv)
{
	const char *dir = getenv("srcdir");
	char path[1000];

	snprintf(path, sizeof(path), "%s/doc/sm.xml", dir ? dir : ".");
	world_open(path);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		play(argv[i]);
	if (argc < 2) {
		stride = getenv("SHARDSM_CHECK_FULL") ? 1 : STRIDE;
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/dispatch", dir ? dir : ".");
		play(path);
	}
	world_close();
	printf("# %u passed, %u failed\n", passed, failed);
	return failed != 0;
}
