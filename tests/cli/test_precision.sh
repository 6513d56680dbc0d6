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
    say "predict and embed, too"
    text=$tmp/world/talk/test/seq.in
    "$berth" predict "$tmp/fp32" "$text" > "$tmp/p32" 2> "$err" && run 0 "$berth" predict "$tmp/fp32" "$text" --precision bf16
    cmp "$out" "$tmp/p32" > /dev/null && fail "--precision bf16 changes nothing"
    [ "$(cut -f 1,4 "$out" | paste - <(cut -f 1,4 "$tmp/p32") | awk -F '\t' '$1 == $3 && $2 == $4' | wc -l)" -ge 10 ] ||
        fail "other labels: $(cat "$out")"
    "$berth" embed "$tmp/fp32" "$text" > "$tmp/p32" 2> "$err" && run 0 "$berth" embed "$tmp/fp32" "$text" --precision bf16
    paste "$out" "$tmp/p32" | awk -F '\t' '{ for (i = 1; i <= 32; i++) { d = $i - $(i + 32); if (d < 0) d = -d; sum += d; if (d > 0.2) exit 1 } }
        END { exit !(sum > 0) }' || fail "embeddings in bf16 are far off, or the same"
else
    say "this processor has no bf16 units: refused"
    run 2 "$berth" train "$config" precision=bf16
    one_line "has no bf16 units"
fi
run 0 "$berth" train "$config" "output=$tmp/any" train.epochs=1
run 1 env BERTH_CPU_ISA=base "$berth" predict "$tmp/any" "$tmp/world/talk/test/seq.in" --precision bf16
one_line "bf16"
passed
