#!/bin/sh
# server.sh - a database server for tests: server.sh pgsql|mysql have|make|start|stop|crash DIRECTORY
# have: 0 where the server is installed; says what is missing. It listens on a socket in the directory alone, and runs as
# nobody where we are root. start returns when it answers; stop and crash when it is gone. It is ended by its own id.
engine=$1
verb=$2
dir=$3
pg=$(find /usr/lib/postgresql -name pg_ctl 2>/dev/null | sort -V | tail -n 1)
pg=${pg%/pg_ctl}

as_nobody() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$dir" "$@"
	else
		"$@"
	fi
}

own() {
	if [ "$(id -u)" = 0 ]; then
		chown nobody:nogroup "$1"
	fi
}

wait_gone() { # PID
	i=0
	while kill -0 "$1" 2>/dev/null; do
		i=$((i + 1))
		[ "$i" -lt 600 ] || { echo "$1 does not end" >&2; return 1; }
		sleep 0.05
	done
}

pgsql_make() {
	as_nobody "$pg/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/make.log" 2>&1 || return 1
	# One user must know a password.
	{ echo "local all locked scram-sha-256" && cat "$dir/data/pg_hba.conf"; } >"$dir/hba" && cat "$dir/hba" >"$dir/data/pg_hba.conf"
	cat >>"$dir/data/postgresql.conf" <<-EOF
	listen_addresses = ''
	unix_socket_directories = '$dir'
	fsync = ${SHARDSM_TEST_FSYNC:-off}
	autovacuum = off
	max_connections = 200
	shared_buffers = 32MB
	EOF
}

pgsql_start() {
	as_nobody "$pg/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start >/dev/null
}

pgsql_end() { # MODE
	as_nobody "$pg/pg_ctl" -D "$dir/data" -m "$1" -w -t 60 stop >/dev/null
}

mysql_make() {
	as_nobody mariadb-install-db --no-defaults --datadir="$dir/data" --tmpdir="$dir/data" --auth-root-authentication-method=normal --skip-test-db \
		>"$dir/make.log" 2>&1
}

mysql_start() {
	as_nobody mariadbd --no-defaults --datadir="$dir/data" --tmpdir="$dir/data" --socket="$dir/socket" --pid-file="$dir/pid" --skip-networking \
		--log-error="$dir/server.log" --innodb-flush-log-at-trx-commit="${SHARDSM_TEST_FSYNC:-2}" --innodb-buffer-pool-size=64M \
		--max-connections=300 --performance-schema=off >/dev/null 2>&1 &
	child=$!
	i=0
	until mariadb-admin --no-defaults --socket="$dir/socket" -u root ping >/dev/null 2>&1; do
		i=$((i + 1))
		if [ "$i" -ge 1200 ] || ! kill -0 "$child" 2>/dev/null; then
			return 1
		fi
		sleep 0.05
	done
}

mysql_end() { # SIGNAL
	pid=$(cat "$dir/pid") || return 1
	kill -"$1" "$pid" && wait_gone "$pid"
	rm -f "$dir/pid"
}

case $engine-$verb in
pgsql-have) [ -n "$pg" ] || { echo "PostgreSQL's server is not installed: Debian package postgresql"; exit 1; } ;;
mysql-have) command -v mariadbd >/dev/null || { echo "MariaDB's server is not installed: Debian package mariadb-server"; exit 1; } ;;
pgsql-make | mysql-make)
	own "$dir"
	"${engine}_make" || { cat "$dir/make.log" >&2; exit 1; }
	;;
pgsql-start | mysql-start) "${engine}_start" || { tail -n 20 "$dir/server.log" >&2; exit 1; } ;;
pgsql-stop) pgsql_end fast ;;
pgsql-crash) pgsql_end immediate ;;
mysql-stop) mysql_end TERM ;;
mysql-crash) mysql_end KILL ;;
*) echo "server.sh: $engine $verb?" >&2; exit 2 ;;
esac
