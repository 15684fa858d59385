#!/bin/sh
# fuzz.sh - builds fuzz targets with clang and runs each for some seconds; what is found stays beside the corpus that it grew in.
# Usage: fuzz.sh SECONDS|merge|coverage 'TARGET...' CPPFLAG... with srcdir and LIBS in the environment, and WORLD_WRAP and LINKS_WRAP, what the
# linker is told for the targets of tests/world and for link; as make fuzz does. FUZZ_DIR: where to (./fuzz).
# merge: writes what reaches more code back to tests/fuzz/corpus. coverage: says what of each file the corpora reach, and which lines they do not
# (FUZZ_DIR/TARGET.lines).
what=$1
targets=$2
shift 2
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

# A pointer to a member of NULL is how liburcu's walks end. Comparisons are not traced: they are of characters, which the dictionary knows
# better, and cost a quarter of the time.
sanitize="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=undefined \
	-fno-sanitize-coverage=trace-cmp"
link="-fsanitize=fuzzer,address,undefined"
replay=
if [ "$what" = coverage ]; then
	sanitize="-fprofile-instr-generate -fcoverage-mapping"
	link=$sanitize
	replay=$root/tests/fuzz/fuzz_replay.c
fi

built=$(pwd) # config.h
room=$dir
compile() { # CPPFLAG...: what stdin names, to objects in $room
	mkdir -p "$room"
	# shellcheck disable=SC2086
	(cd "$room" && xargs -n 4 -P "$(nproc)" $clang -c -g -O2 -std=gnu11 -pthread -DSHARDSM_DEVELOPER -DRCU_DEBUG $sanitize "$@" -I"$built")
}

own() { # TARGET: sources besides fuzz_TARGET.c
	case $1 in
	route) echo xmpp/oracle xmpp/compare ;;
	link) echo xmpp/oracle xmpp/compare fuzz/links fuzz/links_peer fuzz/links_told fuzz/links_wire world/alone world/unscarce ;;
	dispatch | rows) echo world/alone world/world world/world_check world/world_links world/memory_store world/unscarce ;;
	esac
}

rm -rf "$dir/obj" "$dir/libfuzzed.a"
for sources in "$root"/src/*/; do
	room=$dir/obj/$(basename "$sources")
	printf '%s\n' "$sources"*.c | compile "$@" || exit 1
done
ar crs "$dir/libfuzzed.a" "$dir"/obj/*/*.o

# The heavier a target, the less time there is for a long input and for libFuzzer's weighing of all that it reaches.
options() { # TARGET
	case $1 in
	dispatch | rows | link) echo "-max_len=2500 -entropic=0" ;;
	config) echo "-max_len=4000 -close_fd_mask=2" ;; # what is wrong with a file is said on stderr
	*) echo "-max_len=4000" ;;
	esac
}

failed=0
for target in $targets; do
	echo "fuzz: $target"
	wrap=
	case $target in
	link) wrap=$LINKS_WRAP ;;
	dispatch | rows) wrap=$WORLD_WRAP ;;
	esac
	room=$dir/obj/target-$target
	corpus=$root/tests/fuzz/corpus/$target
	{
		for source in "fuzz/fuzz_$target" $(own "$target"); do
			echo "$root/tests/$source.c"
		done
		[ -z "$replay" ] || echo "$replay"
	} | compile "-DCORPUS=\"tests/fuzz/corpus/$target\"" "$@" || exit 1
	# shellcheck disable=SC2086
	$clang $link -pthread "$room"/*.o "$dir/libfuzzed.a" $(printf '%s' "$LIBS" | sed 's/-ljemalloc//') $wrap -o "$dir/$target" || exit 1
	mkdir -p "$dir/corpus-$target"
	export srcdir="$root" ASAN_OPTIONS="malloc_context_size=6:quarantine_size_mb=16:max_malloc_fill_size=0:$ASAN_OPTIONS"
	case $what in
	merge)
		"$dir/$target" -merge=1 -use_counters=0 -max_len=8000 "$corpus" "$dir/corpus-$target" >"$dir/$target.log" 2>&1 || failed=1
		;;
	coverage)
		LLVM_PROFILE_FILE=$dir/$target.profraw "$dir/$target" >/dev/null || failed=1
		"$($clang -print-prog-name=llvm-profdata)" merge "$dir/$target.profraw" -o "$dir/$target.profdata"
		cov=$($clang -print-prog-name=llvm-cov)
		"$cov" report "$dir/$target" -instr-profile="$dir/$target.profdata" -show-region-summary=false "$root/src"
		"$cov" show "$dir/$target" -instr-profile="$dir/$target.profdata" "$root/src" >"$dir/$target.lines"
		;;
	*)
		# shellcheck disable=SC2046
		nice -n 19 "$dir/$target" -dict="$root/tests/fuzz/xmpp.dict" $(options "$target") -timeout=30 -rss_limit_mb=3000 -print_funcs=0 \
			-artifact_prefix="$dir/$target-" -max_total_time="$what" "$dir/corpus-$target" "$corpus" >"$dir/$target.log" 2>&1 || {
			tail -n 30 "$dir/$target.log"
			failed=1
		}
		tail -n 1 "$dir/$target.log"
		;;
	esac
done
exit $failed
