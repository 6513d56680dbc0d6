#!/usr/bin/env bash
# Signals and the lock: a step is finished, a checkpoint written, 75; a second SIGINT ends at once; one process a folder.
set -eu
. "$(dirname "$0")/../cli/lib.sh"
make_world

# start NAME SETTINGS...: a run in the background that has begun its steps; sets $child
start() {
    local name=$1
    shift
    rm -f "$tmp/child.err"
    "$berth" train "$config" output="$tmp/$name" "$@" > /dev/null 2> "$tmp/child.err" < /dev/null &
    child=$!
    for _ in $(seq 1500); do grep -qs "^step\|^checkpoint written" "$tmp/child.err" && return; sleep 0.02; done
    fail "the run does not begin"
}
long=(train.epochs=4000 log.every="1 steps" evaluate.every="1000 epochs") # hours, so surely not over

for signal in TERM INT USR1; do
    say "$signal"
    start "by$signal" "${long[@]}"
    kill -s "$signal" "$child"
    status=0
    wait "$child" || status=$?
    cp "$tmp/child.err" "$err"
    [ "$status" = 75 ] || fail "exit status $status, expected 75"
    one_line "stopped after step "
    step=$(sed -n 's/.*stopped after step \([0-9]*\);.*/\1/p' "$err")
    "$berth" inspect "$tmp/by$signal" | grep -q "newest checkpoint.*step $step\$" || fail "the newest checkpoint is not of step $step"
done

say "two processes, one folder"
start alone "${long[@]}"
run 2 "$berth" train "$config" output="$tmp/alone" "${long[@]}" --resume
one_line "run folder '$tmp/alone' is in use by another process"
kill -s KILL "$child"
wait "$child" 2> /dev/null || true
grep -q "^step" "$tmp/child.err" || fail "the first run did not go on"

say "a second SIGINT does not wait for the step"
start twice "${long[@]}" model.new.hidden=256 model.new.layers=12 model.new.intermediate=2048 train.batch_size=512 model.vocab="$tmp/world/vocab"
kill -s INT "$child"
sleep 0.1
began=$(date +%s%N)
kill -s INT "$child" 2> /dev/null || fail "the step of this run is too short for the test"
status=0
wait "$child" || status=$?
[ "$status" = 130 ] || fail "exit status $status, expected 130"
[ $((($(date +%s%N) - began) / 1000000)) -lt 1000 ] || fail "it took $((($(date +%s%N) - began) / 1000000)) ms"
passed
