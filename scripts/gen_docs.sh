#!/bin/sh
# Writes docs/configuration.md anew from the program's own table of keys. A test compares the two.
#
#   scripts/gen_docs.sh [PROGRAM]     default build/berth
set -eu
cd "$(dirname "$0")/.."
program=${1:-build/berth}
[ -x "$program" ] || { echo "gen_docs: $program is not there; build it first: cmake --build build" >&2; exit 1; }
"$program" config --reference > docs/configuration.md.tmp
mv docs/configuration.md.tmp docs/configuration.md
echo "docs/configuration.md: $(wc -l < docs/configuration.md) lines"
