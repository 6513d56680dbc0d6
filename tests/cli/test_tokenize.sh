#!/usr/bin/env bash
# berth tokenize.
set -eu
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/v"
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' play '##ing' music '!' caf '##e' > "$tmp/v/vocab.txt"

say "ids"
printf 'Playing music!\n\nCaf\303\251 xyz\nplay\tmusic' > "$tmp/text"
run 0 "$berth" tokenize "$tmp/v" "$tmp/text"
same "$out" "2 5 6 7 8 3
2 3
2 9 10 1 3
2 5 7 3" "ids"
run 0 "$berth" tokenize "$tmp/v" "$tmp/text" --no-special
same "$out" "5 6 7 8

9 10 1
5 7" "ids without special tokens"
"$berth" tokenize "$tmp/v" --no-special --tokens < "$tmp/text" > "$out"
[ "$(head -n 1 "$out")" = "play ##ing music !" ] || fail "--tokens: $(head -n 1 "$out")"
"$berth" tokenize "$tmp/v" - --no-special --offsets < "$tmp/text" > "$out"
[ "$(head -n 1 "$out")" = "5:0-4 6:4-7 7:8-13 8:13-14" ] || fail "--offsets: $(head -n 1 "$out")"

say "characters, pairs, given words, json"
printf 'caf\303\251 music!\n' > "$tmp/accent"
run 0 "$berth" tokenize "$tmp/v" "$tmp/accent" --no-special --characters
same "$out" "9:0-3 10:3-4 7:5-10 8:10-11" "characters"
printf 'play music\tcafe!\nplay\n' > "$tmp/pairs"
run 0 "$berth" tokenize "$tmp/v" "$tmp/pairs" --pair
same "$out" "2 5 7 3 9 10 8 3
2 5 3" "pairs"
run 0 "$berth" tokenize "$tmp/v" "$tmp/pairs" --pair --words --format json
same "$out" '{"line": 1, "ids": [2, 5, 7, 3, 9, 10, 8, 3], "tokens": ["[CLS]", "play", "music", "[SEP]", "caf", "##e", "!", "[SEP]"], "offsets": [[0, 0], [0, 4], [0, 5], [0, 0], [0, 3], [3, 4], [4, 5], [0, 0]], "words": [-1, 0, 1, -1, 0, 0, 0, -1], "segments": [0, 0, 0, 0, 1, 1, 1, 1]}
{"line": 2, "ids": [2, 5, 3], "tokens": ["[CLS]", "play", "[SEP]"], "offsets": [[0, 0], [0, 4], [0, 0]], "words": [-1, 0, -1], "segments": [0, 0, 0]}' "json"

say "cutting"
echo 'play music ! cafe play music' > "$tmp/long"
run 0 "$berth" tokenize "$tmp/v" "$tmp/long" --max-length 5
same "$out" "2 5 7 8 3" "cut"
run 0 "$berth" tokenize "$tmp/v" "$tmp/long" --max-length 5 --from-left
same "$out" "2 10 5 7 3" "cut from the left"
run 0 "$berth" tokenize "$tmp/v" "$tmp/long" --max-length 5 --windows --stride 1
same "$out" "2 5 7 8 3
2 8 9 10 3
2 10 5 7 3" "windows"
run 0 "$berth" tokenize "$tmp/v" "$tmp/pairs" --pair --max-length 7 --truncation only_first
same "$out" "2 5 3 9 10 8 3
2 5 3" "only first"
run 1 "$berth" tokenize "$tmp/v" "$tmp/pairs" --pair --max-length 6 --truncation only_first
one_line "pairs: line 1: 2 tokens too long, but the first text, which alone may be cut, has only 2"
run 2 "$berth" tokenize "$tmp/v" "$tmp/long" --max-length 2
one_line "max_length is 2, expected more than the 2 special tokens"
run 2 "$berth" tokenize "$tmp/v" "$tmp/long" --windows
one_line "--windows needs --max-length"
run 2 "$berth" tokenize "$tmp/v" "$tmp/long" --max-length 5 --stride 1
one_line "--stride needs --windows"

say "back to text"
echo '2 5 6 7 8 3' > "$tmp/ids"
run 0 "$berth" tokenize "$tmp/v" "$tmp/ids" --decode
same "$out" "[CLS] playing music! [SEP]" "decode"
run 0 "$berth" tokenize "$tmp/v" "$tmp/ids" --decode --skip-special
same "$out" "playing music!" "decode without special tokens"
echo '2 x' > "$tmp/ids"
run 1 "$berth" tokenize "$tmp/v" "$tmp/ids" --decode
one_line "ids:1: 'x', expected a token id"
echo '2 99' > "$tmp/ids"
run 1 "$berth" tokenize "$tmp/v" "$tmp/ids" --decode
one_line "ids:1: token id 99 at place 1, expected 0 to 10"

say "threads: the same output"
for i in 1 2 3; do write_talk "$tmp/talk$i" 3000 "$i"; done
cat "$tmp"/talk?/seq.in > "$tmp/many"
run 0 "$berth" tokenize "$tmp/v" "$tmp/many" --offsets --threads 1
cp "$out" "$tmp/one_thread"
run 0 "$berth" tokenize "$tmp/v" "$tmp/many" --offsets --threads 4
cmp "$out" "$tmp/one_thread" || fail "four threads print something else"
[ "$(wc -l < "$out")" = "$(wc -l < "$tmp/many")" ] || fail "not a line for each line"

say "vocabularies that are wrong"
mkdir "$tmp/dup" "$tmp/nounk" "$tmp/none"
sed 's/music/play/' "$tmp/v/vocab.txt" > "$tmp/dup/vocab.txt"
run 1 "$berth" tokenize "$tmp/dup" "$tmp/text"
one_line "vocab.txt:8"
grep -v UNK "$tmp/v/vocab.txt" > "$tmp/nounk/vocab.txt"
run 1 "$berth" tokenize "$tmp/nounk" "$tmp/text"
one_line "[UNK]"
run 1 "$berth" tokenize "$tmp/none" "$tmp/text"
one_line "$tmp/none"

passed
