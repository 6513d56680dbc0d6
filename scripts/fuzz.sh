#!/usr/bin/env bash
# Fuzzes for as long as you like: scripts/fuzz.sh [SECONDS A TARGET, default 600] [TARGET ...]
#
# Builds with clang into build-fuzz/, runs the targets one after another from their seeds and from what earlier runs
# kept in build-fuzz/corpus/NAME, with another random seed each time. A finding (crash-*, leak-*, timeout-*) is kept
# there as well and printed; the exit status is 1. Add what a finding taught as a seed and as a test.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-600}
[ $# -eq 0 ] || shift
case $seconds in '' | *[!0-9]*) echo "fuzz: '$seconds' is not a number of seconds" >&2; exit 2 ;; esac
cmake --preset fuzz >/dev/null && cmake --build build-fuzz --target fuzzers -j "$(nproc)" || exit 1
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        names+=("${name%.c}")
    done
fi
failed=0
for name in "${names[@]}"; do
    echo "== $name: $seconds s"
    BERTH_FUZZ_CORPUS=build-fuzz/corpus sh tests/fuzz/run_target.sh build-fuzz "$name" \
        -max_total_time="$seconds" -max_len=16384 || failed=1
done
exit "$failed"
