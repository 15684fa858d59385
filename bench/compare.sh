#!/bin/sh
# compare.sh - processor time of jabberd2's own sm and of shardsm under the same load, interleaved in one run.
# Threads: starts one session manager and one shardsm-bench at a time, stops what it started by its pid.
# Owns: a directory under $TMPDIR, removed at the end (kept, and named, when a run failed).
#
# usage: compare.sh [SHARDSM [SHARDSM-BENCH]]
# Environment: SIZES (sessions, "200 5000"), MESSAGES (200000 for jabberd2's sm, five times that for shardsm), ROUNDS (3), STOCK_SM (/usr/sbin/jabberd2-sm),
#   SM_XML (/etc/jabberd2/sm.xml), SQL (the schema that jabberd2 ships), BENCH_ARGS (more options for shardsm-bench).
# Exit code: 0 all runs right, 1 a run failed, 2 nothing to compare.
set -u

shardsm=${1:-src/shardsm}
bench=${2:-bench/shardsm-bench}
sizes=${SIZES:-200 5000}
messages=${MESSAGES:-200000}
rounds=${ROUNDS:-3}
stock=${STOCK_SM:-/usr/sbin/jabberd2-sm}
sm_xml=${SM_XML:-/etc/jabberd2/sm.xml}
sql=${SQL:-/usr/share/doc/jabberd2/db-setup.sqlite.gz}

die() { echo "compare.sh: $*" >&2; exit 2; }
[ -x "$bench" ] || die "$bench is missing: build it first"
[ -x "$stock" ] && [ -r "$sm_xml" ] || die "$stock or $sm_xml is missing: install the Debian package jabberd2"
command -v sqlite3 >/dev/null || die "sqlite3 is missing: install the Debian package sqlite3"

dir=$(mktemp -d "${TMPDIR:-/tmp}/shardsm-bench.XXXXXX") || exit 2
sm_pid= bench_pid= failed=0

# Stops one of our own children.
stop() {
	[ -n "$1" ] || return 0
	kill "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}
finish() {
	stop "$bench_pid"
	stop "$sm_pid"
	if [ "$failed" = 0 ]; then rm -rf "$dir"; else echo "compare.sh: logs and configs are kept in $dir" >&2; fi
}
trap finish EXIT
trap 'exit 1' INT TERM

# The configuration as shipped but for: where the router is, the domain, the database, the log, users made on demand.
write_config() { # FILE ROUTER-PORT DATABASE
	sed -e "s|<pidfile>.*</pidfile>||" -e "s|<log type='[a-z]*'>|<log type='stdout'>|" \
		-e "s|<port>5347</port>|<port>$2</port>|" -e "s|<id>localhost.localdomain</id>|<id>localhost</id>|" \
		-e "s|<dbname>.*sqlite.db</dbname>|<dbname>$3</dbname>|" -e 's|^  <user>$|  <user><auto-create/>|' "$sm_xml" >"$1"
}

# The same, but it listens and there is no router.
listen_config() { # FILE
	sed -i -e '/^  <router>$/,/^  <\/router>$/d' "$1"
	sed -i -e 's|^  <local>$|  <listen><ip>127.0.0.1</ip><port>0</port><user>jabberd</user><pass>secret</pass></listen>\n  <local>|' "$1"
}

# Users that exist already, so that session starts are compared and not the creation of users.
make_database() { # FILE SESSIONS
	case $sql in
	*.gz) zcat "$sql" ;;
	*) cat "$sql" ;;
	esac | sqlite3 "$1" >/dev/null || die "$sql: not a schema for SQLite"
	sqlite3 "$1" "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2)
		INSERT INTO active (\"collection-owner\", time) SELECT 'user' || i || '@localhost', 1 FROM n;" || die "$1: cannot be filled"
}

# Waits for a file or a log to say something, at most 10 s. The program's pid: give up when it is gone.
wait_for() { # PID COMMAND...
	pid=$1
	shift
	tries=0
	until "$@" 2>/dev/null; do
		tries=$((tries + 1))
		kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 200 ] || return 1
		sleep 0.05
	done
}

load() { # LABEL SESSIONS RUN-DIR, further options
	l_label=$1 l_sessions=$2 l_dir=$3
	shift 3
	l_messages=$messages
	[ "$l_label" = stock ] || l_messages=$((messages * 5)) # as many would be over before the clock can tell
	# shellcheck disable=SC2086
	"$bench" --label "$l_label" --sessions "$l_sessions" --messages "$l_messages" --tsv "$dir/figures.tsv" --quiet "$@" \
		${BENCH_ARGS:-} >"$l_dir/report" 2>"$l_dir/bench.log"
}

bad_run() { # LABEL RUN-DIR
	failed=1
	echo "compare.sh: $1 failed: $(tail -n 1 "$2/bench.log" "$2/sm.log" 2>/dev/null | tr '\n' ' ')" >&2
}

