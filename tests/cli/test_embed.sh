#!/usr/bin/env bash
# berth embed: one embedding a line, the shape, poolings, formats.
set -eu
. "$(dirname "$0")/lib.sh"
[ -n "${BERTH_MAKE_MODEL:-}" ] || skip "make_model was not built"
make_world
model=$tmp/model
"$BERTH_MAKE_MODEL" "$model" "$tmp/world/vocab" 2 32 4 64 || fail "make_model"
printf 'play some music\nbook a table in rome\na great film\n' > "$tmp/three"

for pooling in mean cls pooler; do
    say "tsv, $pooling"
    run 0 "$berth" embed "$model" "$tmp/three" --pooling "$pooling"
    grep -qx 'shape: (3, 32)' "$err" || fail "shape: $(tail -n 1 "$err")"
    awk -F '\t' 'NF != 32 { exit 1 } END { exit NR != 3 }' "$out" || fail "expected 3 lines of 32 numbers"
    cp "$out" "$tmp/$pooling"
done
cmp -s "$tmp/mean" "$tmp/cls" && fail "mean and cls are equal"
cmp -s "$tmp/cls" "$tmp/pooler" && fail "cls and pooler are equal"
awk -F '\t' '{ for (i = 1; i <= NF; i++) if ($i < -1 || $i > 1) exit 1 }' "$tmp/pooler" || fail "pooler outside tanh's range"

say "mean is the default"
run 0 "$berth" embed "$model" "$tmp/three"
cmp "$out" "$tmp/mean"

say "standard input, line by line the same"
while read -r line; do echo "$line" | "$berth" embed "$model" - 2> "$err"; done < "$tmp/three" > "$tmp/alone"
paste "$tmp/alone" "$tmp/mean" | awk -F '\t' '{ for (i = 1; i <= 32; i++) { d = $i - $(i + 32); if (d < -1e-5 || d > 1e-5) exit 1 } }' ||
    fail "a line alone gives another embedding"

say "normalize"
run 0 "$berth" embed "$model" "$tmp/three" --normalize
awk -F '\t' '{ s = 0; for (i = 1; i <= NF; i++) s += $i * $i; if (s < 0.999 || s > 1.001) exit 1 }' "$out" || fail "length is not 1"

say "jsonl"
run 0 "$berth" embed "$model" "$tmp/three" --format jsonl
[ "$(grep -c '^{"text": ".*", "embedding": \[.*\]}$' "$out")" = 3 ] || fail "lines: $(cut -c 1-200 "$out")"
if command -v python3 > /dev/null; then
    python3 -c 'import json, sys; assert [len(json.loads(l)["embedding"]) for l in open(sys.argv[1])] == [32] * 3' "$out" ||
        fail "not JSON"
fi

say "hdf5"
run 0 "$berth" embed "$model" "$tmp/three" --format hdf5 --out "$tmp/e.h5" --pooling cls
[ ! -s "$out" ] || fail "hdf5 wrote to standard output"
grep -qx 'shape: (3, 32)' "$err" || fail "shape"
run 0 "$berth" inspect "$tmp/e.h5"
grep -q '^kind	embeddings' "$out" || fail "kind"
grep -q '^dataset	embeddings	F32	\[3, 32\]' "$out" || fail "dataset: $(cat "$out")"
grep -q 'pooling.*cls' "$out" || fail "meta"

say "many lines: windows and batches"
awk 'BEGIN { for (i = 0; i < 600; i++) print "book a table " i }' < /dev/null > "$tmp/many"
run 0 "$berth" embed "$model" "$tmp/many"
grep -qx 'shape: (600, 32)' "$err" || fail "shape: $(tail -n 1 "$err")"
run 0 "$berth" embed "$model" "$tmp/many" --format hdf5 --out "$tmp/many.h5"
run 0 "$berth" inspect "$tmp/many.h5"
grep -q '\[600, 32\]' "$out" || fail "hdf5 of 600"

say "nothing to embed"
run 1 "$berth" embed "$model" /dev/null
one_line "nothing to embed"
run 1 "$berth" embed "$model" /dev/null --format hdf5 --out "$tmp/none.h5"
[ ! -e "$tmp/none.h5" ] || fail "an empty file was written"

say "a folder that cannot be written"
run 1 "$berth" embed "$model" "$tmp/three" --format hdf5 --out "$tmp/no/such/e.h5"
one_line "$tmp/no/such"
passed
