#!/bin/sh
# configure.sh - configure without one of the libraries stops, and names the Debian package; with all of them it says what it found.
# pkg-config is shown a directory of our own, so that what this machine has does not matter.
root=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/shardsm-configure.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
passed=0
failed=0

good() { # WHAT STATUS
	if [ "$2" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$1"
		tail -n 20 "$dir/out"
	fi
}

# A tree that can be configured, in a place that can be written to.
mkdir "$dir/tree" "$dir/tree/src" "$dir/pc" || exit 1
cp "$root/configure" "$root/config.h.in" "$root/Makefile.in" "$dir/tree" && cp -R "$root/build-aux" "$dir/tree" &&
	cp "$root/src/main.c" "$dir/tree/src" || exit 1
chmod -R u+w "$dir/tree"
cd "$dir/tree" || exit 1

module() { # NAME VERSION
	printf 'Name: %s\nDescription: %s\nVersion: %s\nLibs:\nCflags:\n' "$1" "$1" "$2" >"$dir/pc/$1.pc"
}

# A line for each need: its Debian package, and the names of its pkg-config files.
needs() {
	sed -n 's/^SHARDSM_NEED(\[[A-Z0-9]*\], \[\([^]]*\)\], \[[^]]*\], \[\([^]]*\)\])$/\2 \1/p' "$root/configure.ac" |
		sed 's/ >= [0-9.]*//g'
}

run() {
	PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR="$dir/pc" ./configure --cache-file="$dir/cache" "$@" >"$dir/out" 2>&1
	status=$?
	# What was said about libraries is not to be remembered.
	if [ -e "$dir/cache" ]; then
		grep -v 'pkg_cv_' "$dir/cache" >"$dir/cache.new"
		mv "$dir/cache.new" "$dir/cache"
	fi
	return $status
}

needs >"$dir/needs"
[ "$(wc -l <"$dir/needs")" -ge 7 ]
good "found only these in configure.ac: $(cat "$dir/needs")" $?
while read -r _ modules; do
	for m in $modules; do
		module "$m" 99
	done
done <"$dir/needs"

run
good "with everything that is needed configure fails" $?
grep -q '^shardsm [0-9]' "$dir/out" && grep -q 'configuration *.*/etc/sm.xml' "$dir/out" && grep -q 'libcriterion-dev' "$dir/out"
good "what configure found is not told" $?

while read -r package modules; do
	for m in $modules; do
		rm "$dir/pc/$m.pc"
		! run
		good "without $m configure goes on" $?
		grep -q "is missing: install the Debian package $package\$" "$dir/out"
		good "without $m the package $package is not named" $?
		module "$m" 0.0.1
		# Not each of the two that liburcu is made of has a version of its own to ask for.
		if grep -q "$m >=" "$root/configure.ac"; then
			! run
			good "with an old $m configure goes on" $?
		fi
		module "$m" 99
	done
done <"$dir/needs"

! run --enable-asan --enable-tsan
good "two sanitizers at once" $?
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
