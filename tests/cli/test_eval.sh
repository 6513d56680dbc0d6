#!/usr/bin/env bash
# berth eval: data named by options gives the scores that a configuration gives; JSON; its mistakes.
set -eu
. "$(dirname "$0")/lib.sh"
make_run
d=$tmp/in
mkdir "$d"
seq=$tmp/world/talk/test
run 0 "$berth" eval "$run"
cp "$out" "$d/all"
expect() { # TASKS ARGUMENTS...: the lines of these tasks are those of the configuration
    local tasks=$1
    shift
    run 0 "$berth" eval "$run" "$@"
    grep -vE '^(mean|given|talk|reviews)	' "$out" > "$d/found" || true
    grep -E "^($tasks)	" "$d/all" | cmp - "$d/found" || fail "other scores: $* gives $(cat "$out")"
}

say "every format of --data"
expect mood --data "$tmp/world/test.tsv" --column sentence --label mood=label
tail -n +2 "$tmp/world/test.tsv" > "$d/bare.tsv"
expect mood --data "$d/bare.tsv" --no-header --column 0 --label mood=1
tr '\t' ',' < "$tmp/world/test.tsv" > "$d/t.csv"
gzip "$d/t.csv"
expect mood --data "$d/t.csv.gz" --input csv --column sentence --label mood=label
awk -F '\t' 'NR > 1 { printf "{\"text\": \"%s\", \"gold\": \"%s\"}\n", $1, $2 }' "$tmp/world/test.tsv" > "$d/t.jsonl"
expect mood --data "$d/t.jsonl" --input jsonl --label mood=gold
expect 'intent|slots' --data "$seq" --input seqfiles --label intent=label,slots=seq.out
paste -d '\t' "$seq/seq.in" "$seq/seq.out" "$seq/label" | awk -F '\t' '{ n = split($1, w, " "); split($2, t, " "); print "# intent: " $3
    for (i = 1; i <= n; i++) print w[i], t[i]; print "" }' > "$d/t.conll"
expect 'intent|slots' --data "$d/t.conll" --input conll --label intent=intent,slots=1
run 0 "$berth" eval "$run" --data "$seq" --input seqfiles --label intent=label --split train
grep -q '^intent	train	accuracy	' "$out" || fail "--split does not name the rows: $(cat "$out")"
run 0 "$berth" eval "$run" --data "$tmp/world/test.tsv" --column sentence --label mood=label tasks.mood.metric=macro_f1
[ "$(head -n 1 "$out" | cut -f 1-3)" = "mood	test	macro_f1" ] || fail "an override does nothing"
run 0 "$berth" train "$config" output="$tmp/one" tasks.intent=null tasks.slots=null train.epochs=1
run 0 "$berth" eval "$tmp/one" --data "$d/bare.tsv" --no-header --label 1
grep -q '^mood	test	accuracy	' "$out" || fail "a model with one head needs no name: $(cat "$out")"

say "json"
run 0 "$berth" eval "$run" --json
[ "$(wc -l < "$out")" = 1 ] || fail "not one line"
for text in '{"split":"test","scores":{"intent":{"accuracy":' '"details":{"intent": {"classes": [{"label": "book", "support": 4, ' \
    '"confusion": [[' '"slots": {"entities": [{"type": "' '"precision": '; do
    grep -qF -- "$text" "$out" || fail "lacks $text: $(cut -c 1-300 "$out")"
done

say "mistakes, one line each"
mistake() { # STATUS TEXT ARGUMENTS...
    local status=$1 text=$2
    shift 2
    run "$status" "$berth" eval "$@"
    one_line "$text"
    [ ! -s "$out" ] || fail "something was printed: $(cat "$out")"
}
mistake 2 "eval: too few arguments" --json
mistake 2 "CONFIG is missing, and $run/best/config.yaml is not there" "$run/best"
mistake 2 "--data needs --label HEAD=COLUMN" "$run" --data "$tmp/world/test.tsv"
mistake 2 "--label goes with --data FILE" "$run" --label mood=label
mistake 2 "--column goes with --data FILE" "$run" --column 1
mistake 2 "--label moods=label: expected HEAD=COLUMN" "$run" --data "$tmp/world/test.tsv" --label moods=label
mistake 2 "heads: intent, slots, mood" "$run" --data "$tmp/world/test.tsv" --label label
mistake 2 "--label mood=: expected" "$run" --data "$tmp/world/test.tsv" --label mood=
mistake 1 "expected one named 'lable'" "$run" --data "$tmp/world/test.tsv" --column sentence --label mood=lable
mistake 2 "data.given.format" "$run" --data "$tmp/world/test.tsv" --input xml --label mood=label
mistake 1 "$tmp/none" "$run" --data "$tmp/none" --label mood=label
mistake 2 "--split all: expected dev|test|train" "$run" --split all
mistake 2 "has a dev split" "$run" data.talk.dev=null data.reviews.dev=null --split dev
mistake 1 "$tmp/world: neither a model folder" "$tmp/world" "$config"
mistake 2 "has no head named 'extra'" "$run" 'tasks.extra={type: classification, source: talk, label: label}'
passed
