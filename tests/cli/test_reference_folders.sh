#!/usr/bin/env bash
# Folders that the reference library wrote: their head answers, weights of both kinds are shown, the head is told.
set -eu
. "$(dirname "$0")/lib.sh"
golden=$BERTH_SOURCE_DIR/tests/golden

say "a folder of BertForSequenceClassification answers with its labels"
cp -r "$golden/reference_heads/bert_class" "$tmp/model"
{ printf '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n'; printf 'w%s\n' $(seq 27); } > "$tmp/model/vocab.txt"
printf 'w3 w4 w5\nw9\n' > "$tmp/text"
run 0 "$berth" predict "$tmp/model" "$tmp/text" --task classifier
[ "$(wc -l < "$out")" = 2 ] || fail "two lines: $(cat "$out")"
grep -qvE '^(calm|glad|cross)(	|$)' "$out" && fail "other labels: $(cat "$out")"
run 0 "$berth" inspect "$tmp/model"
grep -q '^head	classifier	classification	pooler	3 labels: calm glad cross' "$out" || fail "no head: $(cat "$out")"

say "converted it is the same class again"
run 0 "$berth" convert "$tmp/model" --out "$tmp/again"
grep -q '"BertForSequenceClassification"' "$tmp/again/config.json" || fail "another class"
run 0 "$berth" inspect "$tmp/model/model.safetensors"
grep '^tensor' "$out" | sort > "$tmp/theirs"
run 0 "$berth" inspect "$tmp/again/model.safetensors"
grep '^tensor' "$out" | sort | cmp - "$tmp/theirs" || fail "other tensors"

say "pytorch_model.bin shows its tensors; the folder has the bits of the one with safetensors"
run 0 "$berth" inspect "$golden/torch_small/bin/pytorch_model.bin"
[ "$(grep -cE '^tensor	[A-Za-z0-9._]+	F32	.[0-9, ]+.	[0-9a-f]{32}$' "$out")" -gt 20 ] || fail "too few tensors: $(cat "$out")"
same_bits "$golden/torch_small/bin" "$golden/torch_small/safetensors"
head -c 100 "$golden/torch_small/bin/pytorch_model.bin" > "$tmp/cut.bin"
run 1 "$berth" inspect "$tmp/cut.bin"
one_line "$tmp/cut.bin"
passed
