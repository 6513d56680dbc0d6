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

say "a folder of sentence-transformers says how: pooling, normalization, length; --pooling is stronger"
for pooling in mean cls pooler; do
    run 0 "$berth" convert "$model" --to sentence-transformers --pooling "$pooling" --normalize --max-length 4 \
        --out "$tmp/sentences_$pooling"
    run 0 "$berth" embed "$model" "$tmp/three" --pooling "$pooling" --normalize --max-length 4
    cp "$out" "$tmp/explicit"
    run 0 "$berth" embed "$tmp/sentences_$pooling" "$tmp/three"
    cmp "$out" "$tmp/explicit" || fail "$pooling: not as the folder says"
    grep -qx "berth: note: the folder's modules.json: pooling $pooling, normalized, 4 tokens at most" "$err" ||
        fail "$pooling: no note: $(cat "$err")"
    run 0 "$berth" embed "$tmp/sentences_$pooling" "$tmp/three" --pooling mean
    cmp "$out" "$tmp/mean" || fail "$pooling: --pooling mean is not the backbone's mean"
done
sed -i 's/"pooling_mode_max_tokens": false/"pooling_mode_max_tokens": true/; s/"pooling_mode_cls_token": true/"pooling_mode_cls_token": false/' \
    "$tmp/sentences_cls/1_Pooling/config.json"
run 1 "$berth" embed "$tmp/sentences_cls" "$tmp/three"
one_line "the pooling mode is 'max', berth has cls and mean"

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

say "npy: the same numbers, as numpy.load reads them"
run 0 "$berth" embed "$model" "$tmp/three" --format npy --out "$tmp/e.npy"
[ "$(head -c 6 "$tmp/e.npy" | tail -c 5)" = NUMPY ] && [ "$(wc -c < "$tmp/e.npy")" = $((128 + 3 * 32 * 4)) ] || fail "size or magic"
if command -v python3 > /dev/null; then
    python3 - "$tmp/e.npy" "$tmp/mean" <<'END' || fail "npy"
import ast, struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack("<H", data[8:10])[0]
assert data[6:8] == b"\1\0" and (10 + size) % 64 == 0 and data[9 + size:10 + size] == b"\n"
header = ast.literal_eval(data[10:10 + size].decode())
assert header == {"descr": "<f4", "fortran_order": False, "shape": (3, 32)}, header
numbers = struct.unpack("<96f", data[10 + size:])
printed = [float(x) for line in open(sys.argv[2]) for x in line.split("\t")]
assert all(abs(a - b) <= 1e-5 * max(1, abs(a)) for a, b in zip(numbers, printed))
END
fi

say "columns, ids, compressed files"
printf 'name\ttext\n' > "$tmp/t.tsv"
paste <(printf 'first\nsecond one\nthird\n') "$tmp/three" >> "$tmp/t.tsv"
gzip "$tmp/t.tsv"
run 0 "$berth" embed "$model" "$tmp/t.tsv.gz" --input tsv --column text --keep name
cut -f 2- "$out" | cmp - "$tmp/mean" || fail "other numbers than from lines"
same <(cut -f 1 "$out" | paste -sd ,) "first,second one,third" "ids"
run 0 "$berth" embed "$model" "$tmp/t.tsv.gz" --input tsv --column text --keep name --format jsonl
grep -q '^{"id": "second one", "text": "book a table in rome", "embedding": \[' "$out" || fail "jsonl: $(cut -c 1-100 "$out")"
run 0 "$berth" embed "$model" "$tmp/t.tsv.gz" --input tsv --column text --keep name --format hdf5 --out "$tmp/ids.h5"
run 0 "$berth" inspect "$tmp/ids.h5"
grep -q '^dataset	ids	U8	\[23\]' "$out" || fail "ids: $(cat "$out")"
grep -aq 'first' "$tmp/ids.h5" || fail "the ids are not there"

say "the same bits for any number of threads; 1e-5 for any window"
awk 'BEGIN { for (i = 0; i < 150; i++) { s = "book"; for (k = 0; k < i % 13; k++) s = s " a table"; print s } }' < /dev/null > "$tmp/mixed"
run 0 "$berth" embed "$model" "$tmp/mixed" --format npy --out "$tmp/one.npy"
run 0 env OMP_NUM_THREADS=3 "$berth" embed "$model" "$tmp/mixed" --format npy --out "$tmp/three.npy"
cmp "$tmp/one.npy" "$tmp/three.npy" || fail "three threads give other bits than one"
run 0 "$berth" embed "$model" "$tmp/mixed"
cp "$out" "$tmp/whole"
for window in 1 7; do
    run 0 "$berth" embed "$model" "$tmp/mixed" --window "$window"
    paste "$out" "$tmp/whole" | awk -F '\t' '{ for (i = 1; i <= 32; i++) { d = $i - $(i + 32); if (d < -1e-5 || d > 1e-5) exit 1 } }' ||
        fail "--window $window gives other embeddings"
done

say "long lines are cut and told"
awk 'BEGIN { for (i = 0; i < 100; i++) printf "music "; print "" }' < /dev/null > "$tmp/long"
run 0 "$berth" embed "$model" "$tmp/long" --max-length 12
grep -q '1 lines were longer than 12 tokens and were cut' "$err" || fail "the cut is not told"

say "numbers that are none are null in JSON"
"$BERTH_MAKE_MODEL" "$tmp/poisoned" "$tmp/world/vocab" 1 32 2 64 poison=encoder.layer.0.output.dense.weight || fail "make_model"
run 0 "$berth" embed "$tmp/poisoned" "$tmp/three" --format jsonl
grep -q 'null' "$out" && ! grep -qE 'nan|inf' "$out" || fail "$(cut -c 1-200 "$out")"

say "nothing to embed"
run 1 "$berth" embed "$model" /dev/null
one_line "nothing to embed"
run 1 "$berth" embed "$model" /dev/null --format hdf5 --out "$tmp/none.h5"
[ ! -e "$tmp/none.h5" ] || fail "an empty file was written"

say "mistakes, one line each; nothing half written"
mistake() { # STATUS TEXT ARGUMENTS...
    local status=$1 text=$2
    shift 2
    run "$status" "$berth" embed "$model" "$@"
    one_line "$text"
    [ ! -s "$out" ] || fail "something was printed"
}
for format in hdf5 npy; do
    mistake 1 "$tmp/no/such" "$tmp/three" --format "$format" --out "$tmp/no/such/e"
    mistake 2 "--format $format needs --out FILE" "$tmp/three" --format "$format"
    mistake 1 "$tmp/none: " "$tmp/none" --format "$format" --out "$tmp/never"
    mistake 1 "$tmp/three:1:1: found 'p'" "$tmp/three" --input jsonl --format "$format" --out "$tmp/never"
done
mistake 2 "--out goes with --format hdf5 and npy" "$tmp/three" --out "$tmp/never"
mistake 2 "--pooling max: expected mean|cls|pooler" "$tmp/three" --pooling max
mistake 2 "--keep: a npy file holds one array" "$tmp/t.tsv.gz" --input tsv --column text --keep name --format npy --out "$tmp/never"
mistake 2 "--keep: one column" "$tmp/t.tsv.gz" --input tsv --column text --keep name,text
mistake 2 "--max-length 513: expected a whole number from 3 to 512" "$tmp/three" --max-length 513
mistake 2 "device tpu: no such device" "$tmp/three" --device tpu
[ -z "$(ls "$tmp" | grep never || true)" ] || fail "left behind: $(ls "$tmp")"
passed
