#!/usr/bin/env bash
# berth predict: every input format, kept columns, output formats, long texts in windows, bounded memory; and its mistakes.
set -eu
. "$(dirname "$0")/lib.sh"
make_run
d=$tmp/in
mkdir "$d"
seq=$tmp/world/talk/test
paste -d '\t' <(seq 100 111) "$seq/seq.in" "$seq/label" | { printf 'id\tsentence\tgold\n'; cat; } > "$d/t.tsv"
run 0 "$berth" predict "$run" "$seq/seq.in"
cp "$out" "$d/plain"

say "the same texts in every format give the same answers"
tail -n +2 "$d/t.tsv" > "$d/bare.tsv"
awk -F '\t' '{ gsub(/"/, "\"\"", $2); print $1 ",\"" $2 "\"," $3 }' "$d/t.tsv" > "$d/t.csv"
awk -F '\t' 'NR > 1 { printf "{\"id\": %s, \"text\": \"%s\", \"of\": {\"gold\": \"%s\"}}\n", $1, $2, $3 }' "$d/t.tsv" > "$d/t.jsonl"
awk -F '\t' 'NR > 1 { n = split($2, w, " "); s = ""; for (i = 1; i <= n; i++) s = s (i > 1 ? ", " : "") "\"" w[i] "\""
    printf "{\"text\": [%s]}\n", s }' "$d/t.tsv" > "$d/words.jsonl"
paste -d '\t' "$seq/seq.in" "$seq/seq.out" "$seq/label" | awk -F '\t' '{ n = split($1, w, " "); split($2, t, " "); print "# intent: " $3
    for (i = 1; i <= n; i++) print w[i], t[i]; print "" }' > "$d/t.conll"
paste -d ' ' "$seq/label" "$seq/seq.in" > "$d/t.lines"
gzip -c "$d/t.tsv" > "$d/t.tsv.gz"
same_answers() { # ARGUMENTS...
    run 0 "$berth" predict "$run" "$@"
    cmp "$out" "$d/plain" || fail "other answers: $*"
}
same_answers "$d/t.tsv" --input tsv --column sentence
same_answers "$d/t.tsv.gz" --input tsv --column 1
same_answers "$d/bare.tsv" --input tsv --column 1 --no-header
same_answers "$d/t.csv" --input csv --column sentence
same_answers "$d/t.jsonl" --input jsonl
same_answers "$d/words.jsonl" --input jsonl
same_answers "$d/t.conll" --input conll
same_answers "$seq" --input seqfiles
same_answers "$d/t.lines" --input lines
same_answers "$seq/seq.in" --input text
tr '\t' ';' < "$d/t.tsv" > "$d/t.txt"
same_answers "$d/t.txt" --input csv --delimiter semicolon --column sentence
if command -v zstd > /dev/null; then
    zstd -q "$d/t.jsonl"
    same_answers "$d/t.jsonl.zst" --input jsonl
fi
gzip -c "$seq/seq.in" | "$berth" predict "$run" > "$out" 2> "$err" || fail "a compressed pipe"
cmp "$out" "$d/plain" || fail "a compressed pipe: other answers"
"$berth" predict "$run" - --input conll < "$d/t.conll" 2> "$err" | cmp - "$d/plain" || fail "conll through a pipe"

say "kept columns stand in front"
run 0 "$berth" predict "$run" "$d/t.tsv" --input tsv --column sentence --keep id,gold --header
[ "$(head -n 1 "$out" | cut -f 1-4)" = "id	gold	intent	intent.probability" ] || fail "header: $(head -n 1 "$out")"
tail -n +2 "$out" | cut -f 1,2 | cmp - <(cut -f 1,3 "$d/bare.tsv") || fail "kept columns differ"
tail -n +2 "$out" | cut -f 3- | cmp - "$d/plain" || fail "answers differ"
run 0 "$berth" predict "$run" "$d/t.jsonl" --input jsonl --keep of.gold,id --format json
grep -q '^{"text": "[a-z ]*", "columns": {"of.gold": "[a-z]*", "id": "100"}, "heads"' "$out" || fail "json: $(head -n 1 "$out")"
run 0 "$berth" predict "$run" "$d/t.conll" --input conll --keep intent,1
cut -f 1 "$out" | cmp - "$seq/label" || fail "a comment of conll"
cut -f 2 "$out" | cmp - "$seq/seq.out" || fail "a column of conll"
run 0 "$berth" predict "$run" "$seq" --input seqfiles --keep label,seq.out --format json
grep -q '"columns": {"label": "[a-z]*", "seq.out": "O ' "$out" || fail "seqfiles: $(head -n 1 "$out")"

