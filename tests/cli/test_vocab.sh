#!/usr/bin/env bash
# berth vocab: files of every kind, budgets of memory, what is left behind.
set -eu
. "$(dirname "$0")/lib.sh"

say "vocab: the same files, the same vocabulary"
write_talk "$tmp/talk" 60 0
write_reviews "$tmp/reviews.tsv" 20 0
run 0 "$berth" vocab "$tmp/talk/seq.in" --size 120 --out "$tmp/one"
run 0 "$berth" vocab "$tmp/talk/seq.in" --size 120 --out "$tmp/two"
cmp "$tmp/one/vocab.txt" "$tmp/two/vocab.txt" || fail "two trainings differ"
for token in '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]'; do
    grep -qxF "$token" "$tmp/one/vocab.txt" || fail "$token is missing"
done
[ "$(wc -l < "$tmp/one/vocab.txt")" -le 120 ] || fail "more than 120 entries"
run 0 "$berth" tokenize "$tmp/one" "$tmp/talk/seq.in"
awk '{ for (i = 1; i <= NF; i++) if ($i == 1) exit 1 }' "$out" || fail "its own text gives [UNK]"

say "vocab: one that is there is replaced with --force alone"
run 2 "$berth" vocab "$tmp/reviews.tsv" --size 80 --out "$tmp/two"
one_line "$tmp/two/vocab.txt: is there already"
cmp "$tmp/one/vocab.txt" "$tmp/two/vocab.txt" || fail "the refused vocabulary was written"
run 0 "$berth" vocab "$tmp/reviews.tsv" --size 80 --out "$tmp/two" --force
cmp -s "$tmp/one/vocab.txt" "$tmp/two/vocab.txt" && fail "--force wrote nothing"
mkdir "$tmp/empty"
run 0 "$berth" vocab "$tmp/talk/seq.in" --size 120 --out "$tmp/empty"

say "vocab --column"
run 0 "$berth" vocab "$tmp/reviews.tsv" --column sentence --size 80 --out "$tmp/c1"
run 0 "$berth" vocab "$tmp/reviews.tsv" --column 1 --size 80 --out "$tmp/c2"
cut -f 1 "$tmp/reviews.tsv" | tail -n +2 > "$tmp/plain"
run 0 "$berth" vocab "$tmp/plain" --size 80 --out "$tmp/c3"
cmp "$tmp/c1/vocab.txt" "$tmp/c3/vocab.txt" || fail "the column alone gives another vocabulary"
cmp -s "$tmp/c1/vocab.txt" "$tmp/c2/vocab.txt" && fail "another column gives the same vocabulary"
tail -n +2 "$tmp/reviews.tsv" | tr '\t' ';' > "$tmp/headless.csv"
run 0 "$berth" vocab "$tmp/headless.csv" --column 0 --no-header --delimiter semicolon --size 80 --out "$tmp/c5"
cmp "$tmp/c5/vocab.txt" "$tmp/c3/vocab.txt" || fail "--no-header --delimiter give another vocabulary"
run 0 "$berth" vocab "$tmp/reviews.tsv" --column 0 --pair-column 1 --size 80 --out "$tmp/c6"
cmp -s "$tmp/c6/vocab.txt" "$tmp/c3/vocab.txt" && fail "--pair-column reads nothing more"

# train NAME ARGUMENTS...: the vocabulary of $tmp/NAME.
train() {
    local name=$1
    shift
    run 0 "$berth" vocab "$@" --size 80 --out "$tmp/$name"
}
same_as() { # NAME NAME WHAT
    cmp "$tmp/$1/vocab.txt" "$tmp/$2/vocab.txt" || fail "$3: another vocabulary"
}

say "csv, jsonl, compressed files, lists of files, standard input"
sed 's/\t/,/' "$tmp/reviews.tsv" > "$tmp/reviews.csv"
awk -F '\t' 'NR > 1 { printf "{\"sentence\": \"%s\", \"other\": 1}\n", $1 }' "$tmp/reviews.tsv" > "$tmp/reviews.jsonl"
train csv "$tmp/reviews.csv" --column sentence
same_as csv c3 csv
train jsonl "$tmp/reviews.jsonl" --column sentence
same_as jsonl c3 jsonl
train input "$tmp/reviews.csv" --input csv
same_as input c3 "--input csv"
gzip -c "$tmp/reviews.tsv" > "$tmp/reviews.tsv.gz"
train gzip "$tmp/reviews.tsv.gz" --column sentence
same_as gzip c3 gzip
if command -v zstd > /dev/null; then
    zstd -q -c "$tmp/plain" > "$tmp/plain.zst"
    train zstd "$tmp/plain.zst"
    same_as zstd c3 zstd
fi
split -l 3 "$tmp/plain" "$tmp/part."
ls "$tmp"/part.* | sort -r > "$tmp/list"
train listed --files "$tmp/list"
same_as listed c3 "--files"
"$berth" vocab - --size 80 --out "$tmp/stdin" < "$tmp/plain" > "$out" 2> "$err" || fail "standard input"
same_as stdin c3 "standard input"

