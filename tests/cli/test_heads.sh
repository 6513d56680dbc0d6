#!/usr/bin/env bash
# Heads of every kind in one run: each learns, all are saved, answer and are scored; a killed run ends with the same bits.
set -eu
. "$(dirname "$0")/lib.sh"
make_world # the data of talk and its vocabulary's words

write_items() { # FILE ROWS FIRST: a set of topics and a number of stars
    awk -v rows="$2" -v first="$3" 'BEGIN {
        split("film book song meal", thing, " "); split("music maps jokes", extra, " "); print "text\ttopics\tstars"
        for (i = first; i < first + rows; i++) {
            good = int(i / 4) % 2; very = int(i / 8) % 2; t = thing[i % 4 + 1]; e = extra[i % 3 + 1]
            s = (very ? "very " : "") (good ? "great" : "awful") " " t (i % 5 ? " with " e : "")
            print s "\t" t (i % 5 ? "," e : "") "\t" (good ? 1 : -1) * (very ? 2 : 1)
        } }' < /dev/null > "$1"
}
write_pairs() { # FILE ROWS FIRST: two texts and how alike they are
    awk -v rows="$2" -v first="$3" 'BEGIN {
        split("paris rome oslo lima cairo", city, " "); print "a\tb\tscore"
        for (i = first; i < first + rows; i++) {
            x = city[i % 5 + 1]; y = i % 2 ? x : city[(i + 1 + int(i / 10) % 4) % 5 + 1]
            print "the weather in " x "\tmusic next to " y "\t" (x == y ? "0.9" : "0.1")
        } }' < /dev/null > "$1"
}
write_search() { # FILE ROWS FIRST: a question, its answer, and one that is wrong
    awk -v rows="$2" -v first="$3" 'BEGIN {
        n = split("paris rome oslo lima cairo monday tuesday friday sunday film book song meal", word, " ")
        print "question\tanswer\twrong"
        for (i = first; i < first + rows; i++)
            print "what is the " word[i % n + 1] "\ta great " word[i % n + 1] " in the morning\t" \
                  (i % 2 ? "a great " word[(i + 3) % n + 1] " in the morning" : "")
    }' < /dev/null > "$1"
}
world=$tmp/world
for set in "train 120 0" "dev 24 300"; do
    set -- $set
    write_items "$world/items_$1.tsv" "$2" "$3"
    write_pairs "$world/pairs_$1.tsv" "$2" "$3"
    write_search "$world/search_$1.tsv" "$(($2 / 2))" "$3"
done
cut -f 1 "$world/items_train.tsv" "$world/pairs_train.tsv" "$world/search_train.tsv" > "$world/words.txt"
"$berth" vocab "$world/talk/train/seq.in" "$world/words.txt" "$world/train.tsv" --size 300 --force --out "$world/vocab" \
    > /dev/null 2> "$err" || fail "berth vocab failed: $(cat "$err")"
cat > "$config" <<END
seed: 5
device: cpu
cache: $tmp/cache
data_folder: $world
model:
  new: {layers: 2, hidden: 32, heads: 2, intermediate: 64, positions: 48}
  vocab: $world/vocab
  max_length: 32
  dropout: 0.05
  attention_dropout: 0.05
data:
  talk: {format: seqfiles, train: talk/train, dev: talk/dev, test: talk/test}
  reviews: {format: tsv, text: sentence, train: train.tsv, dev: dev.tsv}
  items: {format: tsv, text: text, train: items_train.tsv, dev: items_dev.tsv}
  pairs: {format: tsv, text: a, text_pair: b, train: pairs_train.tsv, dev: pairs_dev.tsv}
  qa: {format: tsv, text: question, text_pair: answer, negative: wrong, train: search_train.tsv, dev: search_dev.tsv}
tasks:
  intent: {type: classification, source: talk, label: label, pooling: cls, class_weights: balanced, label_smoothing: 0.05}
  slots: {type: tagging, source: talk, label: seq.out, crf: true}
  mood: {type: classification, source: reviews, label: label, pooling: mean, loss: focal, layer: mix}
  topics: {type: multilabel, source: items, label: topics, pooling: mean, hidden_layers: 1, weight: 4, metric: macro_f1}
  stars: {type: regression, source: items, label: stars, pooling: mean, loss: huber}
  alike: {type: similarity, source: pairs, label: score, loss: cosent}
  search: {type: contrastive, source: qa, symmetric: true}
  words: {type: mlm, source: talk, mask: 0.25}
train: {epochs: 60, batch_size: 32, lr: 4e-3, head_lr: 8e-3}
evaluate: {every: 20 epochs}
checkpoint: {every: 20 steps, keep: 2}
log: {every: 20 steps}
END

