#!/bin/sh
# run_target.sh BUILD NAME [libFuzzer's options]: runs one fuzz target from its seeds. Exit 77: it was not built here.
#
# Seeds: tests/fuzz/seeds/NAME, and where BERTH_TEST_DATA names a folder of public data, what of it fits. Inputs that are
# new to the coverage are kept in $BERTH_FUZZ_CORPUS/NAME when that is set; a finding is printed in base64 and kept there too.
set -eu
build=$1 name=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
program=$build/tests/fuzz/fuzz_$name
if [ ! -x "$program" ]; then
    echo "skipped: $program is not there: clang and its fuzzer library were not found when the build was configured"
    exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
corpus=$tmp/corpus
[ -z "${BERTH_FUZZ_CORPUS:-}" ] || corpus=$BERTH_FUZZ_CORPUS/$name
mkdir -p "$corpus"

data=${BERTH_TEST_DATA:-}
public=
public_head() { # FILE: its first 2 KB
    public=$tmp/head
    mkdir "$public"
    [ ! -f "$data/$1" ] || head -c 2000 "$data/$1" > "$public/$(basename "$1")"
}
case $name in
    json | safetensors | jsonl) public=$data/JSONTestSuite/test_parsing ;;
    wordpiece | utf8) public=$data/tokenizer-stress/utf8 ;;
    conll) public_head wikigold/wikigold.conll.txt ;;
    tsv) public_head sst2/phrases/dev.tsv ;;
    lines) public_head sst2/sentences/stsa.binary.dev ;;
    config | yaml)
        if [ -n "$data" ] && [ -f "$data/yaml-test-suite/yaml-test-suite-data.tar" ]; then
            public=$tmp/yaml
            mkdir "$public"
            tar -xf "$data/yaml-test-suite/yaml-test-suite-data.tar" -C "$public"
            find "$public" -type f ! -name in.yaml -delete
        fi
        ;;
esac
[ -n "$data" ] && [ -d "$public" ] || public=

# Golden files that are good seeds.
golden=
[ "$name" != tokenizer_json ] || golden=$here/../golden/tokenizers

# A leak, a hang of 20 seconds and 1.5 GB are findings too. The directory of seeds is only read.
ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    "$program" -timeout=20 -rss_limit_mb=1536 -print_final_stats=1 -artifact_prefix="$corpus/" "$@" \
    "$corpus" "$here/seeds/$name" $golden $public >"$tmp/log" 2>&1 || {
    grep -v '^#[0-9]*\s*\(NEW\|REDUCE\|pulse\)' "$tmp/log" | tail -n 60
    exit 1
}
grep -E '^#[0-9]+.*(INITED|DONE)|stat::number_of_executed_units' "$tmp/log"
