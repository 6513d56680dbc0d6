#!/usr/bin/env bash
# A file system that runs full in the middle of a run, and a limit on the size of files: one line, and the run resumes.
set -eu
. "$(dirname "$0")/../cli/lib.sh"
make_world
settings=(threads=1 train.epochs=60 checkpoint.every="2 steps" checkpoint.keep=3)
run 0 "$berth" train "$config" "${settings[@]}" output="$tmp/calm"
size=$(($(stat -c %s "$(find "$tmp/calm/checkpoints" -name 'step-*.h5' | head -n 1)") / 1024)) # KiB of one checkpoint

say "a limit on the size of files that a checkpoint exceeds"
status=0
(ulimit -f $((size / 2)); exec "$berth" train "$config" "${settings[@]}" output="$tmp/limited") > "$out" 2> "$err" < /dev/null || status=$?
[ "$status" = 1 ] || fail "exit status $status, expected 1"
one_line "File too large"
run 0 "$berth" train "$config" "${settings[@]}" output="$tmp/limited" --resume
same_bits "$tmp/calm/best" "$tmp/limited/best"

say "a folder that cannot be written is found at the first step"
: > "$tmp/closed"
run 1 "$berth" train "$config" "${settings[@]}" output="$tmp/closed/run"
one_line "$tmp/closed: exists and is not a folder"

say "a small file system that is full"
small=$tmp/small
mkdir -p "$small"
cat > "$tmp/inside.sh" <<'END'
set -eu
berth=$1 config=$2 small=$3 out=$4 err=$5
shift 5
mount -t tmpfs -o "size=${SMALL_KIB}k" none "$small"
status=0
"$berth" train "$config" "$@" output="$small/run" > "$out" 2> "$err" < /dev/null &
child=$!
for _ in $(seq 1000); do grep -qs "^checkpoint written" "$err" && break; sleep 0.01; done
cat /dev/zero > "$small/filler" 2> /dev/null || true # somebody else takes the rest
wait "$child" || status=$?
rm "$small/filler"
echo "$status" > "$out.status"
cp -r "$small/run" "$out.run"
END
if ! SMALL_KIB=$((size * 12 + 4000)) unshare --user --map-root-user --mount bash "$tmp/inside.sh" "$berth" "$config" "$small" "$out" "$err" "${settings[@]}" 2> "$tmp/unshare" &&
    [ ! -s "$out.status" ]; then
    echo "$test_name: no small file system could be mounted ($(head -n 1 "$tmp/unshare")); the limit on file sizes was tested" >&2
    skip "no small file system could be mounted"
fi
[ "$(cat "$out.status")" = 1 ] || fail "exit status $(cat "$out.status"), expected 1"
one_line "No space left on device"
mv "$out.run" "$tmp/room"
run 0 "$berth" train "$config" "${settings[@]}" output="$tmp/room" --resume
same_bits "$tmp/calm/best" "$tmp/room/best"
cmp "$tmp/calm/finished.json" "$tmp/room/finished.json" || fail "the final scores differ"
passed
