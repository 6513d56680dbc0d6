#!/bin/sh
# Writes docs/configuration.md, docs/man/berth.1 and docs/completion/berth.bash anew from the program's own tables. A
# test compares them.
#
#   scripts/gen_docs.sh [PROGRAM]     default build/berth
set -eu
cd "$(dirname "$0")/.."
program=${1:-build/berth}
[ -x "$program" ] || { echo "gen_docs: $program is not there; build it first: cmake --build build" >&2; exit 1; }
write() { # FILE ARGUMENTS...
    file=$1
    shift
    mkdir -p "$(dirname "$file")"
    "$program" "$@" > "$file.tmp"
    mv "$file.tmp" "$file"
    echo "$file: $(wc -l < "$file") lines"
}
write docs/configuration.md config --reference
write docs/man/berth.1 help --man
write docs/completion/berth.bash help --completion
