#!/usr/bin/env bash
# Assembles what scripts/gpu_check.sh needs on a machine where nothing can be installed: one folder of at most 64 MiB with
# the programs, the libraries they load, MiniLM in bf16, SNIPS, the demo's data, the reference numbers and the scripts.
#
#     scripts/gpu_pack.sh --out FOLDER --model MODEL --data DATA [--build BUILD] [--archs "90a"]
#
#   --out     the folder to write; it must not exist
#   --model   a model folder (all-MiniLM-L6-v2); its weights are carried as bf16
#   --data    the folder of public data that holds snips/
#   --build   a build to take; without it one is made in build-gpu/ with CUDA for --archs (default 90a)
#
# Then copy FOLDER to the machine and run FOLDER/gpu_check.sh there. Libraries: all that the programs load but those of the
# C and C++ compilers, which every machine has. The folder holds gpu_check.sh and one archive, unpacked when first needed.
set -eu
cd "$(dirname "$0")/.."
out='' model='' data='' build='' archs=90a most=$((64 << 20))
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$2 ;;
    --model) model=$2 ;;
    --data) data=$2 ;;
    --build) build=$2 ;;
    --archs) archs=$2 ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift 2
done
die() {
    echo "gpu_pack: $*" >&2
    exit 1
}
[ -n "$out" ] && [ -n "$model" ] && [ -n "$data" ] || die "--out, --model and --data are needed"
[ ! -e "$out" ] || die "$out: exists"
[ -s "$model/config.json" ] || die "$model: not a model folder (no config.json)"
[ -s "$data/snips/train/seq.in" ] || die "$data: no snips/train/seq.in"
if [ -z "$build" ]; then
    build=build-gpu
    cmake --preset cuda -B $build -DBERTH_TESTS=ON "-DBERTH_CUDA_ARCHS=$archs"
    cmake --build $build --target berth berth-demo-data test_ops test_device_parity workbench
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/berth-pack.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
tree=$tmp/tree
mkdir -p "$tree"/{bin,lib,models,data,tests/cli,tests/golden,scripts/bench,configs}

for program in berth berth-demo-data tests/test_ops tests/cuda/test_device_parity tests/cuda/workbench; do
    [ -x "$build/$program" ] || die "$build/$program: not built"
    strip -o "$tree/bin/$(basename "$program")" "$build/$program"
done
for program in "$tree"/bin/*; do
    ldd "$program"
done | awk '/not found/ { print "gpu_pack: " $1 " is not found here" > "/dev/stderr"; wrong = 1 }
            $2 == "=>" && $3 ~ /^\// { print $3 } END { exit wrong }' | sort -u > "$tmp/libraries"
# Of the C and C++ compilers: the machine's own fit its driver's libraries.
grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s))\.so' "$tmp/libraries" | while read -r library; do
    cp -L "$library" "$tree/lib/"
done

"$build/berth" convert "$model" --dtype bf16 --out "$tree/models/minilm" > /dev/null
mkdir -p "$tree/data/snips"
cp -r "$data"/snips/{train,dev,test} "$tree/data/snips/"
chmod -R u+w "$tree/data"
"$build/berth-demo-data" "$tree/data/demo" > /dev/null
"$build/berth" vocab "$tree/data/demo/assistant/train/seq.in" "$tree/data/demo/reviews/train.tsv" --column sentence --size 1000 \
    --out "$tree/data/demo-vocab" > /dev/null
cp tests/cli/{lib.sh,device_lib.sh,test_cuda.sh} "$tree/tests/cli/"
cp tests/golden/model_cases.json tests/golden/model_{bert32,bert40,distil24,relu24,silu24}.safetensors "$tree/tests/golden/"
cp scripts/bench/*.py "$tree/scripts/bench/"
cp configs/demo.yaml configs/snips.yaml "$tree/configs/"
{
    echo "made: $(date -u +%Y-%m-%d)"
    echo "revision: $(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
    "$build/berth" doctor | sed -n '/^berth\|^compiler\|^devices of/p'
} > "$tree/about.txt"

mkdir -p "$out"
XZ_OPT=-3 tar -C "$tree" -cJf "$out/berth-gpu.tar.xz" .
cp scripts/gpu_check.sh "$out/"
bytes=$(du -sb "$out" | cut -f 1)
[ "$bytes" -le $most ] || die "$out holds $bytes bytes, at most $most can be carried"
echo "$out: $((bytes >> 20)) MiB of 64; run $out/gpu_check.sh on the machine"
