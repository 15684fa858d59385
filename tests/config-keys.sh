#!/bin/sh
# config-keys.sh - every key that the server reads is known (else shardsm warns of its own options) and is in README.
root=${srcdir:-$(dirname "$0")/..}
passed=0
failed=0
table=$root/src/core/config-keys.c

read_keys() {
	grep -rhoE '(config_(int|text|has|get|count)|either|text)\((s->|o->)?[a-z_>-]*config, "[a-z0-9._-]+"' "$root/src" |
		sed 's/.*"\(.*\)"/\1/' | sort -u
}

known() { # KEY: in the table, or a container of one that is
	grep -q "^	\"$1[\".]" "$table"
}

n=0
unknown=
undocumented=
for key in $(read_keys); do
	n=$((n + 1))
	known "$key" || unknown="$unknown $key"
	grep -q "\`$(echo "$key" | sed 's/\./\\./g')[\`./]" "$root/README" || undocumented="$undocumented $key"
done

empty() { # WHAT KEYS
	if [ -z "$2" ]; then
		passed=$((passed + 1))
	else
		echo "$1:$2"
		failed=$((failed + 1))
	fi
}

empty "read in src/ and missing in config-keys.c" "$unknown"
empty "read in src/ and missing in README" "$undocumented"
if [ "$n" -lt 20 ]; then
	echo "only $n keys found in src/: the pattern of this test is out of date"
	failed=$((failed + 1))
fi
echo "# $passed passed, $failed failed"
[ "$failed" -eq 0 ]
