#!/usr/bin/env bash
# A run killed (SIGKILL) at random instants and resumed until it is done ends with the bits of one never killed.
set -eu
. "$(dirname "$0")/../cli/lib.sh"
make_world

settings=(threads=1 train.epochs=15 train.accumulate=2 evaluate.every="7 steps" checkpoint.every="3 steps" log.every="3 steps")
kills_wanted=20

say "a run that nobody disturbs"
began=$(date +%s%N)
run 0 "$berth" train "$config" "${settings[@]}" output="$tmp/calm"
took=$((($(date +%s%N) - began) / 1000000)) # milliseconds

# steps_done FOLDER: steps of its newest checkpoint
steps_done() {
    find "$1/checkpoints" -name 'step-*.h5' 2> /dev/null | sed 's/.*step-//; s/\.h5//' | sort -n | tail -n 1
}

RANDOM=${KILL_SEED:-$(date +%s)}
seed=$RANDOM
RANDOM=$seed
kills=0
attempts=0
finished=no
while [ "$finished" = no ]; do
    attempts=$((attempts + 1))
    say "KILL_SEED=$seed, attempt $attempts, $kills kills"
    [ "$attempts" -le 80 ] || fail "the run does not come to its end"
    if [ "$kills" -ge "$kills_wanted" ]; then # enough: let it finish
        run 0 "$berth" train "$config" "${settings[@]}" output="$tmp/killed" --resume
        finished=yes
        continue
    fi
    "$berth" train "$config" "${settings[@]}" output="$tmp/killed" --resume > "$out" 2> "$err" < /dev/null &
    child=$!
    limit=$((took / 2 + 20))                            # from the first instant to half a run;
    if [ "$kills" -lt 3 ]; then limit=$((took / 5 + 1)); fi # three surely hit before the end
    delay=$((RANDOM % limit))
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    if kill -s KILL "$child" 2> /dev/null; then kills=$((kills + 1)); fi
    status=0
    wait "$child" 2> /dev/null || status=$?
    case $status in
    0) finished=yes ;;
    137) ;;
    *) fail "exit status $status" ;;
    esac
done
[ "$kills" -ge 3 ] || fail "only $kills kills hit a running program"

say "KILL_SEED=$seed, $kills kills: the same end"
[ "$(steps_done "$tmp/killed")" = 120 ] || fail "the last checkpoint is of step $(steps_done "$tmp/killed")"
cmp "$tmp/calm/best/model.safetensors" "$tmp/killed/best/model.safetensors" || fail "the best models differ"
same_bits "$tmp/calm/best" "$tmp/killed/best"
for name in values adam/m adam/v owner_steps numbers; do
    for folder in calm killed; do
        "$berth" inspect "$tmp/$folder/checkpoints/step-120.h5" | awk -F '\t' -v name="$name" '$1 == "dataset" && $2 == name' > "$tmp/$folder.digest"
    done
    [ -s "$tmp/calm.digest" ] || fail "inspect does not show the dataset $name"
    cmp -s "$tmp/calm.digest" "$tmp/killed.digest" || fail "the last checkpoints differ in $name"
done
for folder in calm killed; do
    sed 's/"tokens_per_second":[0-9a-z.+]*//' "$tmp/$folder/metrics.jsonl" > "$tmp/$folder.metrics"
done
cmp "$tmp/calm.metrics" "$tmp/killed.metrics" || fail "the metrics differ: $(diff "$tmp/calm.metrics" "$tmp/killed.metrics" | head -n 4)"
cmp "$tmp/calm/finished.json" "$tmp/killed/finished.json" || fail "the final scores differ"
left=$(find "$tmp/killed" -name '*.tmp.*')
[ -z "$left" ] || fail "left over: $left"
echo "$test_name: $kills kills in $attempts starts, KILL_SEED=$seed" >&2
passed
