#!/bin/sh
# run.sh - a build with a sanitizer, in a directory below this build's, and long tests in it. Sourced with $sanitizer set and a function
# long_tests, which calls run for each. For make check-full of an ordinary build.
root=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd)
build=full-$sanitizer
passed=0
failed=0
unset MAKEFLAGS MFLAGS MAKELEVEL SHARDSM SHARDSM_BENCH
if [ -e "$root/config.status" ]; then
	echo "# skipped: $root is a build itself: configure in another directory"
	exit 77
fi
mkdir -p "$build"
# As this build was configured, with the sanitizer.
eval "set -- $(./config.status --config)"
(cd "$build" && "$root/configure" "$@" --enable-developer "--enable-$sanitizer") >"$build/configure.log" 2>&1 || { tail -n 20 "$build/configure.log"; exit 1; }
make -C "$build" -j"$(nproc)" all >"$build/make.log" 2>&1 || { tail -n 40 "$build/make.log"; exit 1; }

# run MAKE-ARGUMENT...: tests of the build; their cases are counted.
run() {
	find "$build" \( -name '*.trs' -o -name test-suite.log \) -exec rm -f {} +
	make -C "$build" "$@" >"$build/check.log" 2>&1
	status=$?
	grep -E '^(PASS|FAIL|SKIP|XFAIL|XPASS|ERROR): ' "$build/check.log"
	find "$build" -name '*.trs' | sort | xargs awk -f "$root/scripts/tally.awk" >"$build/tally"
	sed -n 's/^LOG //p' "$build/tally" | while read -r log; do
		printf '\n--- the end of %s\n' "$log"
		tail -n 100 "$log"
	done
	set -- $(sed -n 's/^TOTAL //p' "$build/tally")
	passed=$((passed + $1))
	failed=$((failed + $2))
	if [ "$status" -ne 0 ] && [ "$2" -eq 0 ]; then
		tail -n 40 "$build/check.log"
		failed=$((failed + 1))
	fi
}

long_tests
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
