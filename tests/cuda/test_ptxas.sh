#!/usr/bin/env bash
# scripts/check_ptxas.sh: what it says of made-up logs, then of this build's own (the arguments; none without nvcc).
set -eu
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d "${TMPDIR:-/tmp}/berth-ptxas.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
fail() {
    echo "test_ptxas: $*" >&2
    exit 1
}
log() { # NAME STACK STORES LOADS: a kernel of two template arguments, clean on sm_80 and as told on sm_86
    for arch in sm_80 sm_86; do
        [ $arch = sm_86 ] && set -- "$1" "$2" "$3" "$4" || set -- "$1" "$2" "$3" "$4" 0 0 0
        cat << END
ptxas info    : Compiling entry function '_Z24attention_f32_dkv_kernelIffLi32EEvPfPKf14attention_args' for '$arch'
ptxas info    : Function properties for _Z24attention_f32_dkv_kernelIffLi32EEvPfPKf14attention_args
    ${5:-$2} bytes stack frame, ${6:-$3} bytes spill stores, ${7:-$4} bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers, 456 bytes cmem[0]
END
    done > "$tmp/$1"
}
expect() { # STATUS TEXT ARGUMENTS...
    local status=0 want=$1 text=$2
    shift 2
    scripts/check_ptxas.sh "$@" > "$tmp/said" 2>&1 || status=$?
    [ $status = "$want" ] || fail "exit status $status, expected $want: $* ($(cat "$tmp/said"))"
    grep -qF -- "$text" "$tmp/said" || fail "expected '$text' of $*, found: $(cat "$tmp/said")"
}
kernel='attention_f32_dkv_kernel<float,float,32>'
: > "$tmp/none"
printf '%s sm_86 8 a reason\n' "$kernel" > "$tmp/eight"
printf '%s * 8 a reason\n' "$kernel" > "$tmp/any"
printf '%s sm_86 8\n' "$kernel" > "$tmp/bare"
log clean 0 0 0
log spill 8 8 8
log stack 48 0 0
expect 0 "1 kernels, 2 compilations for sm_80 sm_86; no spill, no stack frame; at most 96 registers" --allow "$tmp/none" "$tmp/clean"
expect 1 "$kernel on sm_86: 8 bytes of stack, 8 bytes stored and 8 loaded by spills" --allow "$tmp/none" "$tmp/spill"
expect 1 "$kernel on sm_86: 48 bytes of stack" --allow "$tmp/none" "$tmp/stack"
expect 1 "$kernel on sm_86" --allow "$tmp/none" "$tmp/clean" "$tmp/spill"
expect 0 "no spill" --allow "$tmp/eight" "$tmp/spill"
expect 0 "no spill" --allow "$tmp/any" "$tmp/spill"
expect 1 "48 bytes of stack" --allow "$tmp/eight" "$tmp/stack"
expect 1 "line 1: expected KERNEL ARCHITECTURE BYTES reason" --allow "$tmp/bare" "$tmp/clean"
expect 1 "line 1: no kernel needs this exception any more" --whole --allow "$tmp/eight" "$tmp/clean"
expect 1 "none: no kernel in it" "$tmp/none"
expect 2 "cannot be read" "$tmp/missing"

if [ $# -gt 0 ]; then
    scripts/check_ptxas.sh --whole "$@" | tee "$tmp/said"
    [ "${PIPESTATUS[0]}" = 0 ] || fail "kernels of this build: see above"
    for arch in ${BERTH_CUDA_CHOSEN:-}; do
        for file in "$@"; do
            grep -q "for 'sm_$arch'" "$file" || fail "$file: nothing was compiled for sm_$arch"
        done
    done
fi
echo "test_ptxas: passed"
