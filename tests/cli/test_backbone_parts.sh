#!/usr/bin/env bash
# model.layers keeps the lower part of a backbone, model.pooler gives it a fresh pooler; both are checked.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
[ -n "${BERTH_MAKE_MODEL:-}" ] || skip "make_model was not built"
"$BERTH_MAKE_MODEL" "$tmp/backbone" "$tmp/world/vocab" 3 32 2 64
sed -e "s|^  new: .*|  backbone: $tmp/backbone|" -e '/^  vocab:/d' "$config" > "$tmp/world/lower.yaml"

say "the lower two layers of three train and are saved"
run 0 "$berth" train "$tmp/world/lower.yaml" model.layers=0-1 model.pooler=new tasks.intent.pooling=pooler train.epochs=1
grep -q '"num_hidden_layers": 2' "$tmp/run/best/config.json" || fail "config.json does not say 2 layers"
"$berth" inspect "$tmp/run/best" > "$out"
grep -q "encoder.layer.1.output.dense.weight" "$out" || fail "layer 1 is not there"
grep -q "encoder.layer.2" "$out" && fail "layer 2 is there"
grep -q "pooler.dense.weight" "$out" || fail "there is no pooler"

say "other ranges are refused"
for range in 1-2 2 0-x 0--1 a ""; do
    run 2 "$berth" train "$tmp/world/lower.yaml" "output=$tmp/other" "model.layers=$range"
    one_line "model.layers"
done
run 2 "$berth" train "$tmp/world/lower.yaml" "output=$tmp/other" model.layers=0-3
one_line "this backbone has layers 0 to 2"
[ ! -e "$tmp/other" ] || fail "a run folder was made"

say "a DistilBERT has no pooler: both ways out are named"
"$BERTH_MAKE_MODEL" "$tmp/distil" "$tmp/world/vocab" 2 32 2 64 distilbert
run 2 "$berth" train "$tmp/world/lower.yaml" "model.backbone=$tmp/distil" tasks.intent.pooling=pooler "output=$tmp/other"
one_line "take mean or cls, or give it a fresh one: model.pooler: new"
run 0 "$berth" train "$tmp/world/lower.yaml" "model.backbone=$tmp/distil" model.pooler=new tasks.intent.pooling=pooler \
    train.epochs=1 "output=$tmp/other"
passed