say "more than memory: the same vocabulary, and nothing left in the folder of temporary files"
awk 'BEGIN { for (i = 0; i < 30000; i++) { x = ""; for (n = i * 7919 % 99991; n > 0; n = int(n / 9)) x = x substr("etaoinshr", n % 9 + 1, 1)
             printf "%s%s", x, i % 9 ? " " : "\n" } }' > "$tmp/many"
mkdir "$tmp/temp"
run 0 "$berth" vocab "$tmp/many" --size 3000 --out "$tmp/all" --temp "$tmp/temp"
run 0 "$berth" vocab "$tmp/many" --size 3000 --out "$tmp/spilled" --memory 1MiB --temp "$tmp/temp" --verbose
grep -q "temporary files" "$err" || fail "1 MiB was enough for all"
same_as spilled all "1 MiB of memory"
[ -z "$(ls -A "$tmp/temp")" ] || fail "left: $(ls -A "$tmp/temp")"
TMPDIR=$tmp/nowhere run 0 "$berth" vocab "$tmp/many" --size 3000 --out "$tmp/new/deep/beside" --memory 1MiB
same_as new/deep/beside all "temporary files beside the folder"
[ -z "$(find "$tmp" -name '*berth-vocab*')" ] || fail "left: $(find "$tmp" -name '*berth-vocab*')"

say "killed while its temporary files are in use"
mkfifo "$tmp/pipe"
"$berth" vocab "$tmp/pipe" --size 3000 --out "$tmp/killed" --memory 1MiB --temp "$tmp/temp" > "$out" 2> "$err" &
victim=$!
exec 8> "$tmp/pipe"
cat "$tmp/many" >&8
for _ in $(seq 200); do
    ls -l "/proc/$victim/fd" 2> /dev/null | grep -q "berth-vocab" && break
    sleep 0.05
done
ls -l "/proc/$victim/fd" | grep -q "berth-vocab.*deleted" || fail "no temporary file is in use"
kill -KILL "$victim"
wait "$victim" 2> /dev/null || true
exec 8>&-
[ -z "$(ls -A "$tmp/temp")" ] || fail "left: $(ls -A "$tmp/temp")"
[ ! -e "$tmp/killed" ] || fail "a folder of a training that did not end"

say "a limit on the size of files that the temporary ones exceed"
status=0
(ulimit -f 100; exec "$berth" vocab "$tmp/many" --size 3000 --out "$tmp/limited" --memory 1MiB --temp "$tmp/temp") \
    > "$out" 2> "$err" < /dev/null || status=$?
[ "$status" = 1 ] || fail "exit status $status, expected 1"
one_line "File too large"
[ -z "$(ls -A "$tmp/temp")" ] && [ ! -e "$tmp/limited" ] || fail "something was left"

say "a limit on memory that the words exceed, and their budget does not"
awk 'BEGIN { for (i = 1; i <= 500000; i++) printf "%dx%d%s", i * 7919 % 1000003, i % 7, i % 9 ? " " : "\n" }' > "$tmp/more"
under_limit() { # BUDGET
    status=0
    (ulimit -d 100000; OMP_NUM_THREADS=1 exec "$berth" vocab "$tmp/more" --size 500 --out "$tmp/bound" --memory "$1" --temp "$tmp/temp") \
        > "$out" 2> "$err" < /dev/null || status=$?
}
if { (ulimit -d 100000; exec "$berth" tokenize "$tmp/one" "$tmp/plain"); } > /dev/null 2>&1; then
    under_limit 4GiB
    [ "$status" = 1 ] || fail "exit status $status with a budget beyond the limit, expected 1"
    one_line "out of memory"
    under_limit 16MiB
    [ "$status" = 0 ] || fail "exit status $status with 16 MiB of budget, expected 0"
fi # else: a sanitizer, which needs more than the limit by itself

say "mistakes"
wrong() { # STATUS TEXT ARGUMENTS...
    local status=$1 text=$2
    shift 2
    run "$status" "$berth" vocab "$@" --out "$tmp/c4"
    one_line "$text"
    [ ! -e "$tmp/c4" ] || fail "a failed vocab left its folder"
}
wrong 1 "expected one named 'text'" "$tmp/reviews.tsv" --column text --size 80
wrong 1 "reviews.tsv:1" "$tmp/reviews.tsv" --column 2 --size 80
wrong 2 "none of the files is a *.tsv" "$tmp/plain" --column 2 --size 80
wrong 2 "--memory 12: expected a size of at least 1 MiB" "$tmp/plain" --memory 12 --size 80
wrong 2 "--memory 1QB: expected a size" "$tmp/plain" --memory 1QB --size 80
wrong 2 "--temp $tmp/nowhere: is not a folder" "$tmp/plain" --temp "$tmp/nowhere" --size 80
wrong 2 "--size N is missing" "$tmp/plain"
wrong 2 "too few arguments" --size 80
wrong 1 "$tmp/nowhere" "$tmp/nowhere" --size 80
printf 'good\nb\377d\n' > "$tmp/bad"
wrong 1 "bad:2:2: found byte 0xFF, expected valid UTF-8" "$tmp/bad" --size 80
train replaced "$tmp/bad" --encoding replace
printf '\n \n' > "$tmp/blank"
wrong 1 "1 files, 2 texts: no words" "$tmp/blank" --size 80
passed
