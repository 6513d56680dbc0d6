#!/usr/bin/env bash
# Builds berth three times and runs the tests of each: with the address and undefined-behaviour sanitizers; with the
# thread sanitizer, the tests of what runs on threads of its own alone; optimised with warnings as errors, all of them,
# the slow end-to-end ones and the fuzz targets too. Ends with ctest's closing lines; the exit status is 0 only when all
# builds and all runs passed.
#
# The thread sanitizer is clang's, with clang's OpenMP and its tool archer: they tell the sanitizer where parallel loops
# begin and end, so a race inside one is seen and nothing else is (gcc's OpenMP gives false reports). Where clang is not
# there, that run is left out and said so.
#
# BERTH_TEST_DATA, when set, names a folder of public data; tests that need it are skipped without it.
set -u
cd "$(dirname "$0")/.." || exit 1
jobs=$(nproc)

echo "== packages"
scripts/setup.sh --tests || exit 1

failed=0
around= # a command that runs ctest
run_preset() { # PRESET FOLDER TARGET CTEST_ARGUMENTS...
    local preset=$1 folder=$2 target=$3
    shift 3
    echo "== $preset: build ($folder/)"
    if ! cmake --preset "$preset" -DBERTH_TESTS=ON || ! cmake --build "$folder" -j "$jobs" --target "$target"; then
        echo "== $preset: the build failed" >&2
        failed=1
        return
    fi
    echo "== $preset: tests"
    $around ctest --test-dir "$folder" --output-on-failure --no-tests=error "$@" || failed=1
}

# Tests that use all processors themselves are marked RUN_SERIAL, the rest share them.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} run_preset cpu-debug build-debug all -j "$jobs" -LE slow
if echo 'int main(void) { return 0; }' | clang -x c -fopenmp -fsanitize=thread - -o /dev/null 2>/dev/null; then
    # The sanitizer wants memory laid out as it knows it; kernels that place it more freely must be told.
    if setarch -R true 2>/dev/null; then around="setarch -R"; fi
    OMP_NUM_THREADS=2 run_preset cpu-tsan build-tsan thread_tests -L threads
    around=
else
    echo "== cpu-tsan: skipped: no clang with the thread sanitizer and OpenMP here"
fi
run_preset ci build all -j "$jobs"
[ "$failed" = 0 ] || echo "== something failed: see above" >&2
exit "$failed"
