#!/usr/bin/env bash
# scripts/gpu_check.sh where there is no GPU: nothing is passed, and a rehearsal runs to its end. BUILD: the argument.
set -eu
cd "$(dirname "$0")/../.."
build=$1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/berth-gpu-test.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset BERTH_MODEL
export BERTH_TEST_DATA=$tmp/none
fail() {
    echo "test_gpu_check: $*" >&2
    sed 's/^/    /' "$tmp/said" >&2
    exit 1
}
check() { # STATUS ARGUMENTS...
    local want=$1 status=0
    shift
    scripts/gpu_check.sh --build "$build" --out "$tmp/out" "$@" > "$tmp/said" 2>&1 || status=$?
    [ $status = "$want" ] || fail "exit status $status, expected $want: $*"
}
if "$build/berth" doctor | grep -q '^device: cuda$'; then
    echo "test_gpu_check: skipped: this machine has a GPU" >&2
    exit 77
fi
check 2 --part nothing
check 77
rows=$(wc -l < "$tmp/out/table.tsv")
[ "$rows" -ge 20 ] || fail "$rows rows, expected all of three parts"
[ "$(cut -f 3 "$tmp/out/table.tsv" | sort -u)" = "not run" ] || fail "a row without a GPU is not 'not run'"
grep -q "^0 passed, 0 FAILED, 0 rehearsed, $rows not run" "$tmp/said" || fail "the last line does not count $rows rows"
check 0 --part train --rehearse
grep -q "demo: three tasks from scratch	rehearsed" "$tmp/out/table.tsv" || fail "the demo was not rehearsed"
grep -q "the same bits	rehearsed	.*	the same bits as the first run" "$tmp/out/table.tsv" || fail "repetition was not rehearsed"
grep -q "SNIPS with MiniLM, bf16	not run	.*	no MiniLM weights" "$tmp/out/table.tsv" || fail "SNIPS without weights is not 'not run'"
grep -q "^0 passed, 0 FAILED" "$tmp/said" || fail "a rehearsal passes or fails rows"
echo "test_gpu_check: passed"
