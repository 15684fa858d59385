#!/bin/sh
# on_server.sh - runs the store's tests on a database server of their own: on_server.sh pgsql|mysql. Sourced with $engine set.
here=$(dirname "$0")
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH
sh "$here/server.sh" "$engine" have || exit 77
dir=$(mktemp -d "/tmp/shardsm-$engine-XXXXXX") || exit 99
ended() {
	status=$?
	trap '' INT TERM HUP
	sh "$here/server.sh" "$engine" stop "$dir" 2>/dev/null
	[ "$status" = 0 ] || tail -n 30 "$dir/server.log" 2>/dev/null
	rm -rf "$dir"
	exit "$status"
}
trap ended EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$dir"
sh "$here/server.sh" "$engine" make "$dir" && sh "$here/server.sh" "$engine" start "$dir" || exit 1
SHARDSM_TEST_ENGINE=$engine
SHARDSM_TEST_SERVER=$dir
SHARDSM_TEST_CONTROL=$here/server.sh
export SHARDSM_TEST_ENGINE SHARDSM_TEST_SERVER SHARDSM_TEST_CONTROL
result=0
for program in ${SHARDSM_TEST_PROGRAMS:-verbs trouble server_opening threads outage}; do
	[ -x "tests/store/$program" ] || continue
	echo "--- $program on $engine"
	if "tests/store/$program" $([ "$program" = outage ] && echo -j1); then
		case $program in
		threads) echo "# 1 passed, 0 failed" ;;
		esac
	else
		result=1
		case $program in
		threads) echo "# 0 passed, 1 failed" ;;
		esac
	fi
done
exit "$result"
