#!/bin/sh
# install.sh - make install puts each thing into its place, and make uninstall takes all of it away. In the build directory.
dir=$(mktemp -d "${TMPDIR:-/tmp}/shardsm-install.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
passed=0
failed=0
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR

good() { # WHAT STATUS
	if [ "$2" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$1"
	fi
}

value() { # NAME: of a variable in the Makefile, as configure left it
	printf 'include Makefile\nshow:\n\t@echo $(%s)\n' "$1" | ${MAKE:-make} -s -f - show | tail -n 1
}

bin=$(value bindir)
man=$(value mandir)
doc=$(value docdir)
${MAKE:-make} install DESTDIR="$dir/root" >"$dir/out" 2>&1
good "make install: $(tail -n 5 "$dir/out")" $?
for file in "$bin/shardsm" "$bin/shardsm-bench" "$bin/shardsm-bench-report" "$man/man8/shardsm.8" "$man/man5/shardsm.xml.5" "$bin/shardsm-ctl" "$man/man1/shardsm-ctl.1" "$man/man1/shardsm-bench.1" \
	"$doc/examples/sm.xml" "$doc/examples/shardsm.service"; do
	[ -s "$dir/root$file" ]
	good "not installed: $file" $?
done
[ "$(find "$dir/root" -type f | wc -l)" -eq 10 ]
good "installed besides: $(find "$dir/root" -type f)" $?
grep -q "^ExecStart=$bin/shardsm -c " "$dir/root$doc/examples/shardsm.service"
good "the unit does not start $bin/shardsm" $?
! grep -q '@[a-z]*@' "$dir/root$doc/examples/shardsm.service"
good "the unit has a name that was not replaced" $?
"$dir/root$bin/shardsm" --version | grep -q '^shardsm [0-9]'
good "what was installed does not run" $?
${MAKE:-make} uninstall DESTDIR="$dir/root" >"$dir/out" 2>&1
good "make uninstall: $(tail -n 5 "$dir/out")" $?
[ -z "$(find "$dir/root" -type f)" ]
good "left behind: $(find "$dir/root" -type f)" $?
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
