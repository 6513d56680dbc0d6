#!/usr/bin/env bash
# Checks, trains and measures berth on a machine with an NVIDIA GPU and driver; prints one table last.
#
#     gpu_check.sh [--part check|train|bench] [--build BUILD] [--out FOLDER] [--rehearse]
#
#   --part      one part alone (may be given more than once); each takes less than 8 minutes
#   --build     in a checkout: a build to take (default: one is made in build-gpu/)
#   --out       where logs and table.tsv go (default: a new folder under TMPDIR)
#   --rehearse  without a GPU: what can be run on cuda-host and on the CPU, in small; every row of the GPU stays "not run"
#
# Works beside berth-gpu.tar.xz (scripts/gpu_pack.sh: nothing has to be installed) and in a checkout with nvcc. A row is
# passed, FAILED, rehearsed or not run, with the reason; only what ran on the GPU is passed. Exit status 1 when a row failed,
# 77 when nothing ran. Python with torch and transformers, where there is one, is the reference of the benchmarks.
set -u
here=$(cd "$(dirname "$0")" && pwd)
parts=() build='' out='' rehearse=no
part_seconds=${GPU_CHECK_SECONDS:-450} # of a part; what has not begun by then is not run
while [ $# -gt 0 ]; do
    case $1 in
    --part) parts+=("${2:?}") && shift ;;
    --build) build=${2:?} && shift ;;
    --out) out=${2:?} && shift ;;
    --rehearse) rehearse=yes ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || parts=(check train bench)
for part in "${parts[@]}"; do
    case $part in
    check | train | bench) ;;
    *) echo "gpu_check: no part '$part'; expected check, train or bench" >&2; exit 2 ;;
    esac
done
[ -n "$out" ] || out=$(mktemp -d "${TMPDIR:-/tmp}/berth-gpu.XXXXXX")
mkdir -p "$out"
out=$(cd "$out" && pwd)
table=$out/table.tsv
: > "$table"

# ------------------------------------------------------------------ where programs, data and weights lie

if [ -e "$here/berth-gpu.tar.xz" ]; then
    root=$out/berth-gpu
    mkdir -p "$root"
    tar -C "$root" -xJf "$here/berth-gpu.tar.xz" 2> /dev/null ||
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/berth-gpu.tar.xz" "$root" ||
        { echo "gpu_check: berth-gpu.tar.xz: cannot be unpacked (neither xz nor python3?)" >&2; exit 1; }
    bin=$root/bin
    model=$root/models/minilm snips=$root/data demo=$root/data/demo vocab=$root/data/demo-vocab
    cat "$root/about.txt"
    # The carried libraries for berth's own programs alone.
    carried="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
else
    root=$(cd "$here/.." && pwd)
    if [ -z "$build" ]; then
        build=$root/build-gpu
        (cd "$root" && cmake --preset cuda -B build-gpu -DBERTH_TESTS=ON && cmake --build build-gpu -j "$(nproc)" \
            --target berth berth-demo-data test_ops test_device_parity workbench) > "$out/build.log" 2>&1 ||
            { tail -n 20 "$out/build.log"; echo "gpu_check: the build failed ($out/build.log)" >&2; exit 1; }
    fi
    bin=$out/bin
    mkdir -p "$bin"
    for program in berth berth-demo-data tests/test_ops tests/cuda/test_device_parity tests/cuda/workbench; do
        ln -sf "$(cd "$build" && pwd)/$program" "$bin/"
    done
    demo=$out/demo-data vocab=$out/demo-vocab
    model=${BERTH_MODEL:-$root/models/all-MiniLM-L6-v2} snips=${BERTH_TEST_DATA:-$root/data}
    "$bin/berth-demo-data" "$demo" > /dev/null
    "$bin/berth" vocab "$demo/assistant/train/seq.in" "$demo/reviews/train.tsv" --column sentence --size 1000 --out "$vocab" > /dev/null 2>&1
    carried=${LD_LIBRARY_PATH:-}
fi
export BERTH_SOURCE_DIR=$root BERTH_BIN=$out/berth OMP_WAIT_POLICY=passive
# What starts a program of berth's with the carried libraries.
own() {
    LD_LIBRARY_PATH=$carried "$@"
}
printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s/berth" "$@"\n' "$carried" "$bin" > "$BERTH_BIN"
chmod +x "$BERTH_BIN"
berth=$BERTH_BIN
"$berth" doctor > "$out/doctor.log" 2>&1 || { cat "$out/doctor.log"; echo "gpu_check: berth doctor fails" >&2; exit 1; }

