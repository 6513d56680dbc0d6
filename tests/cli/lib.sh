# shellcheck shell=bash
# lib.sh: what the command tests share. Sourced by test_*.sh, which run under `set -eu`.
#
#   $berth  the program      $tmp  a folder of this test's own, removed at the end      $out $err  of the last `run`

berth=${BERTH_BIN:?the program under test}
export OMP_NUM_THREADS=1 # the small world gains nothing from more, and tests run side by side
tmp=$(mktemp -d "${TMPDIR:-/tmp}/berth-test.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
out=$tmp/out
err=$tmp/err
test_name=$(basename "$0" .sh)
place=start

# Names what is tested now, for messages.
say() {
    place=$1
}
fail() {
    echo "$test_name: $place: $*" >&2
    [ ! -s "$err" ] || sed 's/^/    stderr: /' "$err" >&2
    exit 1
}
skip() {
    echo "$test_name: skipped: $*" >&2
    exit 77
}
passed() {
    echo "$test_name: passed"
}
# run EXPECTED_STATUS COMMAND...: runs it with its outputs in $out and $err.
run() {
    local expected=$1 status=0
    shift
    "$@" > "$out" 2> "$err" < /dev/null || status=$?
    [ "$status" = "$expected" ] || fail "exit status $status, expected $expected: $*"
}
# one_line TEXT: the last command told exactly one mistake on standard error, and it holds TEXT.
one_line() {
    local lines
    lines=$(grep -E '^(berth|fetch_model|setup): ' "$err" | grep -cvE '^berth: (warning|note): ' || true)
    [ "$lines" = 1 ] || fail "expected exactly one line about the mistake on standard error, found $lines"
    grep -qF -- "$1" "$err" || fail "the line does not hold '$1'"
}
same() { # FILE EXPECTED WHAT
    [ "$(cat "$1")" = "$2" ] || fail "$3: found '$(cat "$1")', expected '$2'"
}

# ---- a small world: data of two sources, a vocabulary, a configuration of three tasks, quick to train

write_talk() { # FOLDER ROWS FIRST: seqfiles with intents and slots
    mkdir -p "$1"
    awk -v rows="$2" -v first="$3" -v folder="$1" 'BEGIN {
        split("paris rome oslo lima cairo", city, " "); split("monday tuesday friday sunday", day, " ")
        for (i = first; i < first + rows; i++) {
            c = city[i % 5 + 1]; d = day[i % 4 + 1]
            if (i % 3 == 0)      { text = "book a table in " c " on " d; tags = "O O O O B-city O B-day"; label = "book" }
            else if (i % 3 == 1) { text = "what is the weather in " c; tags = "O O O O O B-city"; label = "weather" }
            else                 { text = "play some music next " d " morning"
                                   tags = "O O O B-day I-day I-day"; label = "play" }
            print text > (folder "/seq.in"); print tags > (folder "/seq.out"); print label > (folder "/label")
        } }' < /dev/null
}
write_reviews() { # FILE ROWS FIRST: a TSV with a header
    awk -v rows="$2" -v first="$3" 'BEGIN {
        split("film book song meal", thing, " "); print "sentence\tlabel"
        for (i = first; i < first + rows; i++)
            print (i % 2 ? "a great and lovely " : "a boring and awful ") thing[i % 4 + 1] "\t" (i % 2 ? "good" : "bad")
    }' < /dev/null > "$1"
}
# Writes $tmp/world: data, vocabulary, world.yaml; the run folder is $tmp/run. Sets $config and $run.
make_world() {
    mkdir -p "$tmp/world"
    write_talk "$tmp/world/talk/train" 48 0
    write_talk "$tmp/world/talk/dev" 12 100
    write_talk "$tmp/world/talk/test" 12 201
    write_reviews "$tmp/world/train.tsv" 16 0
    write_reviews "$tmp/world/dev.tsv" 8 40
    write_reviews "$tmp/world/test.tsv" 8 81
    "$berth" vocab "$tmp/world/talk/train/seq.in" "$tmp/world/train.tsv" --column sentence --size 200 --out "$tmp/world/vocab" \
        > /dev/null 2> "$err" || fail "berth vocab failed"
    config=$tmp/world/world.yaml
    run=$tmp/run
    cat > "$config" <<END
seed: 5
device: cpu
output: $tmp/run
cache: $tmp/cache
data_folder: $tmp/world
model:
  new: {layers: 2, hidden: 32, heads: 2, intermediate: 64, positions: 48}
  vocab: $tmp/world/vocab
  max_length: 32
  dropout: 0.1
  attention_dropout: 0.1
data:
  talk: {format: seqfiles, train: talk/train, dev: talk/dev, test: talk/test}
  reviews: {format: tsv, text: sentence, train: train.tsv, dev: dev.tsv, test: test.tsv}
tasks:
  intent: {type: classification, source: talk, label: label, pooling: cls}
  slots: {type: tagging, source: talk, label: seq.out}
  mood: {type: classification, source: reviews, label: label, pooling: mean}
train: {epochs: 12, batch_size: 8, lr: 5e-3}
checkpoint: {every: 5 steps, keep: 2}
log: {every: 4 steps}
END
}
# The world, trained: $run/best is a model with three heads.
make_run() {
    make_world
    "$berth" train "$config" > "$out" 2> "$err" < /dev/null || fail "training the small world failed"
}
# same_bits A B: two model folders or checkpoints hold equal tensors, told by their digests.
digests() {
    "$berth" inspect "$1" | awk -F '\t' '$1 == "parameter" { print $2, $5 } $1 == "dataset" { print $2, $5 }'
}
same_bits() {
    digests "$1" > "$tmp/digests.a"
    digests "$2" > "$tmp/digests.b"
    [ -s "$tmp/digests.a" ] || fail "$1: berth inspect shows no digest"
    cmp -s "$tmp/digests.a" "$tmp/digests.b" || fail "$1 and $2 differ in $(diff "$tmp/digests.a" "$tmp/digests.b" | grep -c '^<') tensors"
}
