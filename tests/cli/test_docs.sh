#!/usr/bin/env bash
# docs/configuration.md is what the program's table of keys says.
set -eu
. "$(dirname "$0")/lib.sh"
run 0 "$berth" config --reference
diff -u "$BERTH_SOURCE_DIR/docs/configuration.md" "$out" >&2 || fail "docs/configuration.md differs; run scripts/gen_docs.sh"
passed
