#!/usr/bin/env python3
"""berth's tokenizer and packing beside the reference's fast tokenizer, on this machine (developer tool; run it with a
Python that has tokenizers and numpy).

    tokenizer.py --data DATA [--rounds 5] [--seconds 1] [--build build] [--write docs/benchmarks.md]

DATA is the folder of public data: bert-vocab, snips, sst2, tokenizer-stress. Texts are repeated to about 6 MB.

tokens   text lines in memory to ids with [CLS], [SEP] and offsets: build/tests/bench_tokenizer against encode_batch of
         the Rust library through its Python binding (the faster of encode_batch and encode_batch_fast, which leaves the
         offsets out); loading and a first pass are not counted. One thread, and all.
packing  a TSV of label and text on disk to packed rows of at most 128 tokens on disk: the whole process `berth pack`
         (reading, checking, tokenizing, numbering labels, HDF5, digest) against reading, encode_batch in batches of
         1,000 and numpy files in a process that runs already, all threads on both sides.
training a vocabulary of 10,000 entries from the lines: the whole process `berth vocab` (one thread) against `train` of the
         Rust library in a process that runs already, all threads.

Each round measures berth and the reference one after the other, in processes of their own, in turns which comes first:
what else the machine does meets both alike. The ratio is taken within a round; the table has the median, the least and the
greatest. That both make the same number of tokens (or entries) is checked. --write puts the table between the marks in that file.
"""
import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BEGIN, END = "<!-- tokenizer.py: begin -->", "<!-- tokenizer.py: end -->"
SIZE = 6_000_000


# ---------------------------------------------------------------- the reference, in a process of its own

def load_reference(vocabulary):
    import tokenizers
    return tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=True), tokenizers.__version__


def reference_tokens(vocabulary, path, seconds):
    wordpiece, version = load_reference(vocabulary)
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")[:-1]
    best = None
    for name in ("encode_batch", "encode_batch_fast"):
        encode = getattr(wordpiece._tokenizer, name)
        tokens = sum(len(e.ids) for e in encode(lines))
        begin, repeats = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            encode(lines)
            repeats += 1
        each = (time.perf_counter() - begin) / repeats
        best = each if best is None else min(best, each)
    return {"tokens": tokens, "seconds": best, "version": version}


def reference_packing(vocabulary, path, out):
    import numpy
    wordpiece, version = load_reference(vocabulary)
    wordpiece.enable_truncation(128)
    begin = time.perf_counter()
    labels, texts = [], []
    with open(path, encoding="utf-8", newline="") as file:
        for label, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            labels.append(label)
            texts.append(text)
    names = sorted(set(labels))
    number = {name: i for i, name in enumerate(names)}
    ids, lengths = [], []
    for first in range(0, len(texts), 1000):
        for e in wordpiece._tokenizer.encode_batch(texts[first:first + 1000]):
            ids.append(numpy.array(e.ids, dtype=numpy.int32))
            lengths.append(len(ids[-1]))
    numpy.save(os.path.join(out, "ids.npy"), numpy.concatenate(ids))
    numpy.save(os.path.join(out, "offset.npy"), numpy.cumsum([0] + lengths))
    numpy.save(os.path.join(out, "labels.npy"), numpy.array([number[x] for x in labels], dtype=numpy.int32))
    return {"tokens": sum(lengths), "seconds": time.perf_counter() - begin, "version": version}


def reference_training(vocabulary, path, size):
    import tokenizers
    wordpiece = tokenizers.BertWordPieceTokenizer(lowercase=True)
    begin = time.perf_counter()
    wordpiece.train([path], vocab_size=size, show_progress=False)
    return {"tokens": wordpiece.get_vocab_size(), "seconds": time.perf_counter() - begin,
            "version": tokenizers.__version__}


# ---------------------------------------------------------------- one measurement each

def child(threads, *arguments):
    environment = dict(os.environ, TOKENIZERS_PARALLELISM="true" if threads > 1 else "false",
                       RAYON_NUM_THREADS=str(threads))
    result = subprocess.run([sys.executable, os.path.abspath(__file__), "--child", *arguments], check=True,
                            capture_output=True, text=True, env=environment)
    return json.loads(result.stdout)


def berth_tokens(build, vocabulary, path, threads, seconds):
    result = subprocess.run([os.path.join(build, "tests", "bench_tokenizer"), vocabulary, path, str(threads),
                             str(seconds)], check=True, capture_output=True, text=True,
                            env=dict(os.environ, OMP_NUM_THREADS=str(threads)))
    return json.loads(result.stdout)


