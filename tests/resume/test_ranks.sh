#!/usr/bin/env bash
# Ranks as processes: the bits of one rank where sums go part by part, kills and resumes, a rank that dies, signals.
set -eu
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm # dozens of checkpoints, each flushed
. "$(dirname "$0")/../cli/lib.sh"
make_world
killer=${BERTH_KILLER:?the program that kills}
common=(train.epochs=24 evaluate.every="3 steps" checkpoint.every="2 steps" deterministic=strict train.accumulate=2)

# children PID: the other ranks of a run
children() {
    cat "/proc/$1/task/$1/children" 2> /dev/null || pgrep -P "$1"
}
# begin NAME SETTINGS...: two ranks in the background that have begun their steps; sets $child
begin() {
    local name=$1
    shift
    rm -f "$err"
    "$berth" train "$config" output="$tmp/$name" --ranks 2 "$@" > /dev/null 2> "$err" < /dev/null &
    child=$!
    for _ in $(seq 1500); do grep -qs "^checkpoint written" "$err" && return; sleep 0.02; done
    fail "the run does not begin"
}
nobody_left() { # PIDS...
    local pid
    for pid in "$@"; do
        for _ in $(seq 200); do [ -e "/proc/$pid" ] || break; sleep 0.02; done
        [ ! -e "/proc/$pid" ] || fail "process $pid is still there"
    done
}
long=(train.epochs=4000 log.every="1 steps" evaluate.every="1000 epochs") # hours, so surely not over

say "one rank and two"
run 0 "$berth" train "$config" "${common[@]}" output="$tmp/calm"
cp "$out" "$tmp/calm.scores"
run 0 "$berth" train "$config" "${common[@]}" output="$tmp/two" --ranks 2
cmp "$out" "$tmp/calm.scores" || fail "the scores differ"
same_bits "$tmp/calm/best" "$tmp/two/best"
cmp "$tmp/calm/finished.json" "$tmp/two/finished.json" || fail "the final scores differ"
grep -q "^ranks: 2 over shared memory" "$err" || fail "the plan does not speak of ranks"
run 0 "$berth" train "$config" "${common[@]}" output="$tmp/none" --ranks 2 --dry-run
[ ! -e "$tmp/none" ] || fail "--dry-run wrote a run folder"

say "killed at random instants, going on with two ranks or one"
seed=${KILL_SEED:-$(date +%s)}
kills=0
for round in $(seq 60); do
    from=("peak of this device")
    [ $((round % 5)) != 0 ] || from=() # some in the start itself
    result=$("$killer" $((seed + round)) 120 "${from[@]}" -- "$berth" train "$config" "${common[@]}" \
        output="$tmp/killed" --ranks $((1 + round % 2)) --resume 2> "$err" < /dev/null | tail -n 1)
    case $result in
    killed) kills=$((kills + 1)) ;;
    'ended 0') break ;;
    *) fail "KILL_SEED=$seed, round $round: the program $result" ;;
    esac
done
run 0 "$berth" train "$config" "${common[@]}" output="$tmp/killed" --ranks 2 --resume
[ "$kills" -ge 3 ] || fail "KILL_SEED=$seed: only $kills kills"
same_bits "$tmp/calm/best" "$tmp/killed/best"
cmp "$tmp/calm/finished.json" "$tmp/killed/finished.json" || fail "KILL_SEED=$seed: the final scores differ"

say "a rank dies"
begin dies "${long[@]}"
others=$(children "$child")
# shellcheck disable=SC2086 # a list
kill -s KILL $others
status=0
wait "$child" || status=$?
[ "$status" = 1 ] || fail "exit status $status, expected 1"
one_line "rank 1: the process was ended by signal 9 (Killed)"
grep -q "ended by signal 9" "$tmp/dies/log.txt" || fail "the log does not tell of it"
begin dies "${long[@]}" --resume
grep -q "^going on from" "$err" || fail "it does not go on"
kill -s TERM "$child"
status=0
wait "$child" || status=$?
[ "$status" = 75 ] || fail "exit status $status, expected 75"

say "rank 0 dies: the others with it"
begin first "${long[@]}"
others=$(children "$child")
kill -s KILL "$child"
wait "$child" 2> /dev/null || true
# shellcheck disable=SC2086
nobody_left $others

say "a signal"
begin signal "${long[@]}"
others=$(children "$child")
kill -s TERM "$child"
status=0
wait "$child" || status=$?
[ "$status" = 75 ] || fail "exit status $status, expected 75"
one_line "stopped after step "
# shellcheck disable=SC2086
nobody_left $others

say "what cannot be"
run 2 "$berth" train "$config" "${common[@]}" output="$tmp/three" --ranks 3
one_line "train.accumulate: 2 parts of a step on 3 ranks: deterministic: strict"
run 2 "$berth" train "$config" output="$tmp/none" --ranks 0
one_line "--ranks"
printf 'sentence\tlabel\n\xff\tgood\n' > "$tmp/world/bad.tsv"
run 1 "$berth" train "$config" data.reviews.train=bad.tsv output="$tmp/bad" --ranks 2
one_line "bad.tsv"
passed
