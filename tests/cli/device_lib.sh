# shellcheck shell=bash
# device_lib.sh: a device beside the CPU, by the program alone. Sourced behind lib.sh by test_cuda_host.sh and test_cuda.sh.

train_on() { # NAME DEVICE [key=value ...]: a run of the small world in $tmp/NAME, its losses in $tmp/NAME.steps
    local name=$1 device=$2
    shift 2
    run 0 "$berth" train "$config" output="$tmp/$name" device="$device" model.dropout=0.1 model.attention_dropout=0.1 \
        train.epochs=3 log.every='1 steps' "$@"
    grep '"loss"' "$tmp/$name/metrics.jsonl" > "$tmp/$name.steps" || fail "$name: no losses in metrics.jsonl"
}
losses() { # NAME: step and loss of the first 20 steps
    sed -nE 's/.*"step": ?([0-9]+).*"loss": ?([-+.0-9e]+).*/\1 \2/p' "$tmp/$1.steps" | head -n 20
}
near() { # NAME OTHER BOUND: the first 20 losses of two runs, relative
    [ "$(losses "$1" | wc -l)" = 20 ] || fail "expected 20 losses: $(head -n 3 "$tmp/$1.steps")"
    paste -d ' ' <(losses "$1") <(losses "$2") | awk -v bound="$3" '
        NF != 4 || $1 != $3 { print "no pair: " $0; wrong = 1; exit 1 }
        { d = ($2 - $4) / $2; if (d < 0) d = -d; if (!(d <= worst)) worst = d }
        END { if (wrong) exit 1
              if (NR != 20 || !(worst <= bound)) { print "largest relative difference " worst " of " NR " steps"; exit 1 } }' \
        > "$tmp/verdict" || fail "$1 and $2: $(cat "$tmp/verdict")"
}
same_model() { # NAME OTHER WHAT
    cmp "$tmp/$1/best/model.safetensors" "$tmp/$2/best/model.safetensors" || fail "$3"
}

# 20 steps in fp32 with dropout: the CPU's losses within 1e-4, but other bits
compare_training() { # DEVICE
    say "20 steps in fp32, dropout on: the CPU's losses within 1e-4"
    train_on cpu cpu
    train_on device "$1"
    near cpu device 1e-4
    cmp -s "$tmp/cpu/best/model.safetensors" "$tmp/device/best/model.safetensors" && fail "the same bits: was it another device?"
    return 0
}
compare_scores() { # DEVICE: a model of one device scores the same on the other
    say "a model of one device scores the same on the other"
    local device
    for device in cpu "$1"; do
        run 0 "$berth" eval "$tmp/device" "$config" device="$device"
        grep -E '	(accuracy|span_f1)	' "$out" > "$tmp/scores.$device" || fail "no scores"
    done
    cmp "$tmp/scores.cpu" "$tmp/scores.$1" || fail "scores differ"
}
compare_embeddings() { # DEVICE: sentences' embeddings within 1e-4 of the CPU's largest number
    say "embeddings are the CPU's within rounding"
    local device
    for device in cpu "$1"; do
        run 0 "$berth" embed "$tmp/device" "$tmp/world/talk/test/seq.in" --device "$device"
        cp "$out" "$tmp/embed.$device"
    done
    paste "$tmp/embed.cpu" "$tmp/embed.$1" | awk '
        { n = NF / 2; for (i = 1; i <= n; i++) if ($i ~ /^[-+.0-9e]+$/) {
              count++; v = $i < 0 ? -$i : $i; if (v > most) most = v
              d = $i - $(i + n); if (d < 0) d = -d; if (d > worst) worst = d } }
        END { if (count < 100 || !(worst <= 1e-4 * most)) { print count " numbers, off by " worst " of " most; exit 1 } }' \
        > "$tmp/verdict" || fail "$(cat "$tmp/verdict")"
}
# The run as it was after its checkpoint of step 10, resumed on DEVICE: the same bits as the run never stopped where
# the device is the same, a whole run where it is another.
resume_on() { # NAME DEVICE
    rm -rf "${tmp:?}/$1"
    cp -r "$tmp/device" "$tmp/$1"
    find "$tmp/$1/checkpoints" -name 'step-*.h5' | while read -r file; do
        n=$(basename "$file" .h5)
        [ $((10#${n#step-})) -le 10 ] || rm "$file"
    done
    [ -n "$(find "$tmp/$1/checkpoints" -name 'step-*.h5')" ] || fail "no checkpoint at or before step 10"
    rm -rf "$tmp/$1/best" "$tmp/$1/finished.json"
    run 0 "$berth" train "$config" output="$tmp/$1" device="$2" model.dropout=0.1 model.attention_dropout=0.1 \
        train.epochs=3 log.every='1 steps' checkpoint.keep=20 --resume
    grep -qE '^step ([1-9]|10)/' "$err" && fail "it began anew: $(grep -m 1 '^step' "$err")"
    [ -s "$tmp/$1/best/model.safetensors" ] || fail "no model at the end"
}
