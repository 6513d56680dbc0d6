#!/usr/bin/env bash
# Help pages, wrong usage, exit codes, results on standard output alone.
set -eu
. "$(dirname "$0")/lib.sh"
commands="train eval predict embed tokenize vocab pack config inspect doctor"

say "help"
run 0 "$berth" help
for c in $commands; do grep -Eq "^  $c +[a-z]" "$out" || fail "berth help does not name $c"; done
[ ! -s "$err" ] || fail "help wrote to standard error"
run 0 "$berth" --help
for c in $commands; do
    run 0 "$berth" "$c" --help
    grep -q "^usage: berth $c" "$out" || fail "$c --help: no usage line"
    grep -q -- "--help, -h" "$out" || fail "$c --help: no options"
    cp "$out" "$tmp/page"
    run 0 "$berth" help "$c"
    cmp "$out" "$tmp/page" || fail "help $c and $c --help differ"
done
run 0 "$berth" --version
grep -Eqx 'berth [0-9]+\.[0-9]+\.[0-9]+' "$out" || fail "--version: $(cat "$out")"

wrong() { # TEXT ARGUMENTS...
    local text=$1
    shift
    say "berth $*"
    run 2 "$berth" "$@"
    one_line "$text"
    [ ! -s "$out" ] || fail "wrong usage wrote to standard output"
}
wrong "did you mean 'train'" trian
wrong "did you mean 'inspect'" help inspct
wrong "is not known; \`berth help\`" zzzzzzzz
wrong "did you mean '--format'" predict m --fromat tsv
wrong "did you mean '--resume'" train c.yaml --resum
wrong "is not known" embed m -x
wrong "takes no value" train c.yaml --resume=yes
wrong "needs a value" predict m --format
wrong "expected tsv|json" predict m --format xml
wrong "expected mean|cls|pooler" embed m --pooling=max
wrong "needs --out" embed m --format hdf5
wrong "too few arguments" predict
wrong "one argument too many" predict a b c
wrong "expected dev|test" eval m c.yaml --split tset
wrong "--size" vocab file --out x
wrong "--size x: expected a whole number" vocab file --size x --out y
wrong "CONFIG is missing" config
say "no command"
run 2 "$berth"
one_line "a command is missing"

gone() { # TEXT ARGUMENTS...: things of the world that are not there
    local text=$1
    shift
    say "berth $*"
    run 1 "$berth" "$@"
    one_line "$text"
}
gone "$tmp/nothing" predict "$tmp/nothing"
gone "$tmp/nothing" inspect "$tmp/nothing"
gone "$tmp/nothing" vocab "$tmp/nothing" --size 100 --out "$tmp/v"
[ ! -e "$tmp/v" ] || fail "a failed vocab left its folder"
mkdir "$tmp/empty"
gone "neither a model folder" embed "$tmp/empty"
gone "neither a model folder" inspect "$tmp/empty"

say "doctor"
run 0 "$berth" doctor
for word in "berth: " "processor: " "threads: " "device: " "devices of this build: " "lacking: MPI"; do
    grep -q "^$word" "$out" || fail "doctor does not tell '$word'"
done

if ! grep -q "^device: cuda" "$out"; then
    grep -q "^lacking: device cuda: " "$out" || fail "doctor does not tell why there is no CUDA"
fi

say "standard output that cannot be written"
status=0
"$berth" help > /dev/full 2> "$err" || status=$?
[ "$status" = 1 ] || fail "exit status $status, expected 1"
one_line "No space left on device"

say "standard output that is closed"
set +e
{ "$berth" config --reference 2> "$err"; echo $? > "$tmp/status"; } | true
{ sleep 0.3; "$berth" config --reference 2> "$err"; echo $? > "$tmp/status"; } | true
set -e
same "$tmp/status" 141 "status of a program whose reader went away"
[ ! -s "$err" ] || fail "a closed pipe is no reason for a message"
passed
