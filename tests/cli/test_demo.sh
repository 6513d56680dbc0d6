#!/usr/bin/env bash
# slow: the demo, shortened: its data, vocabulary, configuration, training, scores, answers and embeddings.
set -eu
. "$(dirname "$0")/lib.sh"
demo_data=${BERTH_DEMO_DATA:?the program that writes the demo data}

say "every configuration of configs/ is right"
for file in "$BERTH_SOURCE_DIR"/configs/*.yaml; do run 0 "$berth" config "$file"; done

say "data and vocabulary"
run 0 "$demo_data" "$tmp/data"
run 0 "$berth" vocab "$tmp/data/assistant/train/seq.in" "$tmp/data/reviews/train.tsv" --column sentence --size 1500 \
    --out "$tmp/vocab"

say "training for two epochs"
set -- "$BERTH_SOURCE_DIR/configs/demo.yaml" data_folder="$tmp/data" model.vocab="$tmp/vocab" cache="$tmp/cache"
run 0 "$berth" train "$@" output="$tmp/demo" train.epochs=2
score() {
    awk -F '\t' -v task="$1" -v metric="$2" '$1 == task && $2 == "test" && $3 == metric { print $4 }' "$out"
}
run 0 "$berth" eval "$tmp/demo" "$@"
awk -v a="$(score intent accuracy)" 'BEGIN { exit !(a > 0.6) }' || fail "intent accuracy $(score intent accuracy)"
awk -v f="$(score entities span_f1)" 'BEGIN { exit !(f > 0.2) }' || fail "entities F1 $(score entities span_f1)"
awk -v a="$(score sentiment accuracy)" 'BEGIN { exit !(a > 0.45) }' || fail "sentiment accuracy $(score sentiment accuracy)"

say "answers and embeddings"
printf 'call anna\nset a timer\nthe food was not good\n' > "$tmp/three"
run 0 "$berth" predict "$tmp/demo" "$tmp/three" --count-passes
grep -qx 'passes: 1 batches: 1' "$err" || fail "three sentences, three heads: $(tail -n 1 "$err")"
run 0 "$berth" embed "$tmp/demo" "$tmp/three"
grep -qx 'shape: (3, 128)' "$err" || fail "shape: $(tail -n 1 "$err")"
passed
