#!/usr/bin/env bash
# berth train: plan, progress, signals, resume, freezing; berth eval of what it made.
set -eu
. "$(dirname "$0")/lib.sh"
make_world

say "dry run"
run 0 "$berth" train "$config" --dry-run
for task in intent slots mood; do grep -q "$task" "$out" || fail "the plan does not name $task"; done
[ ! -e "$run" ] || fail "a dry run made the run folder"

say "train"
run 0 "$berth" train "$config"
cp "$out" "$tmp/train.out"
grep -Eq '^step 4/[0-9]+  epoch 1  loss [0-9.]+ ' "$err" || fail "no plain progress line"
grep -q $'\r' "$err" && fail "a bar in a log file"
grep -Eq 'input: the [0-9]+ steps of this process waited for it [0-9.]+ % of their time' "$err" || fail "nothing is said of the input"
awk -F '\t' 'NF != 4 { exit 1 }' "$out" || fail "scores: $(cat "$out")"
grep -q '^mean	test	' "$out" || fail "no mean test score: $(cat "$out")"
for file in config.yaml metrics.jsonl best/config.json best/model.safetensors best/vocab.txt; do
    [ -s "$run/$file" ] || fail "$file is missing"
done

say "resume of a finished run: nothing to do"
before=$(find "$run" -type f -exec sha256sum {} + | sort | sha256sum)
run 0 "$berth" train "$config" --resume
[ "$before" = "$(find "$run" -type f -exec sha256sum {} + | sort | sha256sum)" ] || fail "the run folder changed"

say "eval gives the run's own test scores"
run 0 "$berth" eval "$run" "$config"
awk -F '\t' '{ print $1, $2, $3 }' "$out" | head -n 1 | grep -qx 'intent test accuracy' || fail "first line: $(head -n 1 "$out")"
grep '	test	' "$tmp/train.out" | grep -E '	(accuracy|span_f1)	' > "$tmp/a"
grep -E '	(accuracy|span_f1)	' "$out" > "$tmp/b"
cmp "$tmp/a" "$tmp/b" || fail "eval and train tell different scores: $(diff "$tmp/a" "$tmp/b")"
run 0 "$berth" eval "$run/best" "$config" --split dev
grep -q '	dev	' "$out" || fail "--split dev"
run 0 "$berth" eval "$run"
grep -E '	(accuracy|span_f1)	' "$out" | cmp - "$tmp/b" || fail "eval without CONFIG differs"

say "inspect tells of run and model"
run 0 "$berth" inspect "$run"
grep -q '^checkpoint	' "$out" || fail "no checkpoint"
run 0 "$berth" inspect "$run/best"
grep -q '^head	slots	tagging' "$out" || fail "no head"
grep -q '^parameter	heads.mood.weight	\[2, 32\]	64	' "$out" || fail "no parameter: $(grep heads "$out")"

say "eval takes as many threads as it is told"
threads_seen() { # NUMBER: the most threads that eval had at once
    local child now most=0
    "$berth" eval "$run" "$config" --split train data.talk.train="$tmp/many" threads="$1" > /dev/null 2> "$err" < /dev/null &
    child=$!
    while now=$(awk '$1 == "Threads:" { print $2 }' "/proc/$child/status" 2> /dev/null) && [ -n "$now" ]; do
        [ "$now" -le "$most" ] || most=$now
        kill -0 "$child" 2> /dev/null || break
    done
    wait "$child" || fail "eval threads=$1: exit status $?"
    echo "$most"
}
if [ -r /proc/self/status ]; then
    write_talk "$tmp/many" 6000 0 # long enough to be looked at
    one=$(threads_seen 1) four=$(threads_seen 4)
    [ "$four" -ge $((one + 3)) ] || fail "threads=1: $one threads, threads=4: $four"
fi

