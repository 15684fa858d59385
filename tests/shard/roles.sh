#!/bin/sh
# roles.sh - shard-private data touched by another thread is a compile error with clang: all of src/shard passes, planted breaches do not.
root=${srcdir:-$(dirname "$0")/../..}
clang=$(command -v clang || command -v clang-14) || {
	echo "# skipped: clang is missing: install the Debian package clang"
	exit 77
}
look() { # FILE [OPTION...]
	file=$1
	shift
	# shellcheck disable=SC2086
	"$clang" -fsyntax-only -std=gnu11 -D_GNU_SOURCE -DSHARDSM_DEVELOPER -DHAVE_CONFIG_H -I. -I"$root/include" -I"$root/src" ${ROLES_CPPFLAGS:-} \
		-Wthread-safety -Werror "$@" "$root/$file" 2>&1
}
passed=0
failed=0
verdict() { # WHAT STATUS
	if [ "$2" -eq 0 ]; then
		passed=$((passed + 1))
	else
		echo "not ok $1"
		failed=$((failed + 1))
	fi
}
for path in "$root"/src/shard/*.c; do
	said=$(look "src/shard/${path##*/}")
	verdict "${path##*/}: $said" $?
done
said=$(look tests/shard/other_thread.c -DSHARDS_OWN)
verdict "what the shard's thread may do: $said" $?
said=$(look tests/shard/other_thread.c)
[ $? -ne 0 ] && [ "$(echo "$said" | grep -c "requires holding role 'role_shard'")" -eq 3 ]
verdict "three breaches were planted, and found: $said" $?
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