gpu=no why="no NVIDIA GPU"
if grep -q '^device: cuda$' "$out/doctor.log"; then
    gpu=yes
elif ! grep -q '^devices of this build: .*cuda\( \|$\)' "$out/doctor.log"; then
    why="a build without CUDA"
fi
device=cuda small=no
[ $gpu = yes ] || { device=cuda-host && small=yes; }
[ $gpu = yes ] || [ $rehearse = yes ] || device=none

# In a rehearsal the CUDA kernels run on the CPU for `check`, and training runs on the CPU, two short epochs.
train_device=$device rate='' short_demo='' short_snips=''
if [ $small = yes ]; then
    train_device=cpu
    short_demo="train.epochs=2 data.assistant.limit=64 data.reviews.limit=32"
    short_snips="train.epochs=2 data.snips.limit=64"
fi

# ------------------------------------------------------------------ rows

row() { # RESULT SECONDS WHAT DETAIL
    printf '%s\t%s\t%s\t%s\t%s\n' "$part" "$3" "$1" "$2" "$4" >> "$table"
    printf '%-6s %-58s %-10s %6s s  %s\n' "$part" "$3" "$1" "$2" "$4"
}
left() {
    echo $((part_end - $(date +%s)))
}
# step NEED LIMIT WHAT COMMAND...: a row by running the command, with at most LIMIT seconds and what is left of the part.
# NEED gpu: only there; any: in a rehearsal too. The command's last line is the detail; 77 means that it could not be run.
step() {
    local need=$1 limit=$2 what=$3 log began status=0 seconds
    shift 3
    number=$((number + 1))
    log=$out/$part-$number.log
    if [ $gpu = no ] && { [ "$need" = gpu ] || [ $rehearse = no ]; }; then
        row "not run" 0 "$what" "$why"
        return
    fi
    [ "$limit" -le "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 5 ]; then
        row "not run" 0 "$what" "no time left in this part"
        return
    fi
    began=$(date +%s)
    timeout --kill-after=5 "$limit" bash -uc '"$@"' step "$@" > "$log" 2>&1 || status=$?
    seconds=$(($(date +%s) - began))
    case $status in
    0) row "$([ $gpu = yes ] && echo passed || echo rehearsed)" $seconds "$what" "$(tail -n 1 "$log" | cut -c 1-160)" ;;
    77) row "not run" $seconds "$what" "$(tail -n 1 "$log" | cut -c 1-160)" ;;
    124) row FAILED $seconds "$what" "stopped after $limit s: $(tail -n 1 "$log" | cut -c 1-120)" ;;
    *) row FAILED $seconds "$what" "$(grep -m 1 -E 'FAIL|berth: |ERROR|Error' "$log" | cut -c 1-160) ($log)" ;;
    esac
}

# ------------------------------------------------------------------ what the rows run (functions, by `step`)