say "conll out: a word a line, read again as data"
run 0 "$berth" predict "$run" "$d/t.conll" --input conll --format conll --keep 1 --task intent,slots
cp "$out" "$d/answers.conll"
[ "$(grep -c '^$' "$d/answers.conll")" = 12 ] && [ "$(grep -c '^# intent: ' "$d/answers.conll")" = 12 ] || fail "sentences: $(head "$d/answers.conll")"
awk -F '\t' 'NF && !/^# / { print $1, $2 }' "$d/answers.conll" | cmp - <(grep -v '^#' "$d/t.conll" | grep .) || fail "words and kept tags"
awk -F '\t' '/^$/ { print s; s = "" } NF == 3 && !/^# / { s = s (s == "" ? "" : " ") $3 }' "$d/answers.conll" |
    cmp - <(cut -f 3 "$d/plain") || fail "tags differ from those of tsv"
cat > "$d/again.yaml" <<END
device: cpu
cache: $tmp/cache
model: {backbone: $run/best, max_length: 32}
data: {said: {format: conll, delimiter: tab, text: 0, train: $d/answers.conll, test: $d/answers.conll}}
tasks: {slots: {type: tagging, source: said, label: 2}, intent: {type: classification, source: said, comment: intent}}
END
run 0 "$berth" eval "$run" "$d/again.yaml"
grep -q '^slots	test	word_accuracy	1$' "$out" && grep -q '^intent	test	accuracy	1$' "$out" || fail "the model disagrees with itself: $(cat "$out")"

say "conll: the same columns in every line; a word that begins with #"
printf '{"text": ["play", "music"], "pos": ["VB", "NN"]}\n{"text": ["#breaking:", "news", "#", "x"]}\n{"text": ["rome"], "pos": ["NNP"]}\n' > "$d/mixed.jsonl"
run 0 "$berth" predict "$run" "$d/mixed.jsonl" --input jsonl --format conll --keep pos --task slots
awk -F '\t' 'NF && NF != 3 { exit 1 }' "$out" || fail "other numbers of columns: $(cat "$out")"
grep -q '^news	_	' "$out" || fail "a missing list is not _: $(cat "$out")"
cp "$out" "$d/mixed.conll"
run 0 "$berth" predict "$run" "$d/mixed.conll" --input conll --delimiter tab --format conll --keep 1 --task slots
cmp "$out" "$d/mixed.conll" || fail "read again it is another text: $(diff "$out" "$d/mixed.conll")"

say "probabilities of all classes"
run 0 "$berth" predict "$run" "$seq/seq.in" --probabilities --header
[ "$(head -n 1 "$out")" = "intent	intent.probability	intent.book	intent.play	intent.weather	slots	slots.probability	mood	mood.probability	mood.bad	mood.good" ] ||
    fail "header: $(head -n 1 "$out")"
tail -n +2 "$out" | awk -F '\t' '{ s = $3 + $4 + $5; best = $3 > $4 ? $3 : $4; if ($5 > best) best = $5
    if (s < 0.999 || s > 1.001 || best != $2 || split($6, a, " ") != split($7, b, " ")) exit 1 }' || fail "numbers: $(cat "$out")"
run 0 "$berth" predict "$run" "$seq/seq.in" --probabilities --format json
if command -v python3 > /dev/null; then
    python3 - "$out" <<'END' || fail "json: $(head -n 1 "$out")"
import json, sys
for line in open(sys.argv[1]):
    heads = json.loads(line)["heads"]
    classes = heads["intent"]["classes"]
    assert set(classes) == {"book", "play", "weather"} and abs(sum(classes.values()) - 1) < 1e-4
    assert max(classes, key=classes.get) == heads["intent"]["label"]
    assert len(heads["slots"]["probabilities"]) == len(heads["slots"]["tags"])
