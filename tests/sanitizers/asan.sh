#!/bin/sh
# asan.sh - under the address and undefined behaviour sanitizers: every transcript with 1 to 64 workers and both parsers, on SQLite and on
# database servers, and everything at once; then no leak.
sanitizer=asan
# check-TESTS, not check: whole servers are all that it needs, and building every test program takes longer than some of them.
long_tests() {
	run check-TESTS TESTS='tests/system/run_transcripts.py tests/system/loaded.py'
	run check-TESTS TESTS='tests/system/on_databases.py tests/system/crash_loop.py'
}
. "$(dirname "$0")/run.sh"
