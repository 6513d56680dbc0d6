#!/usr/bin/env bash
# Builds berth twice (optimised with warnings as errors, and with the address and undefined-behaviour sanitizers) and
# runs the tests of both; the slow end-to-end ones only in the optimised build. Ends with ctest's closing lines; the
# exit status is 0 only when both builds and both runs passed.
#
# BERTH_TEST_DATA, when set, names a folder of public data; tests that need it are skipped without it.
set -u
cd "$(dirname "$0")/.." || exit 1
jobs=$(nproc)

echo "== packages"
scripts/setup.sh --tests || exit 1

failed=0
run_preset() { # PRESET FOLDER CTEST_ARGUMENTS...
    local preset=$1 folder=$2
    shift 2
    echo "== $preset: build ($folder/)"
    if ! cmake --preset "$preset" -DBERTH_TESTS=ON || ! cmake --build "$folder" -j "$jobs"; then
        echo "== $preset: the build failed" >&2
        failed=1
        return
    fi
    echo "== $preset: tests"
    ctest --test-dir "$folder" --output-on-failure --no-tests=error "$@" || failed=1
}

# Tests that use all processors themselves are marked RUN_SERIAL, the rest share them.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} run_preset cpu-debug build-debug -j "$jobs" -LE slow
run_preset ci build -j "$jobs"
[ "$failed" = 0 ] || echo "== something failed: see above" >&2
exit "$failed"