END
fi

say "windows: all of a long text is read, and scored as an evaluation does"
awk 'BEGIN { for (i = 0; i < 30; i++) printf "music "; print "next friday morning" }' < /dev/null > "$d/long"
run 0 "$berth" predict "$run" "$d/long" --max-length 10 --task slots
[ "$(tr ' ' '\n' < "$out" | sed -n '9,$p' | sort -u)" = O ] || fail "words behind the cut are not O"
grep -q '1 lines were longer than 10 tokens' "$err" || fail "the cut is not told"
run 0 "$berth" predict "$run" "$d/long" --max-length 10 --task slots --overflow windows
[ "$(wc -w < "$out")" = 33 ] || fail "33 words, $(wc -w < "$out") tags"
grep -q ' I-day$' "$out" || fail "the end of the text was not read: $(cat "$out")"
[ ! -s "$err" ] || fail "windows told of a cut"
run 1 "$berth" predict "$run" "$d/long" --max-length 10 --overflow error
one_line "$d/long:1: found a text of 35 tokens, expected at most 10"
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "music "; print "" }' < /dev/null > "$d/endless"
run 1 "$berth" predict "$run" "$d/endless" --max-length 6 --stride 0 --overflow windows
{ cat "$seq/seq.in" "$d/endless"; cat "$seq/seq.in"; } > "$d/middle" # it comes first by length and thirteenth by place
run 1 "$berth" predict "$run" "$d/middle" --max-length 6 --stride 0 --overflow windows
one_line "$d/middle:13: found a text of 2002 tokens"
[ "$(wc -l < "$out")" = 12 ] || fail "the 12 lines before it have $(wc -l < "$out") answers"
run 1 "$berth" predict "$run" "$d/middle" --overflow error
one_line "$d/middle:13: found a text of 2002 tokens, expected at most 48"
cut -f 1,3,4 "$out" | cmp - <(cut -f 1,3,4 "$d/plain") || fail "the lines before it are not answered as they are alone"
run 1 "$berth" predict "$run" "$d/endless" --max-length 6 --stride 0 --overflow windows
one_line "$d/endless:1: found a text of 2002 tokens, 500 windows, expected at most 256 windows"
run 0 "$berth" predict "$run" "$seq/seq.in" --format conll --probabilities
grep -q '^# intent: [a-z]*$' "$out" && grep -q '^# intent.probability: 0\.[0-9]*$' "$out" && grep -qE '^[a-z]+	[A-Za-z-]+	[01]\.[0-9]{4}$' "$out" ||
    fail "conll with probabilities: $(head -n 5 "$out")"
run 0 "$berth" eval "$run" model.max_length=6 data.talk.overflow=windows data.talk.stride=2
cp "$out" "$d/scores"
run 0 "$berth" predict "$run" "$seq/seq.in" --max-length 6 --overflow windows --stride 2
paste "$out" "$seq/label" "$seq/seq.out" | awk -F '\t' '{ rows++; right += $1 == $6; n = split($3, s, " "); split($7, g, " ")
        for (i = 1; i <= n; i++) { words++; same += s[i] == g[i] } }
    END { printf "intent\ttest\taccuracy\t%.6g\nslots\ttest\tword_accuracy\t%.6g\n", right / rows, same / words }' > "$d/counted"
grep -P '^intent\ttest\taccuracy|^slots\ttest\tword_accuracy' "$d/scores" | cmp - "$d/counted" || fail "$(cat "$d/counted"), eval: $(cat "$d/scores")"

say "the same bits for any number of threads; the same labels for any window"
awk 'BEGIN { for (i = 0; i < 200; i++) { s = "book a table in rome"; for (k = 0; k < i % 9; k++) s = s " please on friday"; print s } }' \
    < /dev/null > "$d/many"
run 0 "$berth" predict "$run" "$d/many" --probabilities --format json
cp "$out" "$d/one"
run 0 env OMP_NUM_THREADS=3 "$berth" predict "$run" "$d/many" --probabilities --format json
cmp "$out" "$d/one" || fail "three threads give other bits than one"
for window in 1 7 100; do
    run 0 "$berth" predict "$run" "$d/many" --window "$window"
    cut -f 1,3,4 "$out" > "$d/labels.$window"
    cmp "$d/labels.$window" "$d/labels.1" || fail "--window $window gives other labels"
