#!/usr/bin/env bash
# precision: bf16 trains and evaluates where the processor has units for it; elsewhere it is refused in one
# line, or goes on in fp32 when the configuration says so.
set -eu
. "$(dirname "$0")/lib.sh"
make_world

say "refused without units"
run 2 env BERTH_CPU_ISA=base "$berth" train "$config" precision=bf16
one_line "has no bf16 units"
one_line "precision_fallback: fp32"
[ ! -e "$run" ] || fail "a run folder was made"

say "the fallback is fp32, to the bit"
run 0 env BERTH_CPU_ISA=base "$berth" train "$config" precision=bf16 precision_fallback=fp32 train.epochs=2
grep -q "going on in fp32" "$err" || fail "nothing is said of the fallback"
run 0 env BERTH_CPU_ISA=base "$berth" train "$config" "output=$tmp/plain" train.epochs=2
same_bits "$run/best" "$tmp/plain/best"
rm -r "$run"

"$berth" doctor > "$out"
if grep -q "^bf16: yes" "$out"; then
    say "bf16 learns"
    run 0 "$berth" train "$config" precision=bf16
    run 0 "$berth" eval "$run" --split dev
    awk -F '\t' '$1 == "intent" && $3 == "accuracy" && $4 < 0.9 { exit 1 }' "$out" || fail "$(cat "$out")"
    say "the same bits for any number of threads"
    run 0 env OMP_NUM_THREADS=2 "$berth" train "$config" precision=bf16 "output=$tmp/two"
    same_bits "$run/best" "$tmp/two/best"
    run 0 "$berth" train "$config" "output=$tmp/fp32"
    digests "$run/best" > "$tmp/a"
    digests "$tmp/fp32/best" > "$tmp/b"
    cmp -s "$tmp/a" "$tmp/b" && fail "bf16 gave the bits of fp32"
else
    say "this processor has no bf16 units: refused"
    run 2 "$berth" train "$config" precision=bf16
    one_line "has no bf16 units"
fi
passed
