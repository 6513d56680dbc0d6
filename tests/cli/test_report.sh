#!/usr/bin/env bash
# Evaluation files and `berth report`: right numbers, one self-contained page, whatever the run's state and names.
set -eu
. "$(dirname "$0")/lib.sh"
make_world
# labels that look like HTML: the page must show them as text
sed -i 's/^book$/<b>book<\/b> \&amp; "go"/' "$tmp"/world/talk/*/label
run 0 "$berth" train "$config" train.epochs=4 train.lr=2e-3
page=$run/report.html
script='import html.parser, re, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(); self.open = []; self.bad = []; self.rows = []; self.text = ""
    def handle_starttag(self, tag, attributes):
        if tag in ("script", "link", "iframe", "object", "embed", "img", "base"): self.bad.append(tag)
        self.bad += [a for a in attributes if a[0] in ("src", "href", "data", "xlink:href") or a[0].startswith("on")]
        self.open.append(tag)
        if tag == "tr": self.rows.append([])
        if tag in ("td", "th") and self.rows: self.rows[-1].append("")
    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: self.bad.append("</" + tag + ">")
    def handle_data(self, data):
        if "style" in self.open: assert not re.search(r"url\(|@import", data); return
        self.text += data
        if self.rows and self.open and self.open[-1] in ("td", "th", "span", "i"): self.rows[-1][-1] += data
text = open(sys.argv[1], encoding="utf-8").read(); page = Page(); page.feed(text)
assert not page.bad and not page.open, (page.bad, page.open)
assert "nan" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.S).lower().replace("finance", ""), "a number that is none"
'
check_page() { # FILE [PYTHON]: well formed, loads nothing; then PYTHON with `page`
    local file=$1
    shift
    [ "$(head -c 15 "$file")" = '<!DOCTYPE html>' ] || fail "$file is no HTML page"
    ! grep -qE '<(script|link|iframe|object|img)|https?://|src=|href=|url\(|@import' "$file" || fail "$file refers to something outside"
    if command -v python3 > /dev/null; then
        python3 -c "$script${1:-}" "$file" "$tmp" "$run" || fail "$file: the page is not as expected"
    fi
}

say "evaluation files: those of the best model, and what berth eval says of it"
for split in dev test; do
    [ -s "$run/evaluation-$split.json" ] || fail "no evaluation-$split.json"
    run 0 "$berth" eval "$run" --split "$split" --json --details "$tmp/details.json"
    cmp "$out" "$tmp/details.json" || fail "--json and --details differ"
    sed 's/"step":[0-9]*,//' "$run/evaluation-$split.json" | cmp - "$out" || fail "evaluation-$split.json differs from berth eval --json"
done
run 0 "$berth" eval "$run" --split test --details "$tmp/details.json"
grep -q '^intent	test	accuracy	' "$out" || fail "--details took the lines away"
run 1 "$berth" eval "$run" --details "$tmp/no/such/file"
one_line "$tmp/no/such"

say "the page's numbers are those that the predictions give"
run 0 "$berth" report "$run"
same "$out" "$page" "standard output"
"$berth" predict "$run" "$tmp/world/talk/test/seq.in" --format json > "$tmp/answers" 2> "$err"
cut -f 1 "$tmp/world/test.tsv" | tail -n +2 | "$berth" predict "$run" --task mood > "$tmp/moods" 2> "$err"
check_page "$page" '
import collections, json, os
folder, run = sys.argv[2], sys.argv[3]
answers = [json.loads(line)["heads"] for line in open(folder + "/answers")]
lines = lambda name: open(folder + "/world/" + name, encoding="utf-8").read().split("\n")[:-1]
gold = lines("talk/test/label")
said = [a["intent"]["label"] for a in answers]
part = text[text.index("<h2>Mistakes"):]
section = lambda title: part[part.index("<summary>" + title + "</summary>"):].split("</details>")[0]
def rows_of(t):
    p = Page(); p.feed(t.split("</summary>")[1]); return [[c.strip() for c in r] for r in p.rows]
rows = rows_of(section("intent, test"))
labels = sorted(set(lines("talk/train/label")))
for k, label in enumerate(labels):
    matrix = next(r for r in rows if r[0] == label)
    expected = [str(sum(g == label and s == other for g, s in zip(gold, said))) for other in labels]
    assert matrix[1:] == expected, (matrix, expected)
    n, p = gold.count(label), said.count(label)
    c = sum(g == s == label for g, s in zip(gold, said))
    percent = lambda a, b: "%.2f" % (100 * a / b) if b else "\u2013"
    table = [r for r in rows if r[0] == label][1]
    assert table[1:] == [str(n), str(p), str(c), percent(c, p), percent(c, n), percent(2 * c, n + p)], table
assert any("<b>book</b> &amp; \"go\"" in r[0] for r in rows) # as text, not as a tag
def spans(tags):
    found, begin = set(), None
    for i, tag in enumerate(list(tags) + ["O"]):
        if begin is not None and not (tag.startswith("I-") and tag[2:] == tags[begin][2:]): found.add((begin, i, tags[begin][2:])); begin = None
        if begin is None and tag != "O": begin = i
    return found
counts = collections.defaultdict(lambda: [0, 0, 0])
for tags, a in zip(lines("talk/test/seq.out"), answers):
    g, s = spans(tags.split()), spans(a["slots"]["tags"])
    for x in g: counts[x[2]][0] += 1
    for x in s: counts[x[2]][1] += 1
    for x in g & s: counts[x[2]][2] += 1
rows = rows_of(section("slots, test"))
for kind, (n, p, c) in counts.items():
    table = next(r for r in rows if r[0] == kind)
    assert table[1:4] == [str(n), str(p), str(c)], (table, n, p, c)
assert len(rows) == len(counts) + 2
moods = [l.split("\t")[0] for l in open(folder + "/moods")]
gold = [l.split("\t")[1] for l in lines("test.tsv")[1:]]
right = sum(g == m for g, m in zip(gold, moods)) / len(gold)
shown = [[c.strip() for c in r] for r in page.rows]
row = next(r for r in shown if r[:2] == ["mood", "accuracy"])
assert row[3] == "%.4g" % right, (row, right)
finished = json.load(open(run + "/finished.json"))
for s in finished["test"]:
    if s["metric"] not in ("loss", "rows") and s["value"] is not None:
        row = next(r for r in shown if r[:2] == [s["task"], s["metric"]])
        assert row[3] == "%.4g" % s["value"], (row, s)
summary = next(r for r in shown if r[0] == "run" and len(r) > 2 and r[1] == "finished")
assert summary[2] == str(finished["step"]) and summary[3] == str(finished["best_step"]), summary
for chart in ("intent: loss", "slots: span_f1", "learning rate", "gradient norm (logarithmic)", "tokens a second"):
    assert chart in page.text, chart
assert text.count("<svg") == text.count("</svg>") >= 12
'

say "a run that is not over: cut in the middle of a line, no end, no evaluation"
cp -r "$run" "$tmp/cut"
rm "$tmp/cut/finished.json" "$tmp/cut"/evaluation-*.json
size=$(wc -c < "$run/metrics.jsonl")
head -c $((size * 2 / 3)) "$run/metrics.jsonl" > "$tmp/cut/metrics.jsonl"
run 0 "$berth" report "$tmp/cut"
check_page "$tmp/cut/report.html" 'assert "not finished" in page.text and "Mistakes" not in page.text'

say "a run that has only begun"
: > "$tmp/cut/metrics.jsonl"
rm -f "$tmp/cut/plan.txt" "$tmp/cut/log.txt"
run 0 "$berth" report "$tmp/cut" --out "$tmp/empty.html"
check_page "$tmp/empty.html" 'assert "not finished" in page.text and "<svg" not in text'

say "stages, frozen parts, names as they may be, many tasks, and runs side by side"
tasks=$(awk 'BEGIN { for (i = 0; i < 10; i++) printf "tasks.t-%d={type: classification, source: %s, label: label}\n", i, i % 2 ? "reviews" : "talk" }' < /dev/null)
mapfile -t tasks <<< "$tasks"
run 0 "$berth" train "$config" output="$tmp/stages" "${tasks[@]}" 'freeze=[{select: embeddings}]' \
    weighting.method=uncertainty 'stages=[{name: warm, tasks: [intent], train: {epochs: 1}}, {name: joint, train: {steps: 9}}]'
run 0 "$berth" report "$tmp/stages"
check_page "$tmp/stages/report.html" '
import json
for name in ["t-%d: accuracy" % i for i in range(10)] + ["stage", "joint", "select: embeddings"]: assert name in page.text, name
assert "t-9, test" in page.text and "weights of the losses" in page.text
chart = text[text.index("weights of the losses"):].split("</figure>")[0]
ticks = [float(t) for t in re.findall(r"text-anchor=.end.>([0-9.]+)</text>", chart)]
assert len(ticks) > 2 and min(ticks) > 0.5, ticks # a task that a step does not hold has no weight, not the weight 0
lines = [json.loads(line) for line in open(sys.argv[2] + "/stages/metrics.jsonl")]
weights = [t["weight"] for line in lines if line["type"] == "step" for t in line["tasks"].values()]
assert None in weights and all(w is None or 0.5 < w < 2 for w in weights), weights
'
run 0 "$berth" report "$run" "$tmp/stages" --out "$tmp/both.html"
check_page "$tmp/both.html" 'assert "2 runs side by side" in page.text and "stages: intent, test" in page.text'

say "what is no run"
run 2 "$berth" report "$run" "$tmp/stages"
one_line "several runs need --out FILE"
run 1 "$berth" report "$tmp/world"
one_line "$tmp/world: not a run folder"
run 1 "$berth" report "$tmp/none"
one_line "$tmp/none: no such folder"
echo '{"type":"step","step":"x"}' >> "$tmp/cut/metrics.jsonl"
run 1 "$berth" report "$tmp/cut"
one_line "metrics.jsonl"
cp -r "$run" "$tmp/bad"
echo '{"details": ' > "$tmp/bad/evaluation-test.json"
run 1 "$berth" report "$tmp/bad"
one_line "evaluation-test.json"
passed
