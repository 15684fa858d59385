#!/bin/sh
# asan.sh - under the address and undefined behaviour sanitizers: every transcript with 1 to 64 workers and both parsers, on SQLite and on
# database servers, and everything at once; then no leak.
sanitizer=asan
long_tests() {
	SHARDSM_CHECK_FULL=1 run check TESTS='tests/system/run_transcripts.py tests/system/loaded.py'
	run check TESTS=tests/system/on_databases.py
	run check TESTS=tests/system/crash_loop.py
}
. "$(dirname "$0")/run.sh"
