#!/usr/bin/env bash
# Bad data files: one line with file, place and reason; no run folder, nothing in the cache that a later run trusts.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
world=$tmp/world

bad() { # TEXT: training and packing both refuse
    for command in train pack; do
        place="$bad_what ($command)"
        status=0
        "$berth" "$command" "$config" > "$out" 2> "$err" < /dev/null || status=$?
        [ "$status" = 1 ] || [ "$status" = 2 ] || fail "exit status $status, expected 1 or 2"
        one_line "$1"
        [ ! -e "$run" ] || fail "a run folder was made"
    done
}
keep() { # FILE: to be restored
    kept=$1
    cp "$1" "$tmp/kept"
}
restore() {
    cp "$tmp/kept" "$kept"
}

bad_what="an empty file"
keep "$world/train.tsv"
: > "$world/train.tsv"
bad train.tsv
restore

bad_what="a header without rows"
keep "$world/train.tsv"
head -n 1 "$tmp/kept" > "$world/train.tsv"
bad train.tsv
restore

bad_what="a line with the wrong number of columns"
keep "$world/train.tsv"
sed -i '5s/.*/one column too many\there\tand here/' "$world/train.tsv"
bad "train.tsv:5"
sed -i '5s/.*/no column at all/' "$world/train.tsv"
bad "train.tsv:5"
restore

bad_what="a column that the header does not have"
keep "$world/train.tsv"
sed -i '1s/label/lable/' "$world/train.tsv"
bad "label"
restore

bad_what="files of different length"
keep "$world/talk/train/label"
sed -i '$d' "$world/talk/train/label"
bad "talk/train"
restore

bad_what="as many tags as words"
keep "$world/talk/train/seq.out"
sed -i '4s/ O//' "$world/talk/train/seq.out"
bad ":4"
restore

bad_what="a file that is not there"
mv "$world/dev.tsv" "$world/gone.tsv"
bad "dev.tsv"
mv "$world/gone.tsv" "$world/dev.tsv"

bad_what="text that is not UTF-8"
keep "$world/train.tsv"
printf 'a \377 film\tgood\n' >> "$world/train.tsv"
status=0
"$berth" pack "$config" > "$out" 2> "$err" < /dev/null || status=$?
if [ "$status" != 0 ]; then one_line "train.tsv:18"; fi
restore

say "pack: made, then reused"
run 0 "$berth" pack "$config"
[ "$(wc -l < "$out")" = 6 ] || fail "expected six lines, found $(wc -l < "$out")"
awk -F '\t' 'NF != 6 || $3 <= 0 || $4 <= 0 { exit 1 }' "$out" || fail "a line of pack: $(cat "$out")"
run 0 "$berth" pack "$config"
[ "$(grep -c 'reused' "$out")" = 6 ] || fail "the second pack made files again"
packed=$(awk -F '\t' '$1 == "talk" && $2 == "train" { print $6 }' "$out")

say "a truncated packed file is made again, or refused in one line"
run 0 "$berth" inspect "$packed"
grep -q '^kind	pack' "$out" || fail "inspect does not tell a packed file"
size=$(stat -c %s "$packed")
truncate -s $((size / 2)) "$packed"
run 1 "$berth" inspect "$packed"
one_line "$packed"
status=0
"$berth" pack "$config" > "$out" 2> "$err" < /dev/null || status=$?
if [ "$status" = 0 ]; then
    run 0 "$berth" inspect "$packed"
else
    one_line "$packed"
fi
passed