run_behind_router() { # LABEL PROGRAM SESSIONS RUN-DIR
	make_database "$4/sm.db" "$3"
	load "$1" "$3" "$4" --router 0 --port-file "$4/port" --pid-file "$4/pid" &
	bench_pid=$!
	if ! wait_for $bench_pid test -s "$4/port"; then
		bad_run "$1" "$4"
		return
	fi
	write_config "$4/sm.xml" "$(cat "$4/port")" "$4/sm.db"
	"$2" -c "$4/sm.xml" >"$4/sm.log" 2>&1 &
	sm_pid=$!
	echo $sm_pid >"$4/pid"
	wait $bench_pid || bad_run "$1" "$4"
	bench_pid=
	stop $sm_pid
	sm_pid=
}

run_listening() { # LABEL PROGRAM SESSIONS RUN-DIR
	make_database "$4/sm.db" "$3"
	write_config "$4/sm.xml" 0 "$4/sm.db"
	listen_config "$4/sm.xml"
	"$2" -c "$4/sm.xml" >"$4/sm.log" 2>&1 &
	sm_pid=$!
	if wait_for $sm_pid grep -q 'listening for components' "$4/sm.log"; then
		port=$(sed -n 's/.*port=\([0-9]*\)\] listening for components.*/\1/p' "$4/sm.log" | head -n 1)
		load "$1" "$3" "$4" --c2s "127.0.0.1:$port" --pid $sm_pid &
		bench_pid=$!
		wait $bench_pid || bad_run "$1" "$4"
		bench_pid=
	else
		bad_run "$1" "$4"
	fi
	stop $sm_pid
	sm_pid=
}

# Medians over the rounds; ratio: how many times less than jabberd2's sm.
print_table() {
	awk -F '\t' '
	function median(list,   n, v, i, j, t) {
		n = split(list, v, " ")
		for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j-1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j-1]; v[j-1] = t }
		return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	$5 > 0 { next } # a failed run has no figures
	{ k = $2 SUBSEP $3 SUBSEP $1; if (!(k in us)) order[++nk] = k
	  us[k] = us[k] " " $7; rate[k] = rate[k] " " $6; p50[k] = p50[k] " " $8; p99[k] = p99[k] " " $9; p999[k] = p999[k] " " $10
	  kb[k] = kb[k] " " ($4 > 0 ? ($12 - $11) / $4 : 0) }
	END {
		printf "%9s %-7s %-16s %10s %9s %8s %9s %9s %9s %11s %9s\n", "sessions", "phase", "sm", "sm us/op", "spread", "ratio", "ops/s", "p50 ms", "p99 ms", "p99.9 ms", "KB/session"
		for (i = 1; i <= nk; i++) { k = order[i]; split(k, w, SUBSEP)
			if (w[2] == "presence") continue
			m = median(us[k]); ref = median(us[w[1] SUBSEP w[2] SUBSEP "stock"])
			n = split(us[k], v, " "); lo = hi = v[1] + 0
			for (j = 2; j <= n; j++) { if (v[j] + 0 < lo) lo = v[j] + 0; if (v[j] + 0 > hi) hi = v[j] + 0 }
			printf "%9s %-7s %-16s %10.2f %8.0f%% %8s %9.0f %9.2f %9.2f %11.2f %9s\n", w[1], w[2], w[3], m, m ? (hi - lo) / m * 100 : 0,
				m && ref ? sprintf("%.1f", ref / m) : "-", median(rate[k]), median(p50[k]), median(p99[k]), median(p999[k]),
				w[2] == "start" ? sprintf("%.1f", median(kb[k])) : "" }
	}' "$dir/figures.tsv"
}

echo "$messages messages a run (shardsm: five times that), $rounds interleaved rounds, medians; spread: (highest - lowest) / median"
: >"$dir/figures.tsv"
[ -x "$shardsm" ] || echo "compare.sh: $shardsm is missing: jabberd2's sm alone is measured" >&2
for sessions in $sizes; do
	round=1
	while [ "$round" -le "$rounds" ]; do
		for what in stock shardsm-router shardsm-listen; do
			[ $what = stock ] || [ -x "$shardsm" ] || continue
			run=$dir/$what.$sessions.$round
			mkdir "$run"
			case $what in
			stock) run_behind_router $what "$stock" "$sessions" "$run" ;;
			shardsm-router) run_behind_router $what "$shardsm" "$sessions" "$run" ;;
			shardsm-listen) run_listening $what "$shardsm" "$sessions" "$run" ;;
			esac
		done
		round=$((round + 1))
	done
done
print_table
# Where the last round's time went.
for sessions in $sizes; do
	for what in stock shardsm-router shardsm-listen; do
		threads=$(sed -n 's/^  chat *by thread, us: //p' "$dir/$what.$sessions.$rounds/report" 2>/dev/null)
		[ -z "$threads" ] || printf '%9s %-7s %-16s us by thread: %s\n' "$sessions" chat $what "$threads"
	done
done
exit $failed