# test_ops prints its count last; the regex and BERTH_OPS_MOST keep it short where the device is slow.
ops() { # MOST REGEX
    BERTH_OPS_MOST=$1 own "$bin/test_ops" "$device" ${2:+"$2"}
}
sanitized() { # TOOL MOST REGEX
    command -v compute-sanitizer > /dev/null || { echo "compute-sanitizer is not on this machine"; return 77; }
    BERTH_OPS_MOST=$2 own compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/test_ops" cuda "$3" > "$out/$1.log" 2>&1
    local status=$?
    grep -E '^=========' "$out/$1.log" | tail -n 3
    grep -q 'Device not supported' "$out/$1.log" && { echo "compute-sanitizer does not know this machine's GPU"; return 77; }
    grep -E ' cases, ' "$out/$1.log"
    return $status
}
# A run of the demo or of SNIPS in $out/NAME: its test scores on standard output.
train_demo() { # NAME [key=value ...]
    local name=$1
    shift
    rm -rf "${out:?}/$name"
    "$berth" train "$root/configs/demo.yaml" device="$train_device" output="$out/$name" data_folder="$demo" model.vocab="$vocab" \
        cache="$out/cache" checkpoint.keep=40 $short_demo "$@"
}
train_snips() { # NAME [key=value ...]
    local name=$1
    shift
    [ -s "$model/config.json" ] || { echo "no MiniLM weights at $model"; return 77; }
    [ -s "$snips/snips/train/seq.in" ] || { echo "no SNIPS at $snips"; return 77; }
    rm -rf "${out:?}/$name"
    "$berth" train "$root/configs/snips.yaml" device="$train_device" output="$out/$name" data_folder="$snips" model.backbone="$model" \
        cache="$out/cache" checkpoint.keep=40 $short_snips "$@"
}
# reaches FILE TASK METRIC LEAST ...: the test scores that a run printed, against what it must reach
reaches() {
    local file=$1 said='' value
    shift
    while [ $# -gt 0 ]; do
        value=$(awk -F '\t' -v t="$1" -v m="$2" '$1 == t && $2 == "test" && $3 == m { print $4 }' "$file")
        said="$said$1 $2 ${value:-none}, "
        if [ $small = no ] && ! awk -v v="${value:-0}" -v least="$3" 'BEGIN { exit !(v >= least) }'; then
            echo "ERROR: $1 $2 is ${value:-not there}, expected at least $3"
            return 1
        fi
        shift 3
    done
    echo "${said%, }"
}
scored() { # NAME COMMAND...: its output in $out/NAME.scores; where it fails the last line is shown
    local name=$1 status=0
    shift
    "$@" > "$out/$name.scores" || status=$?
    [ $status = 0 ] || tail -n 1 "$out/$name.scores"
    return $status
}
demo_reaches() {
    scored demo train_demo demo || return
    reaches "$out/demo.scores" intent accuracy 0.97 entities span_f1 0.95 sentiment accuracy 0.9
}
snips_reaches() { # NAME [key=value ...]
    local name=$1
    scored "$name" train_snips "$@" || return
    reaches "$out/$name.scores" intent accuracy 0.97 slots span_f1 0.93
}
same_bits() { # NAME OTHER
    cmp "$out/$1/best/model.safetensors" "$out/$2/best/model.safetensors" || { echo "ERROR: the models differ"; return 1; }
    echo "the same bits as the first run"
}
repeats() { # KIND NAME OTHER [key=value ...]
    local kind=$1 name=$2 other=$3
    shift 3
    "train_$kind" "$name" "$@" || return
    same_bits "$other" "$name"
}
# The run NAME as it was at its first checkpoint, resumed to its end.
resumes() { # KIND NAME RESUMED [key=value ...]
    local kind=$1 name=$2 resumed=$3 first
    shift 3
    [ -d "$out/$name" ] || { echo "there is no run to resume"; return 77; }
    first=$(find "$out/$name/checkpoints" -name 'step-*.h5' | sort -V | head -n 1)
    [ -n "$first" ] || { echo "ERROR: no checkpoint in $name"; return 1; }
    rm -rf "${out:?}/$resumed"
    mkdir -p "$out/$resumed"
    cp -r "$out/$name/." "$out/$resumed/"
    find "$out/$resumed/checkpoints" -name 'step-*.h5' ! -name "$(basename "$first")" -delete
    rm -rf "$out/$resumed/best" "$out/$resumed/finished.json"
    if [ "$kind" = demo ]; then
        "$berth" train "$root/configs/demo.yaml" device="$train_device" output="$out/$resumed" data_folder="$demo" \
            model.vocab="$vocab" cache="$out/cache" checkpoint.keep=40 $short_demo "$@" --resume || return
    else
        "$berth" train "$root/configs/snips.yaml" device="$train_device" output="$out/$resumed" data_folder="$snips" \
            model.backbone="$model" cache="$out/cache" checkpoint.keep=40 $short_snips "$@" --resume || return
    fi
    same_bits "$name" "$resumed"
}

# ------------------------------------------------------------------ benchmarks

reference=no
if command -v python3 > /dev/null && python3 -c 'import torch, transformers' 2> /dev/null; then
    reference=yes
fi
bench_step() { # SHAPE PRECISION LENGTH TOKENS [--compiled]
    command -v python3 > /dev/null || { echo "no python3 on this machine"; return 77; }
    local arguments=(--berth "$berth" --model "$model" --snips "$snips/snips/train/seq.in" --shape "$1" --precision "$2"
        --length "$3" --tokens "$4" --device "$train_device" --work "$out/bench")
    [ -z "$rate" ] || arguments+=(--rate "$rate")
    [ "$reference" = no ] || [ "$small" = yes ] || arguments+=(--reference ${5:-})
    [ "$small" = no ] || arguments+=(--small)
    python3 "$root/scripts/bench/gpu_step.py" "${arguments[@]}"
}
time_kernels() {
    own "$bin/workbench" time > "$out/workbench.log" 2>&1
    local status=$?
    cat "$out/workbench.log"
    [ $status = 0 ] && awk '/ GB\/s / && /wanted/ { for (i = 1; i <= NF; i++) { if ($i ~ /%$/ && share == "") share = $i + 0
                                                              if ($i == "wanted") wanted = $(i + 1) + 0 }
                              n++; if (share >= wanted) good++; share = "" }
                            END { printf "%d of %d memory-bound rows reach what is wanted (workbench.log)\n", good, n }' "$out/workbench.log"
    return $status
}

