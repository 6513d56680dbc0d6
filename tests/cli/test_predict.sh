#!/usr/bin/env bash
# berth predict: all heads from one pass, order, formats, streams.
set -eu
. "$(dirname "$0")/lib.sh"
make_run

say "one pass a batch for all three heads"
awk 'BEGIN { for (i = 0; i < 300; i++) { s = "book a table in rome on monday"; for (k = 0; k < i % 4; k++) s = s " please"; print s } }' \
    < /dev/null > "$tmp/many"
run 0 "$berth" predict "$run" "$tmp/many" --count-passes
[ "$(wc -l < "$out")" = 300 ] || fail "300 lines gave $(wc -l < "$out")"
grep -qx 'passes: 10 batches: 10' "$err" || fail "expected 10 passes for 256 + 44 lines in batches of 32: $(tail -n 1 "$err")"
awk -F '\t' 'NF != 5 { exit 1 }' "$out" || fail "expected five columns: two classifications, one tagging"
run 0 "$berth" predict "$run" "$tmp/many" --task slots --count-passes
grep -qx 'passes: 10 batches: 10' "$err" || fail "one head: another number of passes"
awk -F '\t' 'NF != 1 { exit 1 }' "$out" || fail "--task slots: expected one column"

say "answers come in the order of the lines and have a tag a word"
awk '{ print NF }' "$tmp/many" > "$tmp/words"
awk '{ print NF }' "$out" > "$tmp/tags"
cmp "$tmp/words" "$tmp/tags" || fail "words and tags differ in number"
sort -u "$tmp/many" | while read -r line; do
    echo "$line" | "$berth" predict "$run" --task intent | cut -f 1
done > "$tmp/alone"
sort -u "$tmp/many" | "$berth" predict "$run" - --task intent 2> "$err" | cut -f 1 > "$tmp/together"
cmp "$tmp/alone" "$tmp/together" || fail "a line alone and among others gives different labels"

say "the trained model knows its training sentences"
"$berth" predict "$run" "$tmp/world/talk/train/seq.in" --task intent > "$out" 2> "$err"
right=$(cut -f 1 "$out" | paste - "$tmp/world/talk/train/label" | awk -F '\t' '$1 == $2' | wc -l)
[ "$right" -ge 40 ] || fail "only $right of 48 intents are right"

say "header"
run 0 "$berth" predict "$run" "$tmp/many" --header
[ "$(head -n 1 "$out")" = "intent	intent.probability	slots	mood	mood.probability" ] || fail "header: $(head -n 1 "$out")"

say "json"
printf 'book a table in Rome on monday\n\n  \na great film\twith a pair\nB\303\251b\303\251 \377 "quoted" \\ \001x\n' > "$tmp/odd"
run 0 "$berth" predict "$run" "$tmp/odd" --format json
[ "$(wc -l < "$out")" = 5 ] || fail "5 lines gave $(wc -l < "$out")"
grep -q '"text_pair": "with a pair"' "$out" || fail "the pair is not shown"
grep -q '"heads": {"intent": {"label": ' "$out" || fail "no heads"
if command -v python3 > /dev/null; then
    python3 - "$out" <<'END' || fail "not JSON, or its spans are wrong"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert lines[0]["text"] == "book a table in Rome on monday"
for line in lines:
    slots = line["heads"]["slots"]
    assert len(slots["tags"]) == len(line["text"].split()), line
    for e in slots["entities"]:
        assert line["text"][e["start"]:e["end"]] == e["text"], e
    assert 0 < line["heads"]["intent"]["probability"] <= 1
assert lines[1]["heads"]["slots"]["tags"] == []
assert lines[4]["text"].startswith("B\u00e9b\u00e9 \ufffd \"quoted\" \\ ")
END
fi

