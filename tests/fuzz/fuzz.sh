#!/bin/sh
# fuzz.sh - builds fuzz targets with clang and runs each for some seconds; what is found stays beside the corpus that it grew in.
# Usage: fuzz.sh SECONDS TARGET... with srcdir, CPPFLAGS, LIBS and WORLD_WRAP in the environment, as make fuzz does. FUZZ_DIR: where to (./fuzz).
# FUZZ_MERGE=1: writes what adds coverage back to tests/fuzz/corpus, and runs nothing.
seconds=$1
shift
root=$(cd "$srcdir" && pwd)
dir=${FUZZ_DIR:-fuzz}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
for clang in clang clang-14 none; do
	command -v $clang >/dev/null && break
done
echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n == 7; }' >"$dir/probe.c"
if ! $clang -fsanitize=fuzzer,address "$dir/probe.c" -o "$dir/probe" 2>"$dir/probe.log"; then
	echo "fuzz: clang with libFuzzer is missing: install the Debian packages clang and libclang-rt-14-dev" >&2
	exit 1
fi

# Everything but what stands in for the store's threads is fuzzed as it is.
sources() { # TARGET
	case $1 in
	route) echo "$root/tests/xmpp/oracle.c $root/tests/xmpp/compare.c" ;;
	dispatch | rows)
		for f in world world_check world_links memory_store unscarce; do
			echo "$root/tests/world/$f.c"
		done
		;;
	esac
	case $1 in
	dispatch | rows) find "$root/src" -mindepth 2 -name '*.c' ! -path '*/src/store/*' && echo "$root/src/store/request.c $root/src/store/schema.c" ;;
	jid | route) echo "$root"/src/xmpp/*.c ;;
	*) echo "$root"/src/core/*.c "$root"/src/xmpp/*.c ;;
	esac
}

failed=0
for target; do
	echo "fuzz: $target"
	wrap= mask=
	case $target in
	config) mask=-close_fd_mask=2 ;; # what is wrong with a file is said on stderr
	dispatch | rows) wrap=$WORLD_WRAP ;;
	esac
	# A pointer to a member of NULL is how liburcu's walks end.
	# The flags are quoted for a shell. What the sources share is compiled anew for each target: it takes half a minute.
	eval "$clang -g -O1 -std=gnu11 -pthread -DSHARDSM_DEVELOPER -DRCU_DEBUG $CPPFLAGS ${COVERAGE:-} -fsanitize=fuzzer,address,undefined" \
		"-fno-sanitize=pointer-overflow -fno-sanitize-recover=undefined $root/tests/fuzz/fuzz_$target.c" $(sources "$target") \
		"$(printf '%s' "$LIBS" | sed 's/-ljemalloc//') $wrap" -o "$dir/$target" || exit 1
	corpus=$root/tests/fuzz/corpus/$target
	mkdir -p "$dir/corpus-$target"
	if [ -n "$FUZZ_MERGE" ]; then
		rm -rf "$dir/merged" && mkdir "$dir/merged"
		srcdir=$root "$dir/$target" -merge=1 -max_len=4000 "$dir/merged" "$corpus" "$dir/corpus-$target" >"$dir/$target.log" 2>&1 || failed=1
		[ "$failed" -ne 0 ] || cp "$dir/merged"/* "$corpus"/
		continue
	fi
	# shellcheck disable=SC2086
	srcdir=$root nice -n 19 "$dir/$target" -dict="$root/tests/fuzz/xmpp.dict" -max_len=4000 -timeout=30 -rss_limit_mb=3000 \
		-artifact_prefix="$dir/$target-" -max_total_time="$seconds" $mask "$dir/corpus-$target" "$corpus" >"$dir/$target.log" 2>&1 || {
		tail -n 30 "$dir/$target.log"
		failed=1
	}
	tail -n 1 "$dir/$target.log"
done
exit $failed
