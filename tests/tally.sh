#!/bin/sh
# tally.sh - how ./check counts test cases.
root=${srcdir:-$(dirname "$0")/..}
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

log() { # NAME RESULT TEXT
	printf ':test-result: %s\n:global-test-result: %s\n' "$2" "$2" >"$dir/$1.trs"
	printf "$3" >"$dir/$1.log"
}

total_is() { # WHAT PASSED FAILED
	got=$(awk -f "$root/scripts/tally.awk" "$dir"/*.trs | tail -n 1)
	if [ "$got" = "TOTAL $2 $3" ]; then
		passed=$((passed + 1))
	else
		echo "$1: '$got' instead of 'TOTAL $2 $3'"
		failed=$((failed + 1))
	fi
	rm -f "$dir"/*
}

log a PASS '[====] Synthesis: Tested: 12 | Passing: 12 | Failing: 0 | Crashing: 0 \n'
log b PASS 'x\n# 3 passed, 0 failed\n# 2 passed, 0 failed\n'
log c PASS 'silent\n'
total_is "what passes" 18 0
log a FAIL '[====] Synthesis: Tested: 12 | Passing: 9 | Failing: 3 | Crashing: 2 \n'
log b FAIL '# 3 passed, 4 failed\n'
total_is "what fails" 12 7
log a FAIL 'Segmentation fault\n'
log b FAIL '# 3 passed, 0 failed\n'
log c ERROR ''
total_is "what dies without counting it" 3 3
log a PASS '# 1 passed, 2 failed\n'
total_is "a failure that the exit status hides" 1 2
log a SKIP 'no database\n'
total_is "what is skipped" 0 0
log a XFAIL 'WARNING: a race\n'
log b XPASS 'nothing\n'
total_is "what must fail" 1 1
log a PASS 'so # 5 passed, 5 failed\n'
total_is "a line that only quotes one" 1 0
: >"$dir/a.trs"
total_is "a test that was cut short" 0 1
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
