/* clock_test.c - the clock and how tests move it.
 * Threads: one.
 * Owns: temporary files.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "files.h"
#include "shardsm/clock.h"

TestSuite(clock, .fini = test_files_remove);

static int64_t off(void)
{
	return clock_wall() - (int64_t)time(NULL);
}

Test(clock, wall_is_unix_time)
{
	cr_expect(off() >= -1 && off() <= 1, "%lld", (long long)off());
}

Test(clock, mono_never_goes_back)
{
	uint64_t before = clock_mono_ms();
	cr_expect_gt(before, 0);
	cr_expect_geq(clock_mono_ms(), before);
}

Test(clock, the_offset_file_moves_the_wall_clock_within_a_second)
{
	const char *path = test_file("86400\n");
	setenv("SHARDSM_CLOCK_OFFSET_FILE", path, 1);
	cr_expect(off() >= 86399 && off() <= 86401, "%lld", (long long)off());
	test_file_rewrite(path, "-5000");
	uint64_t start = clock_mono_ms();
	while (off() > 0 && clock_mono_ms() - start < 3000)
		;
	cr_expect(off() >= -5001 && off() <= -4999, "%lld", (long long)off());
}

Test(clock, a_missing_offset_file_moves_nothing)
{
	setenv("SHARDSM_CLOCK_OFFSET_FILE", test_path("none"), 1);
	cr_expect(off() >= -1 && off() <= 1);
}
