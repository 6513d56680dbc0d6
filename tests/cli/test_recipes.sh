#!/usr/bin/env bash
# Every recipe on the demo's data plans what its head promises; configs/README.md lists every file.
set -eu
. "$(dirname "$0")/lib.sh"
demo_data=${BERTH_DEMO_DATA:?the program that writes the demo data}
configs=$BERTH_SOURCE_DIR/configs

run 0 "$demo_data" "$tmp/data"
run 0 "$berth" vocab "$tmp/data/assistant/train/seq.in" "$tmp/data/reviews/train.tsv" --column sentence --size 1500 \
    --out "$tmp/vocab"

# plan NAME PATTERN...: the plan of configs/NAME.yaml has a line for each extended regular expression
plan() {
    local name=$1 pattern
    shift
    say "$name"
    run 0 "$berth" train "$configs/$name.yaml" data_folder="$tmp/data" model.vocab="$tmp/vocab" cache="$tmp/cache" \
        output="$tmp/$name" --dry-run
    for pattern in "$@"; do
        grep -Eq -- "$pattern" "$out" || fail "the plan has no line '$pattern': $(cat "$out")"
    done
    [ ! -e "$tmp/$name" ] || fail "--dry-run wrote a run folder"
}
all='^(intent|entities) .* 4000 '
plan demo "$all" '^sentiment .* 600 .* 2 ' 'weighting fixed'
plan separate '^sentiment .* 600 ' '570 together'
! grep -q '^intent' "$out" || fail "separate trains intent"
plan transfer "== stage 1 of 2: 'a'; trains intent, entities" "== stage 2 of 2: 'b'; trains sentiment; starts from the best model of 'a'" \
    '^layers.0 .*until 2 epochs'
plan freeze_gradual "$all" '^layers.3 .*until 1 epoch' '^layers.0 .*until 4 epochs' '^embeddings .*until 4 epochs'
plan freeze_head "$all" '^heads.sentiment .*from 5 epochs' '^layers.0 .*from 5 epochs'
plan uncertainty "$all" 'weighting uncertainty'
plan layer_decay_ema "$all" 'average 0.99' '^layers.3 .* 8.00e-04' '^layers.0 .* 4.10e-04' '^embeddings .* 3.28e-04' '^heads.intent .* 2.00e-03' \
    '^heads.sentiment .* 1.00e-03' 'schedule cosine'
plan demo_labels '^topics +multilabel +5 +2000 '
plan demo_number '^stars +regression +0 +2000 '
plan demo_search '^search +contrastive .* 2000 ' '^alike +similarity .* 2000 '
! grep -q '^berth: ' "$err" || fail "heads without values of their own are taken for frozen: $(cat "$err")"
plan demo_adapt "== stage 1 of 2: 'adapt'; trains words" "== stage 2 of 2: 'tune'; trains intent, entities" '^few +train +300 '
plan demo_crf '^entities +tagging +27 +4000 '
plan demo_few '^(intent|entities|sentiment) .* 60 ' 'altered of source assistant: 0.7 of its draws: entity 0.5, delete 0.1, swap 0.05'
plan demo_sampling '^reviews +source +600 +4000 +0.500 .* 85.0 % altered' "altered of source reviews: a row's second and later draws"

say "the table"
for file in "$configs"/*.yaml; do
    grep -qF "($(basename "$file"))" "$configs/README.md" || fail "configs/README.md does not list $(basename "$file")"
done
passed
