#!/bin/sh
# dist.sh - what is in the repository is in the archive that make dist makes. In a checkout alone: an archive has nothing to compare with.
root=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/shardsm-dist.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM HUP
unset MAKEFLAGS MFLAGS MAKELEVEL
[ -e "$root/.git" ] && git -C "$root" ls-tree -r --name-only HEAD >"$dir/kept" 2>/dev/null || exit 77

${MAKE:-make} distdir distdir="$dir/dist" top_distdir="$dir/dist" >"$dir/out" 2>&1 || {
	tail -n 5 "$dir/out"
	exit 1
}
missing=
n=0
while read -r file; do
	n=$((n + 1))
	# What was deleted and not committed yet is nobody's loss.
	[ -e "$dir/dist/$file" ] || [ ! -e "$root/$file" ] || [ "$file" = .gitignore ] || missing="$missing $file"
done <"$dir/kept"
[ -z "$missing" ] || echo "not in any EXTRA_DIST:$missing"
if [ "$n" -gt 100 ] && [ -z "$missing" ]; then
	echo "# 1 passed, 0 failed"
else
	echo "# 0 passed, 1 failed"
	exit 1
fi
