#!/usr/bin/env bash
# The device cuda-host: training by the CUDA kernels, executed on the CPU, beside training on the CPU.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/device_lib.sh"
make_world

say "doctor"
run 0 "$berth" doctor
cp "$out" "$tmp/doctor"
grep -q '^devices of this build: .*cuda-host' "$out" || skip "a build without cuda-host"

compare_training cuda-host

say "another order of threads and blocks: the same bits"
export BERTH_CUDA_HOST_ORDER=random:7
train_on random cuda-host
unset BERTH_CUDA_HOST_ORDER
same_model device random "the order changes the model"

compare_scores cuda-host

say "errors of devices are one line"
BERTH_CUDA_HOST_MEMORY=1 run 1 "$berth" train "$config" output="$tmp/none" device=cuda-host \
    model.new='{layers: 2, hidden: 256, heads: 2, intermediate: 1024}'
one_line "device cuda-host: out of device memory: "
one_line "lower train.batch_size or train.batch_tokens"
run 2 "$berth" train "$config" output="$tmp/none" device=cuda-host attention=cudnn
one_line "device cuda-host has no cuDNN"
run 2 "$berth" train "$config" output="$tmp/none" device=cpu precision=tf32
one_line "device cpu has no tf32"
run 2 "$berth" train "$config" output="$tmp/none" device=tpu
one_line "no such device; expected auto, cpu, cuda, cuda:N or cuda-host"
if ! grep -q '^devices of this build: .*cuda ' "$tmp/doctor"; then
    run 1 "$berth" train "$config" output="$tmp/none" device=cuda
    one_line "device cuda: this build has no CUDA; use device: cpu, or build it with the CUDA toolkit installed"
elif ! nvidia-smi > /dev/null 2>&1; then
    run 1 "$berth" train "$config" output="$tmp/none" device=cuda
    one_line "device cuda: no NVIDIA "
fi
[ ! -e "$tmp/none" ] || fail "a run folder was left"

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

say "a kernel that fails is named in one line; the last checkpoint stays and the run goes on from it"
export BERTH_CUDA_HOST_FAIL=layernorm_backward:60
run 1 "$berth" train "$config" output="$tmp/failing" device=cuda-host log.every='1 steps' checkpoint.every='2 steps'
unset BERTH_CUDA_HOST_FAIL
one_line "layernorm_backward on cuda-host: layernorm_backward_"
grep -qE 'grid \([0-9]+,1,1\), block \([0-9]+,1,1\).*emulated failure' "$err" || fail "no shape of the launch"
reached=$(grep -c '"type":"step"' "$tmp/failing/metrics.jsonl")
[ "$reached" -gt 2 ] || fail "it failed after $reached steps, expected more than 2"
run 0 "$berth" inspect "$(find "$tmp/failing/checkpoints" -name 'step-*.h5' | sort -V | tail -n 1)"
run 0 "$berth" train "$config" output="$tmp/failing" device=cuda-host log.every='1 steps' checkpoint.every='2 steps' --resume
train_on whole cuda-host train.epochs=12 checkpoint.every='2 steps'
same_model whole failing "the run that failed and went on ends with other bits"

say "no GPU: one line, exit status 1, and no run folder"
if ! "$berth" doctor | grep -q '^device: cuda$'; then
    run 1 "$berth" train "$config" output="$tmp/none" device=cuda
    one_line "device cuda: "
    [ ! -e "$tmp/none" ] || fail "a run folder was left"
fi
passed
