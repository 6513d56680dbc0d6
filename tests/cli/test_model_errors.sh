#!/usr/bin/env bash
# Damaged models, checkpoints and run folders: one line each, and nothing lost.
set -eu
. "$(dirname "$0")/lib.sh"
make_run
best=$run/best

damaged() { # TEXT COMMAND...
    local text=$1 status=0
    shift
    "$@" > "$out" 2> "$err" < /dev/null || status=$?
    [ "$status" = 1 ] || [ "$status" = 2 ] || fail "exit status $status, expected 1 or 2"
    one_line "$text"
}
copy() {
    rm -rf "$tmp/bad"
    cp -r "$best" "$tmp/bad"
}
echo "play some music" > "$tmp/text"

say "truncated safetensors"
for keep in 0 4 100 20000; do
    copy
    truncate -s "$keep" "$tmp/bad/model.safetensors"
    damaged "$tmp/bad" "$berth" predict "$tmp/bad" "$tmp/text"
    damaged "$tmp/bad" "$berth" inspect "$tmp/bad/model.safetensors"
done
say "a lying header"
copy
printf '\377\377\377\377\377\377\377\177' | dd of="$tmp/bad/model.safetensors" conv=notrunc status=none
damaged "$tmp/bad" "$berth" embed "$tmp/bad" "$tmp/text"

say "a vocabulary that disagrees with config.json"
copy
echo "onetokenmore" >> "$tmp/bad/vocab.txt"
damaged vocab "$berth" predict "$tmp/bad" "$tmp/text"
copy
sed -i '$d' "$tmp/bad/vocab.txt"
status=0
"$berth" predict "$tmp/bad" "$tmp/text" > "$out" 2> "$err" || status=$?
if [ "$status" != 0 ]; then one_line vocab; fi

say "config.json that is no JSON, or lacks a size"
copy
echo '{"hidden_size": 32,' > "$tmp/bad/config.json"
damaged config.json "$berth" embed "$tmp/bad" "$tmp/text"
echo '{"model_type": "bert"}' > "$tmp/bad/config.json"
damaged "$tmp/bad" "$berth" embed "$tmp/bad" "$tmp/text"

say "a run folder that exists is refused and untouched"
find "$run" -type f -exec sha256sum {} + | sort > "$tmp/before"
run 2 "$berth" train "$config"
one_line "$run"
find "$run" -type f -exec sha256sum {} + | sort > "$tmp/after"
cmp "$tmp/before" "$tmp/after" || fail "the run folder changed"

say "another configuration does not resume it"
run 2 "$berth" train "$config" --resume train.lr=9e-3
one_line "train.lr"
find "$run" -type f -name '*.h5' -exec sha256sum {} + | sort > "$tmp/after"
grep '\.h5$' "$tmp/before" | cmp - "$tmp/after" || fail "checkpoints changed"

say "a truncated checkpoint: named by inspect, the one before is taken"
newest=$(find "$run/checkpoints" -name 'step-*.h5' | sort -V | tail -n 1)
[ "$(find "$run/checkpoints" -name 'step-*.h5' | wc -l)" -ge 2 ] || fail "fewer than two checkpoints"
cp "$newest" "$tmp/newest.h5"
truncate -s -1000 "$newest"
damaged "$newest" "$berth" inspect "$newest"
run 0 "$berth" inspect "$run"
grep -q "warning: .*$(basename "$newest")" "$err" || fail "the damaged checkpoint is not named"
cp "$tmp/newest.h5" "$newest"

say "an unknown head"
run 2 "$berth" predict "$run" "$tmp/text" --task nothing
one_line "intent, slots, mood"
sed 's/mood:/humour:/' "$config" > "$tmp/other.yaml"
run 2 "$berth" eval "$run" "$tmp/other.yaml"
one_line "humour"

say "a loss that is not a number"
if [ -n "${BERTH_MAKE_MODEL:-}" ]; then
    "$BERTH_MAKE_MODEL" "$tmp/poisoned" "$tmp/world/vocab" 1 32 2 64 poison=encoder.layer.0.output.dense.weight
    sed -e "s|^  new: .*|  backbone: $tmp/poisoned|" -e '/^  vocab:/d' -e "s|^output: .*|output: $tmp/nan|" "$config" \
        > "$tmp/poisoned.yaml"
    run 1 "$berth" train "$tmp/poisoned.yaml"
    one_line "nan"
    grep '^berth: ' "$err" | grep -Eq "step [0-9]+" || fail "the step is not named"
    [ ! -d "$tmp/nan/best" ] || fail "a poisoned model was exported as the best"
fi
passed
