# lib.sh: what the command tests share. Sourced by test_*.sh, which run under `set -eu`.
#
#   $berth  the program      $tmp  a folder of this test's own, removed at the end      $out $err  of the last `run`

berth=${BERTH_BIN:?the program under test}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/berth-test.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
err=$tmp/err
test_name=$(basename "$0" .sh)
place=start

# Names what is tested now, for messages.
say() {
    place=$1
}
fail() {
    echo "$test_name: $place: $*" >&2
    [ ! -s "$err" ] || sed 's/^/    stderr: /' "$err" >&2
    exit 1
}
skip() {
    echo "$test_name: skipped: $*" >&2
    exit 77
}
passed() {
    echo "$test_name: passed"
}
# run EXPECTED_STATUS COMMAND...: runs it with its outputs in $out and $err.
run() {
    local expected=$1 status=0
    shift
    "$@" > "$out" 2> "$err" < /dev/null || status=$?
    [ "$status" = "$expected" ] || fail "exit status $status, expected $expected: $*"
}
# one_line TEXT: the last command told exactly one mistake on standard error, and it holds TEXT.
one_line() {
    local lines
    lines=$(grep -E '^(berth|fetch_model|setup): ' "$err" | grep -cvE '^berth: (warning|note): ' || true)
    [ "$lines" = 1 ] || fail "expected exactly one line about the mistake on standard error, found $lines"
    grep -qF -- "$1" "$err" || fail "the line does not hold '$1'"
}
same() { # FILE EXPECTED WHAT
    [ "$(cat "$1")" = "$2" ] || fail "$3: found '$(cat "$1")', expected '$2'"
}
