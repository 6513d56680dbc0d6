#!/usr/bin/env bash
# The device cuda-host: training by the CUDA kernels, executed on the CPU, beside training on the CPU.
set -eu
. "$(dirname "$0")/lib.sh"
make_world

say "doctor"
run 0 "$berth" doctor
grep -q '^devices of this build: .*cuda-host' "$out" || skip "a build without cuda-host"

train_on() { # NAME DEVICE [key=value ...]
    local name=$1 device=$2
    shift 2
    run 0 "$berth" train "$config" output="$tmp/$name" device="$device" model.dropout=0.1 model.attention_dropout=0.1 \
        train.epochs=3 log.every='1 steps' "$@"
    grep '"loss"' "$tmp/$name/metrics.jsonl" > "$tmp/$name.steps" || fail "$name: no losses in metrics.jsonl"
}
losses() { # NAME: step and loss of the first 20 steps
    sed -nE 's/.*"step": ?([0-9]+).*"loss": ?([-+.0-9e]+).*/\1 \2/p' "$tmp/$1.steps" | head -n 20
}

say "20 steps in fp32, dropout on: the CPU's losses within 1e-4"
train_on cpu cpu
train_on host cuda-host
[ "$(losses cpu | wc -l)" = 20 ] || fail "expected 20 losses: $(head -n 3 "$tmp/cpu.steps")"
paste -d ' ' <(losses cpu) <(losses host) | awk '
    NF != 4 || $1 != $3 { print "no pair: " $0; exit 1 }
    { d = ($2 - $4) / $2; if (d < 0) d = -d; if (d > worst) worst = d }
    END { if (NR != 20 || worst > 1e-4) { print "largest relative difference " worst " of " NR " steps"; exit 1 } }' \
    > "$tmp/verdict" || fail "$(cat "$tmp/verdict")"
cmp -s "$tmp/cpu/best/model.safetensors" "$tmp/host/best/model.safetensors" && fail "the same bits: was it another device?"

say "another order of threads and blocks: the same bits"
export BERTH_CUDA_HOST_ORDER=random:7
train_on random cuda-host
unset BERTH_CUDA_HOST_ORDER
cmp "$tmp/host/best/model.safetensors" "$tmp/random/best/model.safetensors" || fail "the order changes the model"

say "a model of one device scores the same on the other"
for device in cpu cuda-host; do
    run 0 "$berth" eval "$tmp/host" "$config" device=$device
    grep -E '	(accuracy|span_f1)	' "$out" > "$tmp/scores.$device" || fail "no scores"
done
cmp "$tmp/scores.cpu" "$tmp/scores.cuda-host" || fail "scores differ"

say "a checkpoint moves between devices: stopped on one, resumed on the other"
"$berth" train "$config" output="$tmp/moved" device=cuda-host log.every='1 steps' > "$out" 2> "$err" < /dev/null &
child=$!
for _ in $(seq 400); do
    grep -q '^step 3/' "$err" && break
    sleep 0.05
done
kill -TERM "$child"
status=0
wait "$child" || status=$?
[ "$status" = 75 ] || fail "stopped by a signal: exit status $status"
run 0 "$berth" train "$config" output="$tmp/moved" device=cpu --resume
grep -q '^step [1-3]/' "$err" && fail "it began anew: $(grep -m 1 '^step' "$err")"
[ -s "$tmp/moved/best/model.safetensors" ] || fail "no model at the end"
passed
