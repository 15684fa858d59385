# common.sh - what ./check and ./quickstart share: missing packages, and builds out of tree. Sourced by sh in the repository's root.

# Always Debian's: another python first in PATH would not have its packages.
PYTHON=/usr/bin/python3

note() {
	printf '%s\n' "$*" >&2
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		note "root is needed for: $*"
		return 1
	fi
}

# Debian's jabberd2 starts its services when it is installed. A policy-rc.d that says no, there only while apt-get runs.
install_without_services() {
	policy=/usr/sbin/policy-rc.d
	made_policy=no
	if [ ! -e "$policy" ]; then
		as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy" || return 1
		made_policy=yes
		trap 'as_root rm -f "$policy"' EXIT
		trap 'exit 130' INT TERM HUP
	fi
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
	status=$?
	if [ "$made_policy" = yes ]; then
		as_root rm -f "$policy"
		trap - EXIT INT TERM HUP
	fi
	return $status
}

# need LOG PACKAGE...: installs those that are missing. Nothing is asked of the network when none is.
need() {
	need_log=$1
	shift
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		note "not a Debian system: taking it that these are installed: $*"
		return 0
	fi
	missing=
	for package in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	note "installing$missing"
	mkdir -p "$(dirname "$need_log")"
	# shellcheck disable=SC2086
	{ as_root apt-get update && install_without_services $missing; } >"$need_log" 2>&1 && return 0
	tail -n 20 "$need_log" >&2
	note "could not install$missing: install them by hand"
	return 1
}

# build NAME TARGET [CONFIGURE ARGUMENT...]: builds TARGET in build/NAME, output in build/NAME/build.log, shown when it fails.
build() {
	build_dir=build/$1
	build_target=$2
	shift 2
	mkdir -p "$build_dir"
	if build_steps "$@" >"$build_dir/build.log" 2>&1; then
		return 0
	fi
	grep -n -m 20 -E 'error:|Error [0-9]|\*\*\*|: not found' "$build_dir/build.log" >&2
	note "--- the end of $build_dir/build.log"
	tail -n 40 "$build_dir/build.log" >&2
	return 1
}

build_steps() {
	if [ ! -e configure ] || [ ! -e Makefile.in ] || [ ! -e config.h.in ]; then
		./autogen.sh || return 1
	fi
	# Configured anew when the arguments or configure itself changed.
	if [ ! -e "$build_dir/Makefile" ] || [ configure -nt "$build_dir/config.status" ] ||
		[ "$(cat "$build_dir/arguments" 2>/dev/null)" != "$*" ]; then
		(cd "$build_dir" && ../../configure PYTHON3="$PYTHON" "$@") || return 1
		printf '%s\n' "$*" >"$build_dir/arguments"
	fi
	make -C "$build_dir" -j"$(nproc)" "$build_target" &
	wait_for $!
}

# wait_for PID: waits for a child of this shell and returns its status. A signal that ends the shell ends the child first.
wait_for() {
	child=$1
	trap 'kill "$child"; wait "$child"; exit 130' INT TERM HUP
	wait "$child"
	set -- $?
	trap - INT TERM HUP
	return "$1"
}
