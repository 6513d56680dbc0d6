#!/usr/bin/env bash
# The device cuda, where there is a GPU (skipped where there is none): training, scores, repetition, resume.
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/device_lib.sh"

# BERTH_GPU_DEVICE: a rehearsal of this script on another device (cuda-host).
device=${BERTH_GPU_DEVICE:-cuda}
if [ "$device" = cuda ]; then
    "$berth" doctor | grep -q '^device: cuda$' || skip "no NVIDIA GPU, or a build without CUDA"
fi
make_world
sed -i 's/^checkpoint: .*/checkpoint: {every: 5 steps, keep: 20}/' "$config"

compare_training "$device"
if [ "$device" = cuda ]; then
    say "auto takes the GPU"
    run 0 "$berth" train "$config" output="$tmp/auto" device=auto train.steps=2
    grep -q '^device: cuda' "$tmp/auto/config.yaml" || grep -q 'cuda' "$tmp/auto/log.txt" || fail "auto took another device"
fi

say "a second run: the same bits"
train_on again "$device"
same_model device again "a second run gives another model"

compare_scores "$device"
compare_embeddings "$device"

say "resumed at step 10: the same bits as a run never stopped"
resume_on resumed "$device"
same_model device resumed "a resumed run gives another model"

say "a checkpoint moves to the CPU"
resume_on moved cpu

say "bf16: the losses of fp32 within 5%, the same bits again"
train_on half "$device" precision=bf16
near device half 5e-2
cmp -s "$tmp/half/best/model.safetensors" "$tmp/device/best/model.safetensors" && fail "bf16 gives the bits of fp32"
train_on half2 "$device" precision=bf16
same_model half half2 "a second run in bf16 gives another model"
passed
