#!/bin/sh
# From a fresh clone to a trained model with three heads, on a CPU, in a few minutes. Repeats without harm: what is
# there is reused, a training that was stopped goes on; a run whose data or vocabulary was made again steps aside.
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$1"
}

step "1/9 packages"
scripts/setup.sh

step "2/9 build (build/)"
[ -f build/build.ninja ] || cmake --preset cpu -DBERTH_TESTS=OFF
cmake --build build --target berth berth-demo-data

step "3/9 demo data: the project's own sentences (build/demo-data/)"
# Made again only when its program is newer, for instance after a pull.
if ! [ build/demo-data/.complete -nt build/berth-demo-data ]; then
    build/berth-demo-data build/demo-data
    touch build/demo-data/.complete
fi
find build/demo-data -type f -not -name .complete | sort | xargs wc -l

step "4/9 vocabulary (build/demo-vocab/)"
if ! [ build/demo-vocab/vocab.txt -nt build/demo-data/.complete ]; then
    build/berth vocab build/demo-data/assistant/train/seq.in build/demo-data/reviews/train.tsv --column sentence \
        --size 1500 --out build/demo-vocab --force
fi

step "5/9 training: three tasks at once on one backbone (configs/demo.yaml -> runs/demo/)"
# A run goes on with the data and the vocabulary that it began with alone; the vocabulary is the younger of the two.
if [ -e runs/demo ] && [ build/demo-vocab/vocab.txt -nt runs/demo/config.yaml ]; then
    n=1
    while [ -e "runs/demo.old-$n" ]; do n=$((n + 1)); done
    mv runs/demo "runs/demo.old-$n"
    echo "data or vocabulary were made again after runs/demo began: that run lies in runs/demo.old-$n now"
fi
build/berth train configs/demo.yaml --resume > build/demo-scores.tsv # the next step shows them

step "6/9 the model's scores on the test rows"
build/berth eval runs/demo configs/demo.yaml --split test

step "7/9 predictions of all heads, each sentence in one pass"
sentences=build/demo-sentences.txt
cat > "$sentences" <<'END'
could you call anna to remind ben about the team lunch
please move the team lunch from friday to next monday
the food was not bad but the service was awful
END
echo "(every head answers every sentence, whatever it is about)"
build/berth predict runs/demo "$sentences" --header
echo
build/berth predict runs/demo "$sentences" --format json

step "8/9 embeddings: three sentences, and their shape"
head -n 3 "$sentences" | build/berth embed runs/demo --format tsv | cut -f 1-6 | sed 's/$/\t.../'

step "9/9 the exported model (runs/demo/best/)"
build/berth inspect runs/demo/best | grep -v '^parameter	'

step "where everything lies"
cat <<'END'
program              build/berth            (build/berth help)
data, vocabulary     build/demo-data/  build/demo-vocab/
run                  runs/demo/             (configuration, log, metrics.jsonl, checkpoints)
trained model        runs/demo/best/        (config.json, model.safetensors, vocab.txt, heads: the usual folder)
ask it something     echo "SENTENCE" | build/berth predict runs/demo
what it is made of   build/berth inspect runs/demo/best
END
