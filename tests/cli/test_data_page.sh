#!/usr/bin/env bash
# docs/data.md: its files are read, and its configurations planned, as they stand; so are those of configs/.
set -eu
. "$(dirname "$0")/lib.sh"
page=$BERTH_SOURCE_DIR/docs/data.md
mkdir "$tmp/page"

say "the page's files and configurations"
awk -v folder="$tmp/page" '
    /^```/ && inside { close(name); inside = 0; next }
    /^```text / { name = folder "/" $2; inside = 1; printf "" > name; next }
    /^```yaml/ { name = folder "/block" ++blocks ".yaml"; inside = 1; printf "" > name; next }
    inside { print >> name }' "$page"
files=$(find "$tmp/page" -type f ! -name '*.yaml' | wc -l)
blocks=$(find "$tmp/page" -name 'block*.yaml' | wc -l)
[ "$files" -ge 5 ] && [ "$blocks" -ge 7 ] || fail "found $files files and $blocks configurations"
run 0 "$berth" vocab "$tmp/page/reviews.tsv" "$tmp/page/talk.conll" "$tmp/page/sst.lines" --size 300 --out "$tmp/vocab"
for block in "$tmp/page"/block*.yaml; do
    say "$(basename "$block"): $(tr '\n' ' ' < "$block")"
    set -- output="$tmp/run" cache="$tmp/cache" data_folder="$tmp/page" model.vocab="$tmp/vocab" device=cpu train.batch_size=4 \
        model.new='{layers: 1, hidden: 32, heads: 2, intermediate: 32, positions: 128}'
    run 0 "$berth" data "$block" "$@"
    run 0 "$berth" train "$block" "$@" --dry-run
done

say "a run by the page's own augmentation"
run 0 "$berth" train "$tmp/page/block7.yaml" "$@" train.epochs=2
grep -q '"type":"step"' "$tmp/run/metrics.jsonl" || fail "no step was told"

say "configurations of configs/ on the demo's data"
"${BERTH_DEMO_DATA:?the program that writes the demo data}" "$tmp/demo" > "$out" 2> "$err" || fail "no demo data"
run 0 "$berth" vocab "$tmp/demo/assistant/train/seq.in" "$tmp/demo/reviews/train.tsv" --column sentence --size 1000 --out "$tmp/words"
demos=0
for file in "$BERTH_SOURCE_DIR"/configs/*.yaml; do
    say "$(basename "$file")"
    run 0 "$berth" config "$file"
    if grep -q '^data_folder: build/demo-data' "$file"; then
        demos=$((demos + 1))
        run 0 "$berth" train "$file" data_folder="$tmp/demo" model.vocab="$tmp/words" cache="$tmp/cache" output="$tmp/plan" --dry-run
    elif [ -d "${BERTH_TEST_DATA:-}/snips" ] && grep -q '^data_folder: data' "$file"; then
        run 0 "$berth" train "$file" data_folder="$BERTH_TEST_DATA" model.backbone=null cache="$tmp/cache" output="$tmp/plan" \
            model.new='{layers: 1, hidden: 32, heads: 2, intermediate: 32, positions: 64}' model.vocab="$tmp/words" --dry-run
    fi
done
[ "$demos" -ge 3 ] || fail "only $demos configurations on the demo's data"
passed
