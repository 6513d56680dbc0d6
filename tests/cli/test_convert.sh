#!/usr/bin/env bash
# berth convert: other number formats, other libraries' folders; what is written loads, with all heads.
set -eu
. "$(dirname "$0")/lib.sh"
make_run
head -n 3 "$tmp/world/talk/test/seq.in" > "$tmp/text"
run 0 "$berth" predict "$run" "$tmp/text"
cp "$out" "$tmp/expected"

say "f32: the same bits"
run 0 "$berth" convert "$run" --out "$tmp/f32"
same_bits "$run/best" "$tmp/f32"
run 0 "$berth" predict "$tmp/f32" "$tmp/text"
cmp "$out" "$tmp/expected"

for dtype in f16 bf16; do
    say "$dtype: half the bytes, the same answers"
    run 0 "$berth" convert "$run" --dtype "$dtype" --out "$tmp/$dtype"
    whole=$(stat -c %s "$tmp/f32/model.safetensors")
    half=$(stat -c %s "$tmp/$dtype/model.safetensors")
    [ $((half * 10)) -lt $((whole * 6)) ] || fail "$half bytes of $whole"
    run 0 "$berth" inspect "$tmp/$dtype/model.safetensors"
    awk -F '\t' -v type="${dtype^^}" '$1 == "tensor" && $3 != type { exit 1 }' "$out" || fail "a tensor is not of that type"
    run 0 "$berth" predict "$tmp/$dtype" "$tmp/text"
    cut -f 1,3 "$out" > "$tmp/labels"
    cut -f 1,3 "$tmp/expected" | cmp - "$tmp/labels" || fail "other answers"
    say "$dtype: a second time, the same file"
    run 0 "$berth" convert "$tmp/$dtype" --dtype "$dtype" --out "$tmp/again"
    cmp "$tmp/$dtype/model.safetensors" "$tmp/again/model.safetensors"
    rm -r "$tmp/again"
done
grep -q '"torch_dtype": "bfloat16"' "$tmp/bf16/config.json" || fail "config.json does not say bfloat16"

say "sentence-transformers"
run 0 "$berth" convert "$run" --to sentence-transformers --pooling cls --normalize --max-length 24 --out "$tmp/sentences"
grep -q '"pooling_mode_cls_token": true' "$tmp/sentences/1_Pooling/config.json" || fail "not cls"
grep -q '"max_seq_length": 24' "$tmp/sentences/sentence_bert_config.json" || fail "not 24 tokens"
grep -q 'models.Normalize' "$tmp/sentences/modules.json" || fail "does not normalize"
run 0 "$berth" predict "$tmp/sentences" "$tmp/text"
cmp "$out" "$tmp/expected"

say "wrong usage"
run 2 "$berth" convert "$run"
one_line "--out"
run 2 "$berth" convert "$run" --out "$tmp/f32"
one_line "$tmp/f32: exists"
run 2 "$berth" convert "$run" --out "$tmp/none" --dtype f8
one_line "expected f32|f16|bf16"
run 2 "$berth" convert "$run" --out "$tmp/none" --normalize
one_line "--normalize goes with --to sentence-transformers"
run 2 "$berth" convert "$run" --out "$tmp/none" --to sentence-transformers --max-length 1000
one_line "max-length"
run 1 "$berth" convert "$tmp/world" --out "$tmp/none"
one_line "neither a model folder"
[ ! -e "$tmp/none" ] || fail "something was written"
find "$tmp" -maxdepth 1 -name '*.tmp.*' | grep . && fail "something was left behind"
passed