say "eight heads learn in one run"
run 0 "$berth" train "$config" output="$tmp/whole"
run 0 "$berth" eval "$tmp/whole" "$config" --split dev
cp "$out" "$tmp/scores"
above() { # TASK METRIC LEAST
    awk -F '\t' -v t="$1" -v m="$2" -v least="$3" '$1 == t && $3 == m { found = 1; good = $4 >= least; value = $4 }
        END { if (!found || !good) { print t, m, found ? value : "is not there", "expected at least", least; exit 1 } }' \
        "$tmp/scores" || fail "learnt too little"
}
above intent accuracy 0.9
above slots span_f1 0.9
above slots strict_span_f1 0.9
above mood accuracy 0.9
above topics macro_f1 0.8
above stars pearson 0.8
above alike spearman 0.6
above search accuracy 0.5 # chance: 1 of 12
above search mrr 0.6
above words accuracy 0.3
above talk frame_accuracy 0.8
awk -F '\t' '$1 == "words" && $3 == "perplexity" && $4 < 40 { good = 1 } END { exit !good }' "$tmp/scores" ||
    fail "words: perplexity $(grep perplexity "$tmp/scores")"
[ "$(awk -F '\t' '$1 == "mean" { print NF }' "$tmp/scores")" = 4 ] || fail "no mean"
for task in intent slots mood topics stars alike search words; do # the loss of each falls
    awk -v task="\"$task\":{\"loss\":" 'index($0, "\"type\":\"step\"") { at = index($0, task); if (!at) next
            v = substr($0, at + length(task)); sub(/,.*/, "", v); if (first == "") first = v; last = v }
        END { exit !(first != "" && last + 0 < 0.8 * first) }' "$tmp/whole/metrics.jsonl" || fail "the loss of $task did not fall"
done

say "settings are saved with the heads"
heads=$tmp/whole/best/berth_heads.json
for text in '"crf": true' '"scheme": "bio"' '"threshold": 0.' '"reads": "mix"' '"loss": "cosent"' '"symmetric": true' '"class_weights"'; do
    grep -qF "$text" "$heads" || fail "berth_heads.json lacks $text"
done

say "what stands behind the scores of labels, numbers and search"
grep -q '"search": {"ranks": \[{"at": 1, "share": ' "$tmp/whole/evaluation-dev.json" || fail "search: no ranks"
run 0 "$berth" predict "$tmp/whole" "$world/items_dev.tsv" --input tsv --column text --keep topics,stars --task topics,stars --format json
if command -v python3 > /dev/null; then
    python3 - "$out" "$tmp/whole/evaluation-dev.json" <<'END' || fail "evaluation-dev.json does not fit the answers"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
details = json.load(open(sys.argv[2]))["details"]
gold = [set(r["columns"]["topics"].split(",")) for r in rows]
said = [set(r["heads"]["topics"]["labels"]) for r in rows]
assert {c["label"] for c in details["topics"]["classes"]} >= set.union(*gold)
for c in details["topics"]["classes"]:
    k = c["label"]
    counts = (sum(k in g for g in gold), sum(k in s for s in said), sum(k in g and k in s for g, s in zip(gold, said)))
    assert (c["support"], c["predicted"], c["correct"]) == counts, (c, counts)
    assert c["recall"] == (None if not counts[0] else round(counts[2] / counts[0], 9)), c
