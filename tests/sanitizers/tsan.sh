#!/bin/sh
# tsan.sh - under the thread sanitizer: everything that has threads, for minutes; a race that was planted must be reported.
sanitizer=tsan
long_tests() {
	run check-threads
}
. "$(dirname "$0")/run.sh"
