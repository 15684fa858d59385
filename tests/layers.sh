#!/bin/sh
# layers.sh - holds the arrows between the rooms of src/: who may include what. Also that no file outgrows a reader.
# A room sees itself and what stands below it; module/ sees public headers alone; each library has one place.
root=${srcdir:-$(dirname "$0")/..}

# room: the rooms whose headers it may include (public ones; private ones only of its own, beside the .c)
sees() {
	case $1 in
	xmpp) echo "xmpp" ;;
	core) echo "core xmpp" ;;
	store) echo "store core xmpp" ;;
	io) echo "io core xmpp" ;;
	mail) echo "mail core xmpp" ;;
	shard) echo "shard store mail core xmpp" ;;
	module) echo "shard store mail core xmpp" ;;
	admin) echo "admin shard store mail core xmpp" ;;
	esac
}

# The room that a public header belongs to.
room_of() {
	case $1 in
	span | buf | datetime | jid | route | xml | stanza_error | subscription) echo xmpp ;;
	aci | clock | config | deadline | hash | heart | log | mailbox | names | notify | options | outbox | packet | rcu | roles | room | standstill | stats | tunables) echo core ;;
	tls) echo core ;;
	store | vcard_columns) echo store ;;
	mail) echo mail ;;
	module | server | shard | user) echo shard ;;
	link | io | listener | component) echo io ;;
	admin) echo admin ;;
	*) echo unknown ;;
	esac
}

# Where a library's header may stand: shell patterns of files.
library_in() {
	case $1 in
	urcu/* | urcu.h | urcu-*) echo "src/core/* include/shardsm/rcu.h include/shardsm/mailbox.h include/shardsm/outbox.h" ;;
	mxml.h) echo "src/xmpp/* src/core/config*.c" ;;
	sqlite3.h) echo "src/store/sqlite*.c" ;;
	gsasl.h) echo "src/io/*" ;;
	openssl/ssl.h | openssl/err.h | openssl/x509*) echo "src/io/tls.c src/core/tls_context.c" ;;
	openssl/*) echo "src/io/* src/core/*" ;;
	stringprep.h | idna.h | idn-free.h) echo "src/xmpp/*" ;;
	curl/*) echo "src/mail/smtp.c" ;;
	libpq-fe.h) echo "src/store/postgresql.c" ;;
	mysql.h) echo "src/store/mariadb.c src/store/mariadb.h" ;;
	expat.h) echo "nowhere" ;;
	*) echo "*" ;;
	esac
}

matches() { # FILE PATTERN...
	file=$1
	shift
	set -f
	for pattern in $*; do
		# shellcheck disable=SC2254
		case $file in
		$pattern) set +f; return 0 ;;
		esac
	done
	set +f
	return 1
}

member() {
	case " $2 " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# A feature that fills several files, module/x.c, module/iq_x.c and module/x_*.c, may share module/x.h among them.
own_header() { # FILE HEADER
	case $2 in
	module/*.h) ;;
	*) return 1 ;;
	esac
	feature=${2%.h}
	matches "$1" "src/$feature.c src/$feature.h src/module/iq_${feature#module/}.c src/${feature}_*.c"
}

# One include of one file; prints what is wrong with it.
include() { # FILE ROOM HEADER
	if own_header "$1" "$3"; then
		return
	fi
	case $3 in
	'<'*)
		header=${3#<}
		header=${header%>}
		# shellcheck disable=SC2046
		matches "$1" "$(library_in "$header")" || echo "$1: <$header> belongs in: $(library_in "$header")"
		;;
	shardsm/*)
		header=${3#shardsm/}
		target=$(room_of "${header%.h}")
		if [ "$target" = unknown ]; then
			echo "$1: $3 is in no room: add it to room_of in layers.sh"
		elif [ "$2" != main ] && ! member "$target" "$(sees "$2")"; then
			echo "$1: $2 may not see $3, which is $target's"
		fi
		;;
	config.h) ;; # configure's
	*/*)
		target=${3%%/*}
		if [ "$2" = module ]; then
			echo "$1: a module includes public headers alone, not $3"
		elif [ "$3" = module/modules.def ] && [ "$2" = shard ]; then
			: # the list of modules, names alone
		elif [ "$3" = core/tsan.h ] && [ "$2" != xmpp ]; then
			: # annotations for a sanitizer, no code
		elif [ "$2" != main ] && [ "$target" != "$2" ]; then
			echo "$1: $3 is private to $target"
		fi
		;;
	*) # beside the file
		[ "$2" != module ] || echo "$1: a module includes public headers alone, not $3"
		;;
	esac
}

# Prints every breach below the directory $1.
check_tree() {
	(
		cd "$1" || exit 1
		find src include -name '*.[ch]' | sort | while read -r file; do
			case $file in
			src/*/*) room=${file#src/} room=${room%%/*} ;;
			src/*) room=main ;;
			include/*) room=$(room_of "$(basename "$file" .h)") ;;
			esac
			if [ "$room" != main ] && [ -z "$(sees "$room")" ]; then
				echo "$file: $room is no room that layers.sh knows"
				continue
			fi
			lines=$(wc -l <"$file")
			[ "$lines" -le 700 ] || echo "$file: $lines lines, more than 700: split it"
			sed -n 's/^[ \t]*#[ \t]*include[ \t]*\("[^"]*"\|<[^>]*>\).*/\1/p' "$file" | tr -d '"' | while read -r header; do
				include "$file" "$room" "$header"
			done
		done
	)
}

# A breach of every kind, planted: the check must report each, or it is worth nothing.
planted=$(mktemp -d) || exit 99
trap 'rm -rf "$planted"' EXIT
plant() { # FILE INCLUDE
	mkdir -p "$planted/$(dirname "$1")"
	echo "#include $2" >>"$planted/$1"
}
plant src/xmpp/a.c '"shardsm/mailbox.h"'
plant src/core/b.c '"shardsm/store.h"'
plant src/io/c.c '"shardsm/user.h"'
plant src/shard/d.c '"store/engine.h"'
plant src/module/e.c '"shard/shard.h"'
plant src/module/f.c '"roster.h"'
plant src/module/rosterish.c '"module/roster.h"'
plant src/store/g.c '<mxml.h>'
plant src/store/h.c '<urcu/urcu-qsbr.h>'
plant src/shard/i.c '<sqlite3.h>'
plant src/mail/m.c '"shardsm/module.h"'
plant src/mail/n.c '<curl/curl.h>'
plant include/shardsm/user.h '<urcu/rculfhash.h>'
plant src/core/j.c '"shardsm/nonsense.h"'
plant src/attic/k.c '<stdio.h>'
mkdir -p "$planted/src/core"
yes '' | head -n 701 >"$planted/src/core/l.c"
expected=16
mkdir -p "$planted/include/shardsm"
found=$(check_tree "$planted" | cut -d: -f1 | sort -u | wc -l)
breaches=$(check_tree "$root")
passed=0
failed=0
if [ "$found" -eq "$expected" ]; then
	passed=$((passed + 1))
else
	echo "only $found of $expected planted breaches were found:"
	check_tree "$planted"
	failed=$((failed + 1))
fi
if [ -z "$breaches" ]; then
	passed=$((passed + 1))
else
	echo "$breaches"
	failed=$((failed + 1))
fi
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