say "a task dropped, its source still there"
run 0 "$berth" train "$config" output="$tmp/dropped" tasks.mood=null train.epochs=1
grep -q 'warning' "$err" && fail "dropping a task is told as a mistake"
run 0 "$berth" eval "$tmp/dropped" "$config" tasks.mood=null
grep -q '^mood' "$out" && fail "scores of the dropped task"
run 0 "$berth" eval "$tmp/dropped"
run 0 "$berth" predict "$tmp/dropped" "$tmp/world/talk/test/seq.in" --header
head -n 1 "$out" | grep -q mood && fail "answers of the dropped task"

say "a source that only evaluates"
run 0 "$berth" train "$config" output="$tmp/onlydev" train.epochs=1 tasks.mood.source="[reviews, more]" \
    data.more="{format: tsv, text: sentence, dev: test.tsv}"
grep -q '"mood":{.*"rows":16' "$tmp/onlydev/metrics.jsonl" || fail "the rows of the second source are not evaluated"

say "a saved head has other labels than the training rows"
cp -r "$tmp/world" "$tmp/other"
sed -i 's/^play$/listen/' "$tmp/other/talk/train/label"
sed -e "s|^  new: .*|  backbone: $run/best|" -e '/^  vocab:/d' -e "s|^output: .*|output: $tmp/onward|" \
    -e "s|^data_folder: .*|data_folder: $tmp/other|" "$config" > "$tmp/onward.yaml"
run 2 "$berth" train "$tmp/onward.yaml"
one_line "data.talk.train: row 3: task 'intent': the label 'listen' is not among the 3 of the model's head"
[ ! -e "$tmp/onward" ] || fail "a refused run made its folder"

for signal in TERM INT USR1; do
    say "stopped by $signal, resumed: the same bits"
    status=0
    rm -rf "$tmp/stopped" "$err"
    "$berth" train "$config" output="$tmp/stopped" log.every="1 steps" > "$out" 2> "$err" < /dev/null &
    child=$!
    for _ in $(seq 500); do grep -qs "^step" "$err" && break; sleep 0.02; done
    kill -s "$signal" "$child"
    wait "$child" || status=$?
    if [ "$status" != 0 ]; then # a fast machine may be done already
        [ "$status" = 75 ] || fail "exit status $status, expected 75"
        grep -q '^berth: ' "$err" || fail "nothing is said about the stop"
        run 0 "$berth" train "$config" output="$tmp/stopped" log.every="1 steps" --resume
    fi
    same_bits "$run/best" "$tmp/stopped/best"
done

say "a closed standard error does not end a run"
set +e
{ "$berth" train "$config" output="$tmp/deaf" 2>&1 > "$out"; echo $? > "$tmp/status"; } | true
set -e
same "$tmp/status" 0 "exit status"
same_bits "$run/best" "$tmp/deaf/best"

say "freezing the backbone: its bits stay, the heads learn"
run 0 "$berth" train "$config" output="$tmp/start" train.lr=0 train.epochs=1 # the initial values
run 0 "$berth" train "$config" output="$tmp/frozen" 'freeze=[{select: backbone}]' train.lr=1e-2
"$berth" inspect "$tmp/start/best" | awk -F '\t' '$1 == "parameter" { print $2, $5 }' > "$tmp/a"
"$berth" inspect "$tmp/frozen/best" | awk -F '\t' '$1 == "parameter" { print $2, $5 }' > "$tmp/b"
changed=$(diff "$tmp/a" "$tmp/b" | awk '$1 == ">" { print $2 }')
[ -n "$changed" ] || fail "nothing changed"
echo "$changed" | grep -v '^heads\.' && fail "frozen parameters changed"
for head in intent slots mood; do echo "$changed" | grep -q "^heads\.$head\." || fail "head $head did not learn"; done

say "a bar on a terminal"
if script -qec true /dev/null > /dev/null 2>&1 < /dev/null; then
    script -qec "$berth train $config output=$tmp/terminal log.every='1 steps'" /dev/null > "$tmp/screen" < /dev/null ||
        fail "training on a terminal failed"
    grep -q $'\r\[#' "$tmp/screen" || fail "no bar was drawn"
else
    echo "$test_name: no pseudo-terminal here, so the bar was not looked at" >&2
fi
passed
