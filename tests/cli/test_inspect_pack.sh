#!/usr/bin/env bash
# berth inspect PACK.h5: where packed data came from, what it holds, and one row of it.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
tab=$(printf '\t')
has() { # TEXT: a line of the output is it, a space for each tab
    tr '\t' ' ' < "$out" | grep -qxF -- "$1" || fail "expected the line '$1', found: $(cat "$out")"
}
mkdir "$tmp/world/few"
printf 'play some jazz\nrain\n' > "$tmp/world/few/seq.in"
printf 'O B-a I-a\nO\n' > "$tmp/world/few/seq.out"
printf 'play\nweather\n' > "$tmp/world/few/label"
run 0 "$berth" pack "$config" data.talk.train=few data.talk.dev=null data.talk.test=null model.max_length=5
pack=$(awk -F '\t' '$1 == "talk" { print $6 }' "$out")

say "the whole"
run 0 "$berth" inspect "$pack"
has 'kind pack'
has 'source "talk"'
has 'split "train"'
has 'rows 2'
has 'max_length 5'
has "label 0 \"label\" classification 2 names [\"play\", \"weather\"]"
has "label 1 \"seq.out\" tagging 3 names [\"O\", \"B-a\", \"I-a\"]"
grep -qE "^file${tab}\"[^\"]*few/seq.in\"${tab}20 bytes${tab}[0-9a-f]{32}$" "$out" || fail "the file is not named: $(cat "$out")"
grep -qE "^dataset${tab}offset${tab}I64${tab}\[3\]${tab}[0-9a-f]{32}$" "$out" || fail "no dataset 'offset': $(cat "$out")"
grep -qE "^digest${tab}[0-9a-f]{32}$" "$out" || fail "no digest"

say "a row"
run 0 "$berth" inspect "$pack" --row 0 --vocab "$tmp/world/vocab"
has 'row 0 of 2 text row 0'
has 'label 0 "label" classification "play"'
grep -qE "^token${tab}0${tab}[0-9]+${tab}\"\[CLS\]\"${tab}0$" "$out" || fail "no [CLS]: $(cat "$out")"
grep -qE "^token${tab}1${tab}[0-9]+${tab}\"[a-z]+\"${tab}0${tab}0${tab}\"O\"$" "$out" || fail "no first word: $(cat "$out")"
[ "$(grep -c '"B-a"$' "$out")" = 1 ] || fail "the tag B-a: $(cat "$out")"
[ "$(grep -c "^token" "$out")" = 5 ] || fail "expected 5 tokens: $(cat "$out")"
run 0 "$berth" inspect "$pack" --row 1
has 'label 0 "label" classification "weather"'

say "mistakes"
run 2 "$berth" inspect "$pack" --row 2
one_line "found 2, expected a row from 0 to 1"
printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n' > "$tmp/other.txt"
run 2 "$berth" inspect "$pack" --row 0 --vocab "$tmp/other.txt"
one_line "another tokenizer than the pack was made with"
run 2 "$berth" inspect "$tmp/world/vocab" --row 0
one_line "for packed data"
head -c 9000 "$pack" > "$tmp/cut.h5"
run 1 "$berth" inspect "$tmp/cut.h5" --row 0
one_line "truncated"
passed
