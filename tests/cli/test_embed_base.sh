#!/usr/bin/env bash
# slow serial: bert-base's own sizes with generated weights; three sentences give (3, 768) for every pooling.
set -eu
. "$(dirname "$0")/lib.sh"
[ -n "${BERTH_MAKE_MODEL:-}" ] || skip "make_model was not built"
make_world
model=$tmp/model
"$BERTH_MAKE_MODEL" "$model" "$tmp/world/vocab" 12 768 12 3072 || fail "make_model"
printf 'play some music\nbook a table in rome\na great film\n' > "$tmp/three"
for pooling in pooler cls mean; do
    say "$pooling"
    run 0 "$berth" embed "$model" "$tmp/three" --pooling "$pooling"
    grep -qx 'shape: (3, 768)' "$err" || fail "shape: $(tail -n 1 "$err")"
    awk -F '\t' 'NF != 768 { exit 1 } END { exit NR != 3 }' "$out" || fail "expected 3 lines of 768 numbers"
    awk -F '\t' '{ for (i = 1; i <= NF; i++) if ($i + 0 != $i + 0 || $i ~ /nan|inf/) exit 1 }' "$out" || fail "not finite"
done
passed