say "long lines are cut and told"
awk 'BEGIN { for (i = 0; i < 100; i++) printf "music "; print "" }' < /dev/null > "$tmp/long"
run 0 "$berth" predict "$run" "$tmp/long" --task slots
[ "$(wc -w < "$out")" = 100 ] || fail "100 words, $(wc -w < "$out") tags"
grep -q "1 lines were longer than 48 tokens" "$err" || fail "the cut is not told"
run 0 "$berth" predict "$run" "$tmp/long" --task slots --format json --max-length 10
grep -q '"words_cut": 92' "$out" || fail "words_cut: $(cut -c 1-900 "$out" | grep -o '"words_cut": [0-9]*')"
run 2 "$berth" predict "$run" "$tmp/long" --max-length 49

say "a word without pieces is not a cut one"
printf 'play \001 music\n' > "$tmp/control"
run 0 "$berth" predict "$run" "$tmp/control" --task slots --format json
grep -q words_cut "$out" && fail "told as cut: $(cat "$out")"
[ ! -s "$err" ] || fail "a note about a line that was not cut"

say "no lines at all"
run 0 "$berth" predict "$run" /dev/null
[ ! -s "$out" ] || fail "no lines gave output"

say "a last line without its end, and CRLF"
printf 'play music\r\nplay music' | "$berth" predict "$run" > "$out"
[ "$(sort -u "$out" | wc -l)" = 1 ] && [ "$(wc -l < "$out")" = 2 ] || fail "found: $(cat "$out")"

say "a line is answered as soon as it is there"
mkfifo "$tmp/in" "$tmp/answers"
"$berth" predict "$run" --task intent < "$tmp/in" > "$tmp/answers" 2> "$err" &
child=$!
exec 7> "$tmp/in" 8< "$tmp/answers"
for _ in 1 2 3; do
    echo "play some music" >&7
    read -r -t 20 answer <&8 || fail "no answer within 20 seconds"
    [ -n "$answer" ] || fail "an empty answer"
done
exec 7>&- 8<&-
wait "$child" || fail "exit status $?"

say "entities of tags with E and S, as they are scored"
for split in train dev test; do
    sed -i -e 's/B-city/S-city/; s/B-day I-day I-day/B-day I-day E-day/; s/B-day$/S-day/' "$tmp/world/talk/$split/seq.out"
done
grep -q 'E-day' "$tmp/world/talk/train/seq.out" || fail "the tags were not rewritten"
run 0 "$berth" train "$config" output="$tmp/iobes" tasks.intent=null tasks.mood=null # two sources, one task
run 0 "$berth" predict "$tmp/iobes" "$tmp/world/talk/train/seq.in" --format json
cp "$out" "$tmp/answers.json"
grep -q '"tags": \["O", "O", "O", "O", "O", "S-city"\]' "$tmp/answers.json" || fail "no S tag was learnt"
grep '"tags": \["O", "O", "O", "O", "O", "S-city"\]' "$tmp/answers.json" |
    grep -v '"entities": \[{"type": "city", "text": "[a-z]*", "start": 23, "end": 2[0-9]}\]' > "$tmp/wrong" || true
[ ! -s "$tmp/wrong" ] || fail "S: $(head -n 1 "$tmp/wrong")"
grep -q '"B-day", "I-day", "E-day"\]' "$tmp/answers.json" || fail "no E tag was learnt"
grep '"tags": \["O", "O", "O", "B-day", "I-day", "E-day"\]' "$tmp/answers.json" |
    grep -v '"entities": \[{"type": "day", "text": "next [a-z]* morning", "start": 16, "end": [0-9]*}\]' > "$tmp/wrong" || true
[ ! -s "$tmp/wrong" ] || fail "E: $(head -n 1 "$tmp/wrong")"

say "a reader that goes away"
set +e
{ "$berth" predict "$run" "$tmp/many" 2> "$err"; echo $? > "$tmp/status"; } | true
set -e
[ "$(cat "$tmp/status")" = 141 ] || [ "$(cat "$tmp/status")" = 0 ] || fail "status $(cat "$tmp/status")"
[ ! -s "$err" ] || fail "a closed pipe is no reason for a message"
passed