target = sorted(float(r["columns"]["stars"]) for r in rows)
off = sorted(r["heads"]["stars"]["value"] - float(r["columns"]["stars"]) for r in rows)
spread = details["stars"]["residuals"]
median = (off[(len(off) - 1) // 2] + off[len(off) // 2]) / 2
for name, value in (("mean", sum(off) / len(off)), ("min", off[0]), ("max", off[-1]), ("median", median)):
    assert abs(spread[name] - value) < 1e-4, (name, spread[name], value)
assert details["stars"]["targets"]["max"] == target[-1] and details["stars"]["targets"]["min"] == target[0]
END
fi

say "answers of each kind"
printf 'very great film with maps\twhat is the [MASK] in rome\n' > "$tmp/lines"
run 0 "$berth" predict "$tmp/whole" "$tmp/lines" --format json
if command -v python3 > /dev/null; then
    python3 - "$out" <<'END' || fail "answers: $(cat "$out")"
import json, sys
heads = json.loads(open(sys.argv[1]).readline())["heads"]
assert set(heads) == {"intent", "slots", "mood", "topics", "stars", "alike", "search", "words"}, heads
assert len(heads["topics"]["labels"]) == len(heads["topics"]["probabilities"])
assert isinstance(heads["stars"]["value"], float)
assert -1.001 <= heads["alike"]["similarity"] <= 1.001 and -1.001 <= heads["search"]["similarity"] <= 1.001
assert len(heads["words"]["tokens"]) == 1 and 0 < heads["words"]["probabilities"][0] <= 1
assert len(heads["slots"]["tags"]) == 5
END
fi
printf 'very great film with maps\n' > "$tmp/lines"
run 0 "$berth" predict "$tmp/whole" "$tmp/lines" --task topics
same "$out" "film,maps" "topics of a sentence"
run 0 "$berth" predict "$tmp/whole" "$tmp/lines" --task alike
same "$out" "" "a line without a pair has no similarity"
run 0 "$berth" predict "$tmp/whole" "$tmp/lines" --task alike --format json
grep -q '"alike": {"similarity": null}' "$out" || fail "json: $(cat "$out")"
printf 'what is the [MASK] in paris\n' > "$tmp/lines"
run 0 "$berth" predict "$tmp/whole" "$tmp/lines" --task words
same "$out" "weather" "what stands at [MASK]"

say "killed and resumed: the same bits"
"$berth" train "$config" output="$tmp/killed" > "$out" 2> "$err" &
child=$!
for _ in $(seq 300); do
    [ -n "$(ls "$tmp/killed/checkpoints/" 2> /dev/null | grep '\.h5$' || true)" ] && break
    sleep 0.05
done
sleep 0.1
kill -9 "$child" 2> /dev/null || fail "the run was over before it could be killed"
wait "$child" 2> /dev/null || true
run 0 "$berth" train "$config" output="$tmp/killed" --resume
same_bits "$tmp/whole/best" "$tmp/killed/best"
cmp "$tmp/whole/best/berth_heads.json" "$tmp/killed/best/berth_heads.json" || fail "thresholds or settings differ"

say "two tasks of one head; refusals in one line"
cat >> "$world/shared.yaml" <<END
model: {new: {layers: 1, hidden: 32, heads: 2, intermediate: 64, positions: 48}, vocab: $world/vocab, max_length: 32}
device: cpu
cache: $tmp/cache
data_folder: $world
data:
  reviews: {format: tsv, text: sentence, train: train.tsv, dev: dev.tsv}
  talk: {format: seqfiles, train: talk/train, dev: talk/dev}
tasks:
  mood: {type: classification, source: reviews, label: label, pooling: mean}
  intent: {type: classification, source: talk, label: label, pooling: mean, head: mood}
train: {epochs: 12, batch_size: 16, lr: 4e-3}
END
run 0 "$berth" train "$world/shared.yaml" output="$tmp/shared"
run 0 "$berth" eval "$tmp/shared" "$world/shared.yaml" --split dev
cp "$out" "$tmp/scores"
above mood accuracy 0.9
above intent accuracy 0.9
[ "$("$berth" inspect "$tmp/shared" | grep -c '^parameter.heads')" = 2 ] || fail "a shared head has one weight and one bias"
mistake() { # TEXT OVERRIDE...
    local text=$1
    shift
    run 2 "$berth" train "$world/shared.yaml" output="$tmp/none" "$@"
    one_line "$text"
}
mistake "a classification task has no loss 'mse'" tasks.mood.loss=mse
mistake "a crf is for tagging" tasks.mood.crf=true
mistake "'great' is no label of task 'mood'" tasks.mood.class_weights=[great=2]
mistake "no task is named 'nobody'" tasks.intent.head=nobody
mistake "expected last, mix, or a layer from 0 (the embeddings) to 1" tasks.mood.layer=2
mistake "'span_f1' is no metric of a classification task" tasks.mood.metric=span_f1
if "$berth" doctor 2> /dev/null | grep -q '^devices of this build: .*cuda-host'; then
    say "the same heads by the CUDA kernels, in memory that the host cannot touch: the CPU's losses within 1e-4"
    for device in cpu cuda-host; do
        run 0 "$berth" train "$config" output="$tmp/$device" device=$device train='{steps: 4, batch_size: 32, lr: 4e-3}' \
            log.every='1 steps' evaluate.every='4 steps' sampling.mix=all
        grep '"tokens_per_second"' "$tmp/$device/metrics.jsonl" |
            sed -nE 's/.*"step": ?([0-9]+).*"loss": ?([-+.0-9e]+),.*/\1 \2/p' > "$tmp/losses.$device"
        [ "$(wc -l < "$tmp/losses.$device")" = 4 ] || fail "expected 4 losses: $(cat "$tmp/losses.$device")"
    done
    paste -d ' ' "$tmp/losses.cpu" "$tmp/losses.cuda-host" | awk '
        { d = ($2 - $4) / $2; if (d < 0) d = -d; if (d > worst) worst = d }
        END { if (worst > 1e-4) { print "losses differ by " worst; exit 1 } }' > "$tmp/verdict" || fail "$(cat "$tmp/verdict")"
    for command in "predict $tmp/cuda-host" "embed $tmp/cuda-host"; do
        echo "play some music in paris" | "$berth" $command - --device cuda-host > "$tmp/answer" 2> "$err" ||
            fail "berth $command: $(cat "$err")"
        [ -s "$tmp/answer" ] || fail "berth $command --device cuda-host answers nothing"
    done
fi
passed
