#!/usr/bin/env bash
# berth data: what lies in the files of a configuration, for a reader and as JSON.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
has() { # TEXT: a line of the output is it
    grep -qxF -- "$1" "$out" || fail "expected the line '$1', found: $(cat "$out")"
}

say "a small world"
run 0 "$berth" data "$config"
has "talk"
has "reviews"
has "  mood: classification, 2 labels"
has "    good                                       8  50.00 %         4  50.00 %         4  50.00 %"
has "    rows without a label                       0                  0                  0"
grep -q "^  train         48 .* 0.00 %           0$" "$out" || fail "the rows of talk are not there: $(cat "$out")"
[ "$(awk '{ if (length($0) > most) most = length($0) } END { print most }' "$out")" -le 100 ] || fail "a line is longer than 100 signs"
cp "$out" "$tmp/first"
run 0 "$berth" data "$config"
cmp "$tmp/first" "$out" || fail "from the cache it says something else"

say "one object of JSON"
run 0 "$berth" data "$config" --json
grep -q '^{"max_length":32,"sources":{"talk":{"train":{"rows":48,"tokens":' "$out" || fail "found: $(head -c 200 "$out")"
grep -qF '"mood":{"labelled":16,"missing":0,"labels":{"bad":8,"good":8},"unseen":{}}' "$out" || fail "mood: $(cat "$out")"
[ "$(wc -l < "$out")" = 1 ] || fail "expected one line"

say "what is wrong in the files is shown"
printf 'sentence\tlabel\na great film\tgood\nA great film!\tsoso\nvery long\t\n' > "$tmp/world/dev.tsv"
run 0 "$berth" data "$config" model.max_length=5
has "    dev has 1 label that training lacks: soso (1)"
has "    rows without a label                       0                  1                  0"
has "        but for case, spaces, .         1         0         -         0"

say "mistakes"
run 2 "$berth" data "$config" sampling.schem=uniform
grep -qF "did you mean 'sampling.scheme'" "$err" || fail "found: $(cat "$err")"
printf 'sentence\tlabel\nno tab\n' > "$tmp/world/dev.tsv"
run 1 "$berth" data "$config"
grep -qF "dev.tsv:2:" "$err" || fail "found: $(cat "$err")"
[ ! -s "$out" ] || fail "something was printed: $(cat "$out")"
passed