done

say "memory does not grow with the input"
if command -v python3 > /dev/null; then
    cat > "$d/peak.py" <<'END'
import os, resource, subprocess, sys
program, run, lines = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = (b"play some music next friday morning " * 20 + b"\n") * 500
p = subprocess.Popen([program, "predict", run, "-", "--max-length", "8", "--format", "json", "--window", "256"],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
if os.fork() == 0:
    p.stdout.close()
    for _ in range(lines // 500): p.stdin.write(text)
    p.stdin.close(); os._exit(0)
p.stdin.close()
count = sum(chunk.count(b"\n") for chunk in iter(lambda: p.stdout.read(1 << 16), b""))
assert p.wait() == 0 and count == lines, count
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
END
    export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    few=$(python3 "$d/peak.py" "$berth" "$run" 1000)
    much=$(python3 "$d/peak.py" "$berth" "$run" 11000) # 7 MB more of text, 20 MB more of answers
    [ $((much - few)) -lt 5000 ] || fail "1,000 lines take $few KiB, 11,000 take $much KiB"
fi

say "mistakes, one line each"
mistake() { # STATUS TEXT ARGUMENTS...
    local status=$1 text=$2
    shift 2
    run "$status" "$berth" predict "$run" "$@"
    one_line "$text"
    [ ! -s "$out" ] || fail "something was printed: $(cat "$out")"
}
mistake 2 "--input: found 'xml', expected one of tsv, csv" "$d/t.tsv" --input xml
mistake 2 "predict: --column: format lines has no columns" "$d/t.lines" --input lines --column 1
mistake 1 "expected one named 'sentense' (--column); did you mean 'sentence'?" "$d/t.tsv" --input tsv --column sentense
mistake 1 "(--keep)" "$d/t.tsv" --input tsv --column sentence --keep id,gould
mistake 2 "--keep id,: the name of a column is empty" "$d/t.tsv" --input tsv --keep id,
mistake 2 "--keep: format text has no columns" "$d/t.tsv" --keep id
mistake 2 "--delimiter" "$d/t.jsonl" --input jsonl --delimiter comma
mistake 1 "$d/none: " "$d/none"
mistake 1 "$d/t.conll:1:1: found '#'" "$d/t.conll" --input jsonl
mistake 2 "--format conll prints a word a line" "$d/t.tsv" --format conll --task intent
mistake 2 "--header goes with --format tsv" "$d/t.tsv" --format json --header
mistake 2 "--stride goes with --overflow windows" "$d/t.tsv" --stride 3
mistake 2 "--task slot: no such head; this model's heads: intent, slots, mood" "$d/t.tsv" --task intent,slot
mistake 2 "--overflow wide: expected cut|windows|error" "$d/t.tsv" --overflow wide
mistake 2 "--window 0: expected a whole number from 1" "$d/t.tsv" --window 0
head -c 60 "$d/t.tsv.gz" > "$d/cut.gz"
mistake 1 "$d/cut.gz: the gzip file ends early" "$d/cut.gz"
printf 'id\tsentence\n1\ta\n2\n' > "$d/ragged.tsv"
run 1 "$berth" predict "$run" "$d/ragged.tsv" --input tsv --column 1
one_line "$d/ragged.tsv:3: found 1 column, expected 2"
[ "$(wc -l < "$out")" = 1 ] || fail "the row before the bad one is not answered"
printf 'fine\nbad \377\n' > "$d/bad"
run 1 "$berth" predict "$run" "$d/bad" --encoding strict
one_line "$d/bad:2"
[ "$(wc -l < "$out")" = 1 ] || fail "the line before the bad one is not answered"
mistake 2 "--keep intent: a head is called 'intent'" "$d/t.conll" --input conll --keep intent --format conll
sed '1s/gold/mood.probability/' "$d/t.tsv" > "$d/named.tsv"
mistake 2 "--keep mood.probability: a head is called 'mood'" "$d/named.tsv" --input tsv --keep mood.probability --header
run 0 "$berth" predict "$run" "$d/bad"
grep -q '1 characters are not UTF-8' "$err" || fail "replaced characters are not told"
passed
