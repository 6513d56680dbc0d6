#!/usr/bin/env bash
# Writes docs/commands.md: what each command is for, with an example that is run here and its real output. Needs the
# demo's data, vocabulary and trained run (scripts/quickstart.sh).
#
#   scripts/make_commands_page.sh > docs/commands.md          (a development machine; the numbers are that machine's)
set -eu
cd "${BERTH_DEMO_FOLDER:-$(dirname "$0")/..}"
[ -d runs/demo/best ] || { echo "make_commands_page: runs/demo is not there; scripts/quickstart.sh makes it" >&2; exit 1; }
work=$(mktemp -d)
made="example.tsv example.h5 runs/page runs/example-vocab runs/example-folder runs/both.html"
# shellcheck disable=SC2086 # words on purpose
trap 'rm -rf "$work" $made' EXIT

text() { # a paragraph, as it stands
    cat
    echo
}
show() { # SHELL COMMAND [LINES]: the command, and what it prints (both outputs), at most LINES lines of 200 characters
    local lines=${2:-12} status=0
    echo '```'
    echo "\$ $1"
    PATH="$PWD/build:$PATH" bash -c "$1" > "$work/out" 2>&1 < /dev/null || status=$?
    cut -c 1-200 "$work/out" | head -n "$lines"
    [ "$(wc -l < "$work/out")" -le "$lines" ] || echo '...'
    [ "$status" = 0 ] || echo "(exit code $status)"
    printf '```\n\n'
}
section() {
    printf '## berth %s\n\n' "$1"
}

text <<'END'
# The commands

Written by `scripts/make_commands_page.sh`, which ran each example in the folder of the demo (`scripts/quickstart.sh`)
and took down what it printed; `...` stands for lines that were left out, and speeds are those of a machine with other
work to do. All options of a command are in
`berth COMMAND --help` and in the [manual page](man/berth.1), all settings in [configuration.md](configuration.md).

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage or
configuration, 75 stopped by a signal with a checkpoint written. MODEL is a model folder, or a run folder (its `best/`).
END

section train
text <<'END'
Trains what a configuration says into its run folder. `--dry-run` tells what it would do, and stops there.
END
show "berth train configs/demo.yaml output=runs/page --dry-run" 28
text <<'END'
The run itself; `key=value` overrides a setting. On a terminal there is a bar instead of the lines "step ...".
END
show "berth train configs/demo.yaml output=runs/page train.epochs=1 log.every='48 steps' 2>&1 | grep -E '^(step|peak|checkpoint|finished)'"
text <<'END'
The run folder is refused when it is there already. With `--resume` a run that was stopped (or killed) goes on and ends
with the same bits; one that is finished ends at once with exit code 0.
END
show "berth train configs/demo.yaml output=runs/page train.epochs=1"
show "berth train configs/demo.yaml output=runs/page train.epochs=1 --resume | head -n 3"

section eval
text <<'END'
Scores a model on the data of a configuration, or of a run's own. `--json` gives the same with what stands behind it:
precision, recall and F1 of every class and entity, confusion matrices, residuals; a run keeps that of its best model in
`evaluation-dev.json` and `evaluation-test.json`.
END
show "berth eval runs/demo configs/demo.yaml | grep -E 'accuracy|span|mean'"
text <<'END'
The object holds `split`, `scores` {task: {metric: value}} and `details` {task: ...}, by kind of task:

| kind | details |
|---|---|
| classification | `classes` (label, support, predicted, correct, precision, recall, f1), `unknown` (rows whose label training never saw), `mistakes` (gold, answered, count), and of at most 100 classes `labels` and `confusion` (gold by answered) |
| tagging | `entities` (type, support, predicted, correct, precision, recall, f1) |
| multilabel | `classes` as above, `threshold` |
| regression, similarity | `targets`, `answers`, `residuals` (answer - target): mean, deviation, min, q05, q25, median, q75, q95, max |
| contrastive | `ranks` (at, share): how many find their positive among the nearest |