def berth_packing(build, vocabulary, path, work):
    config = os.path.join(work, "pack.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"output: {work}/run\ncache: {work}/cache\nmodel: {{new: {{layers: 1, hidden: 16, heads: 2, intermediate: 16}},"
                   f" vocab: {vocabulary}, max_length: 128}}\n"
                   f"data: {{s: {{format: tsv, header: false, train: {path}, text: 1}}}}\n"
                   f"tasks: {{t: {{type: classification, source: s, label: 0}}}}\n")
    shutil.rmtree(os.path.join(work, "cache"), ignore_errors=True)
    begin = time.perf_counter()
    result = subprocess.run([os.path.join(build, "berth"), "pack", config], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    tokens = int(result.stdout.split("\t")[3])  # source, split, rows, tokens, made, path
    return {"seconds": seconds, "tokens": tokens}


def berth_training(build, path, size, work):
    out = os.path.join(work, "vocab")
    shutil.rmtree(out, ignore_errors=True)
    begin = time.perf_counter()
    subprocess.run([os.path.join(build, "berth"), "vocab", path, "--size", str(size), "--out", out], check=True,
                   capture_output=True)
    seconds = time.perf_counter() - begin
    with open(os.path.join(out, "vocab.txt"), encoding="utf-8") as file:
        return {"seconds": seconds, "tokens": file.read().count("\n")}


# ---------------------------------------------------------------- texts

def repeat(lines):
    size = sum(len(line.encode()) + 1 for line in lines)
    return lines * max(1, SIZE // size)


def make_texts(data, work):
    """name: (file of lines, TSV of label and text, bytes of text)"""
    def read(*path):
        with open(os.path.join(data, *path), encoding="utf-8") as file:
            return file.read().split("\n")[:-1]
    snips = list(zip(read("snips", "train", "label"), read("snips", "train", "seq.in")))
    sst2 = [line.rsplit("\t", 1)[::-1] for line in read("sst2", "phrases", "train.tsv")[1:]]
    stress = [("x", line.split("\t")[4]) for line in read("tokenizer-stress", "udhr", "udhr-article1.tsv")]
    texts = {}
    for name, rows in (("SNIPS", snips), ("SST-2 phrases", sst2), ("one article in 531 languages", stress)):
        rows = repeat([f"{label}\t{text}" for label, text in rows])
        base = os.path.join(work, name.split(" ")[0])
        with open(base + ".tsv", "w", encoding="utf-8", newline="\n") as file:
            file.write("".join(row + "\n" for row in rows))
        lines = [row.split("\t", 1)[1] for row in rows]
        with open(base + ".txt", "w", encoding="utf-8", newline="\n") as file:
            file.write("".join(line + "\n" for line in lines))
        texts[name] = (base + ".txt", base + ".tsv", sum(len(line.encode()) for line in lines))
    return texts


def cpu_name():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


# ---------------------------------------------------------------- rounds and table

def measure(rounds, ours, theirs):
    """Medians of seconds, and of the ratio within rounds with its least and greatest."""
    a, b, ratios, version = [], [], [], None
    for i in range(rounds):
        pair = {}
        for which in ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours"):
            pair[which] = ours() if which == "ours" else theirs()
        assert pair["ours"]["tokens"] == pair["theirs"]["tokens"], pair
        a.append(pair["ours"]["seconds"])
        b.append(pair["theirs"]["seconds"])
        ratios.append(b[-1] / a[-1])
        version = pair["theirs"]["version"]
    return statistics.median(a), statistics.median(b), statistics.median(ratios), min(ratios), max(ratios), version


def table(args, work):
    texts = make_texts(args.data, work)
    vocabulary = os.path.join(args.data, "bert-vocab", "bert-base-uncased-vocab.txt")
    processors = len(os.sched_getaffinity(0))
    load = [os.getloadavg()[0]]
    rows, version = [], None
    for name, (lines, tsv, size) in texts.items():
        for threads in sorted({1, processors}):
            result = measure(args.rounds, lambda: berth_tokens(args.build, vocabulary, lines, threads, args.seconds),
                             lambda: child(threads, "tokens", vocabulary, lines, str(args.seconds)))
            rows.append((f"tokens, {threads} thread{'s' * (threads > 1)}", name, size, result))
        result = measure(args.rounds, lambda: berth_packing(args.build, vocabulary, tsv, work),
                         lambda: child(processors, "packing", vocabulary, tsv, work))
        rows.append((f"packing, {processors} threads", name, size, result))
        result = measure(args.rounds, lambda: berth_training(args.build, lines, 10000, work),
                         lambda: child(processors, "training", vocabulary, lines, "10000"))
        rows.append(("training 10,000 entries", name, size, result))
    load.append(os.getloadavg()[0])
    lines = [f"{cpu_name()}, {processors} processors, {time.strftime('%Y-%m-%d')}, medians of {args.rounds} rounds; load of the "
             f"machine (processes that want to run) {load[0]:.1f} at the begin, {load[1]:.1f} at the end"
             + ("; beside other jobs, so the ratios say more than the rates." if max(load) > processors + 1 else "."), "",
             "| what | text | berth MB/s | reference MB/s | berth / reference (least–greatest) |", "|---|---|---|---|---|"]
    for what, name, size, (ours, theirs, ratio, least, most, version) in rows:
        lines.append(f"| {what} | {name} | {size / ours / 1e6:.1f} | {size / theirs / 1e6:.1f} | "
                     f"{ratio:.1f} ({least:.1f}–{most:.1f}) |")
    lines.insert(1, f"The reference: tokenizers {version}.")
    return "\n".join(lines)


def main():
    if sys.argv[1:2] == ["--child"]:
        kind, vocabulary, path, last = sys.argv[2:6]
        if kind == "tokens":
            result = reference_tokens(vocabulary, path, float(last))
        elif kind == "packing":
            result = reference_packing(vocabulary, path, last)
        else:
            result = reference_training(vocabulary, path, int(last))
        print(json.dumps(result))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--write", help="file whose table is replaced")
    args = parser.parse_args()
    args.data = os.path.abspath(args.data)
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as work:
        text = table(args, work)
    print(text)
    if args.write:
        with open(args.write, encoding="utf-8") as file:
            page = file.read()
        before, rest = page.split(BEGIN)
        with open(args.write, "w", encoding="utf-8") as file:
            file.write(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
