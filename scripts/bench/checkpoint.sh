#!/usr/bin/env bash
# What a checkpoint costs the run: how long the loop is held for it (copying the state into memory, and waiting for the
# file before where that is not written yet), and how long the thread takes that writes it meanwhile.
#
#   scripts/bench/checkpoint.sh MINILM_FOLDER [OUT]      prints lines of the table in docs/benchmarks.md
#
# MINILM_FOLDER gives weights and vocabulary; the second model is of bert-base's shape, its weights drawn. The demo's data
# are trained on, 60 and 30 steps of 32 rows, a checkpoint every 5 steps; the first one, which is waited for and read back, is
# left out. OUT (default: a folder below TMPDIR) is the disk that is measured; it is removed at the end. Run it on a machine
# that does nothing else.
set -eu
cd "$(dirname "$0")/../.."
folder=${1:?"usage: scripts/bench/checkpoint.sh MINILM_FOLDER [OUT]"}
out=${2:-$(mktemp -d "${TMPDIR:-/tmp}/berth-bench.XXXXXX")}
berth=build/berth
[ -x "$berth" ] && [ -x build/berth-demo-data ] || { echo "build first: cmake --preset cpu && cmake --build build" >&2; exit 1; }
mkdir -p "$out"
trap 'rm -rf "$out"' EXIT
build/berth-demo-data "$out/data" > "$out/log"

# measure NAME STEPS SETTINGS...
measure() {
    local name=$1 steps=$2 run=$out/run
    shift 2
    rm -rf "$run"
    "$berth" train configs/demo.yaml output="$run" data_folder="$out/data" cache="$out/cache" train="{steps: $steps, batch_size: 32, lr: 1.0e-5}" \
        checkpoint.every="5 steps" evaluate.every="1000 epochs" log.every="5 steps" model.max_length=64 "$@" 2> "$out/err" > "$out/scores" ||
        { tail -n 3 "$out/err" >&2; exit 1; }
    local bytes
    bytes=$(stat -c %s "$(find "$run/checkpoints" -name "step-*.h5" | head -n 1)")
    steps=$(sed -n 's/.*"tokens":\([0-9]*\),.*"tokens_per_second":\([0-9]*\).*/\1 \2/p' "$run/metrics.jsonl" |
        awk '$2 > 0 { print 1e3 * $1 / $2 / 5 }' | sort -g)
    sed -n 's/.*held the run for \([0-9.]*\) ms, written in \([0-9.]*\) ms.*/\1 \2/p' "$run/log.txt" | tail -n +2 > "$out/times"
    middle() { sort -g | awk '{ v[NR] = $1 } END { printf "%.1f", NR ? v[int((NR + 1) / 2)] : 0 }'; }
    printf '| %s | %.0f | %s | %s | %s | %s | %s |\n' "$name" "$((bytes / 1000000))" "$(cut -d ' ' -f 1 "$out/times" | middle)" \
        "$(cut -d ' ' -f 1 "$out/times" | sort -g | tail -n 1)" "$(cut -d ' ' -f 2 "$out/times" | middle)" \
        "$(printf '%s\n' "$steps" | middle)" "$(wc -l < "$out/times")"
}
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads; $(stat -f -c %T "$out") in $out" >&2
echo '| model | checkpoint, MB | held the run, ms: median | greatest | written in, ms: median | a step, ms: median | checkpoints |'
echo '|---|---|---|---|---|---|---|'
measure "MiniLM (6 layers, H 384)" 60 model.new=null model.vocab=null model.backbone="$folder"
measure "bert-base shape" 30 model.new='{layers: 12, hidden: 768, heads: 12, intermediate: 3072, positions: 512}' \
    model.vocab="$folder/vocab.txt"
