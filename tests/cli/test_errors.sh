#!/usr/bin/env bash
# Bad input to every command: one line that names the file, what was found and what was expected; the right exit code;
# nothing on standard output, nothing left behind.
set -eu
. "$(dirname "$0")/lib.sh"
make_run
bad=$tmp/bad
mkdir "$bad"
echo "play some music" > "$bad/text"
head -c 3000 /dev/urandom > "$bad/noise"
printf '\211HDF\r\n\032\n%0100d' 0 > "$bad/stranger.h5"
printf 'tasks: {a: \377}\n' > "$bad/bytes.yaml"
printf 'tasks: [\n' > "$bad/open.yaml"
: > "$bad/empty.yaml"
cp "$(find "$run/checkpoints" -name 'step-*.h5' | sort -V | tail -n 1)" "$bad/cut.h5"
truncate -s -100 "$bad/cut.h5"
ls -R "$bad" > "$tmp/before"

refuses() { # STATUS TEXT ARGUMENTS...
    local status=$1 text=$2
    shift 2
    say "berth $*"
    run "$status" "$berth" "$@"
    one_line "$text"
    [ ! -s "$out" ] || fail "something stands on standard output: $(head -n 2 "$out")"
}

# a model that is none
for command in predict embed tokenize; do
    refuses 1 "$tmp/none" "$command" "$tmp/none" "$bad/text"
    refuses 1 "$bad/text" "$command" "$bad/text" "$bad/text"
    refuses 1 "$bad: " "$command" "$bad" "$bad/text"
    refuses 1 "$bad/nothing: " "$command" "$run" "$bad/nothing"
    refuses 1 "$bad: " "$command" "$run" "$bad"
    refuses 2 "one argument too many" "$command" "$run" "$bad/text" "$bad/text"
done
for command in predict embed; do
    refuses 1 "$bad/stranger.h5: found a file of type HDF5, expected text" "$command" "$run" "$bad/stranger.h5"
    refuses 2 "--max-length 2: expected a whole number from 3 to 48" "$command" "$run" "$bad/text" --max-length 2
    refuses 2 "--max-length ten: expected a whole number" "$command" "$run" "$bad/text" --max-length ten
    refuses 2 "device nowhere: no such device" "$command" "$run" "$bad/text" --device nowhere
    refuses 2 "--encoding: found 'latin', expected strict, replace or windows-1252" "$command" "$run" "$bad/text" --encoding latin
done
refuses 1 "$tmp/none" eval "$tmp/none" "$config"
refuses 2 "has a test split" eval "$run" "$config" data.talk.test=null data.reviews.test=null
refuses 1 "$bad/nowhere" eval "$run" "$config" "data.reviews.test=$bad/nowhere"

# a configuration that is none
for command in train "eval $run" pack config; do
    # shellcheck disable=SC2086 # a command and its first argument
    refuses 2 "$bad/bytes.yaml:1:" $command "$bad/bytes.yaml"
    # shellcheck disable=SC2086
    refuses 2 "$bad/open.yaml:" $command "$bad/open.yaml"
done
for command in train pack config; do
    refuses 2 "$tmp/none.yaml: cannot be opened" "$command" "$tmp/none.yaml"
    refuses 2 "$bad: " "$command" "$bad"
    refuses 2 "$bad/empty.yaml" "$command" "$bad/empty.yaml"
    refuses 2 "'seed=x'" "$command" "$config" seed=x
    refuses 2 "did you mean 'train.lr'" "$command" "$config" train.lf=1
done
refuses 2 "did you mean 'train.warmup'" config --explain train.warmpu
refuses 2 "one argument too many" doctor now

# places that cannot be written
refuses 1 "$bad/text" train "$config" output="$bad/text/run"
refuses 1 "$bad/text" pack "$config" cache="$bad/text/cache"
refuses 1 "$bad/text" convert "$run" --out "$bad/text/out"
refuses 1 "$bad/text" report "$run" --out "$bad/text/page.html"
refuses 1 "$bad/text" eval "$run" --details "$bad/text/scores.json"
refuses 1 "$bad/text" embed "$run" "$bad/text" --format npy --out "$bad/text/e.npy"

# files that are not what they should be
refuses 1 "$tmp/none: " inspect "$tmp/none"
refuses 1 "$bad/noise: " inspect "$bad/noise"
refuses 1 "$bad/text: " inspect "$bad/text"
refuses 1 "$bad/stranger.h5: " inspect "$bad/stranger.h5"
refuses 1 "$bad/cut.h5: " inspect "$bad/cut.h5"
refuses 1 "$bad: " inspect "$bad"
refuses 1 "$tmp/none" convert "$tmp/none" --out "$tmp/made"
refuses 1 "$bad: " convert "$bad" --out "$tmp/made"
refuses 2 "--to torch: expected berth|sentence-transformers" convert "$run" --to torch --out "$tmp/made"
[ ! -e "$tmp/made" ] || fail "a folder was left behind"

ls -R "$bad" | diff "$tmp/before" - >&2 || fail "something was left behind"
passed
