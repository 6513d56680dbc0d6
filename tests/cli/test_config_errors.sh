#!/usr/bin/env bash
# A wrong configuration: file, line, column, what was meant; exit code 2; nothing is written.
set -eu
. "$(dirname "$0")/lib.sh"
make_world

wrong() { # TEXT ARGUMENTS of train...
    local text=$1
    shift
    say "$*"
    run 2 "$berth" train "$@"
    one_line "$text"
    [ ! -e "$run" ] || fail "a run folder was made"
}
edited() { # SED_SCRIPT: a copy of the configuration, changed
    sed "$1" "$config" > "$tmp/wrong.yaml"
    cmp -s "$config" "$tmp/wrong.yaml" && fail "the edit '$1' changed nothing"
    return 0
}
edited 's/batch_size/bach_size/'
line=$(grep -n bach_size "$tmp/wrong.yaml" | cut -d : -f 1)
wrong "$tmp/wrong.yaml:$line:" "$tmp/wrong.yaml"
wrong "train.batch_size" "$tmp/wrong.yaml"
edited 's/batch_size: 8/batch_size: many/'
wrong "$tmp/wrong.yaml:$line:" "$tmp/wrong.yaml"
wrong "many" "$tmp/wrong.yaml"
edited 's/batch_size: 8/batch_size: -3/'
wrong "-3" "$tmp/wrong.yaml"
edited 's/type: tagging/type: taging/'
wrong "tagging" "$tmp/wrong.yaml"
edited 's/source: reviews/source: revews/'
wrong "revews" "$tmp/wrong.yaml"
edited 's/^model:/model: [/'
wrong "$tmp/wrong.yaml:" "$tmp/wrong.yaml"
wrong "train.lr" "$config" train.lrr=1e-3
wrong "fast" "$config" train.lr=fast
wrong "nolayer" "$config" 'freeze=[{select: nolayer}]'
wrong "layers.0-9" "$config" 'freeze=[{select: layers.0-9}]'
say "a configuration that is not there"
run 2 "$berth" train "$tmp/no.yaml"
one_line "$tmp/no.yaml"

say "several mistakes: one line each"
edited 's/batch_size: 8/bach_size: 8/; s/seed: 5/sed: 5/'
run 2 "$berth" train "$tmp/wrong.yaml"
[ "$(grep -c '^berth: ' "$err")" = 2 ] || fail "expected two lines"

say "berth config"
run 0 "$berth" config "$config" train.lr=0.5
cp "$out" "$tmp/effective.yaml"
grep -q '0\.5' "$out" || fail "the override is not in the effective configuration"
run 0 "$berth" config "$tmp/effective.yaml"
cmp "$out" "$tmp/effective.yaml" || fail "the effective configuration does not give itself again"
run 0 "$berth" config --explain train.lr
grep -q 5e-5 "$out" || fail "explain does not name the default"
run 2 "$berth" config --explain train.lrr
one_line train.lr
run 2 "$berth" config "$tmp/wrong.yaml"
passed