# ------------------------------------------------------------------ the parts

export -f own ops sanitized train_demo train_snips reaches demo_reaches snips_reaches same_bits scored repeats resumes bench_step time_kernels
export carried short_demo short_snips bin root out device small train_device model snips demo vocab berth rate reference

part_check() {
    local most=0
    [ $small = no ] || most=3000
    step any 200 "operations: every kernel, fp32 and bf16, three times" ops $most
    step any 60 "numbers of the reference, forward and backward" own "$bin/test_device_parity" "$device"
    step any 120 "training, scores, embeddings, repetition, resume" env BERTH_GPU_DEVICE="$device" \
        bash "$root/tests/cli/test_cuda.sh"
    step any 60 "workbench: today's kernels and their history" own "$bin/workbench" check "$([ $small = no ] && echo . || echo '^(gelu|column_sum) ')" --device "$device"
    step gpu 100 "compute-sanitizer memcheck, small shapes" sanitized memcheck 4000 .
    step gpu 100 "compute-sanitizer racecheck, small shapes" sanitized racecheck 4000 'attention|layernorm|embedding|column|crf|viterbi'
}
part_train() {
    step any 60 "demo: three tasks from scratch" demo_reaches
    step any 60 "demo again: the same bits" repeats demo demo2 demo
    step any 60 "demo resumed at its first checkpoint: the same bits" resumes demo demo demo3
    step any 120 "SNIPS with MiniLM, fp32" snips_reaches snips
    step any 120 "SNIPS with MiniLM, bf16" snips_reaches half precision=bf16
    step any 90 "SNIPS again, bf16: the same bits" repeats snips half2 half precision=bf16
    step any 90 "SNIPS resumed at its first checkpoint, bf16: the same bits" resumes snips half half3 precision=bf16
}
part_bench() {
    step gpu 100 "kernels against the machine's ceilings" time_kernels
    rate=$(sed -n 's/^ceilings:.*8192 \([0-9.]*\) TFLOP.*/\1/p' "$out/workbench.log" 2> /dev/null || true)
    step gpu 110 "bert-base, bf16, 128 tokens, T = 16,384" bench_step base bf16 128 16384 --compiled
    step gpu 110 "bert-base, bf16, 512 tokens, T = 16,384" bench_step base bf16 512 16384 --compiled
    step any 60 "MiniLM, bf16, SNIPS' sentences, T = 4,096" bench_step minilm bf16 0 4096
    step any 60 "MiniLM, bf16, 128 tokens, T = 16,384" bench_step minilm bf16 128 16384
    step gpu 40 "bert-base, bf16, 128 tokens, T = 4,096" bench_step base bf16 128 4096
    step gpu 40 "bert-base, bf16, 128 tokens, T = 65,536" bench_step base bf16 128 65536
    step gpu 40 "bert-base, fp32, 128 tokens, T = 16,384" bench_step base fp32 128 16384
    step gpu 40 "MiniLM, bf16, 512 tokens, T = 16,384" bench_step minilm bf16 512 16384
}

number=0
for part in "${parts[@]}"; do
    part_end=$(($(date +%s) + part_seconds))
    echo "== $part"
    "part_$part"
done

echo
sed -n '/^device\|^GPU\|^CUDA\|^processor/p' "$out/doctor.log"
[ ! -s "$out/workbench.log" ] || cat "$out/workbench.log"
echo "| part | what | result | seconds | detail |"
echo "|---|---|---|---|---|"
awk -F '\t' '{ gsub(/\|/, "/"); printf "| %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5; n[$3]++ }
    END { printf "%d passed, %d FAILED, %d rehearsed, %d not run\n", n["passed"], n["FAILED"], n["rehearsed"], n["not run"]
          exit n["FAILED"] ? 1 : n["passed"] + n["rehearsed"] == 0 ? 77 : 0 }' "$table"