A share of nothing is `null`.
END
show "berth eval runs/demo --json" 3

text <<'END'
Data that no configuration names: `--data`, with a column for each head.
END
show "berth eval runs/demo --data build/demo-data/reviews/test.tsv --column sentence --label sentiment=label --split test" 4

section predict
text <<'END'
All heads' answers from one pass, in the order of the lines. Any format that training reads (`--input`), compressed or
not; memory holds some thousand lines at a time.
END
printf 'id\ttext\n17\tcould you call anna to remind ben about the team lunch\n18\tthe food was not bad but the service was awful\n' > example.tsv
show "berth predict runs/demo example.tsv --input tsv --column text --keep id --header"
show "head -n 2 example.tsv | tail -n 1 | cut -f 2 | berth predict runs/demo --format json --task intent,entities"
show "berth predict runs/demo example.tsv --input tsv --column text --format conll --task intent,entities" 8
text <<'END'
The same file gives the same bits at any number of threads. Which rows share a pass can change the last digits of a
probability (about 1e-6) where few rows share it: lines that come one by one through a pipe are answered one by one.
Texts longer than `--max-length` are cut, and that is told; `--overflow windows` reads them in windows, whose outputs are
averaged, and tags each word in the window that shows most of what is round it: as `berth eval` does with
`overflow: windows`.
END

section embed
text <<'END'
One vector for each line: TSV, JSONL, an HDF5 file (`embeddings` [N, H], and `ids`), or a NumPy array.
END
show "cut -f 2 example.tsv | tail -n 2 | berth embed runs/demo --normalize | cut -f 1-6"
show "berth embed runs/demo example.tsv --input tsv --column text --keep id --format hdf5 --out example.h5 && berth inspect example.h5"

section tokenize
text <<'END'
The token ids of each line, and back (`--decode`); more in [tokenizer.md](tokenizer.md).
END
show "cut -f 2 example.tsv | tail -n 2 | berth tokenize runs/demo"
show "cut -f 2 example.tsv | tail -n 1 | berth tokenize runs/demo --tokens --max-length 8"

section vocab
text <<'END'
Trains a WordPiece vocabulary from text.
END
show "berth vocab build/demo-data/reviews/train.tsv --column sentence --size 200 --out runs/example-vocab && head -n 3 runs/example-vocab/vocab.txt" 6

section pack
text <<'END'
Reads, checks and tokenizes a configuration's data into the cache, without a model's weights; training then starts at
once. Source, split, rows, tokens, made or reused, file:
END
show "berth pack configs/demo.yaml"

section data
text <<'END'
Tells what lies in a configuration's files, before anything is trained: rows, lengths, labels, what is odd; more in
[data.md](data.md).
END
show "berth data configs/demo.yaml" 30

section config
text <<'END'
Checks a configuration and prints it in full; `--explain` tells of a key or a section.
END
show "berth config --explain train.warmup"
show "berth config configs/demo.yaml train.bach_size=16"

section inspect
text <<'END'
What a model or run folder, a checkpoint, a safetensors or an HDF5 file holds, with a digest for each tensor.
END
show "berth inspect runs/demo/best | head -n 16" 16
show "berth inspect runs/demo" 8

section convert
text <<'END'
Writes a model folder anew: other number formats, or with what sentence-transformers needs.
END
show "berth convert runs/demo --to sentence-transformers --dtype f16 --out runs/example-folder && ls runs/example-folder" 20

section report
text <<'END'
One self-contained HTML page about a run, or several side by side: curves, scores, confusion matrices, entities by type,
what was frozen, plan and configuration.
END
show "berth report runs/demo runs/page --out runs/both.html"

section doctor
text <<'END'
What this build can do on this machine, and what it lacks.
END
show "berth doctor" 14

section help
text <<'END'
`berth help`, `berth help COMMAND`; `berth help --man` and `--completion` print the manual page and bash's completion,
which `cmake --install` puts in their places.
END
show "berth help" 24
