#!/usr/bin/env python3
"""What recomputation and gradients of each task cost (developer tool; needs Python alone).

    gradients.py [--berth build/berth] [--rounds 3] [--steps 6] [--size small|minilm|base] [--length 512] [--sequences 8]

Rows of words drawn at random, as many tokens as --length says, weights drawn, fp32. Two tables in Markdown:
  1. one task, train.recompute none and layers: tokens/s, the process's peak memory, the plan's memory for activations
  2. three tasks on three sources and two on one, weighting equal, gradnorm by representation and by parameters, pcgrad
Every case runs in a process of its own, the cases in turns, --rounds times; medians, and for the ratio to the table's
first row the least and the greatest of the rounds. The first two steps of a run are left out. On a machine with other
work only the memory means something.
"""
import argparse
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

SIZES = {"small": "{layers: 4, hidden: 128, heads: 2, intermediate: 512, positions: 512}",
         "minilm": "{layers: 6, hidden: 384, heads: 12, intermediate: 1536, positions: 512}",
         "base": "{layers: 12, hidden: 768, heads: 12, intermediate: 3072, positions: 512}"}
WORDS = [f"w{i}" for i in range(8000)]


def write_data(folder, length, rows):
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS) + "\n")
    draw = random.Random(3)
    for source in ("one", "two", "three"):
        with open(os.path.join(folder, source + ".tsv"), "w", encoding="utf-8") as file:
            file.write("text\ta\tb\n")
            for _ in range(rows):
                text = " ".join(draw.choices(WORDS, k=length - 2))
                file.write(f"{text}\t{draw.choice('xyz')}\t{draw.choice('xyz')}\n")


def tasks(pairs):
    return {"data": "".join(f"  {s}: {{format: tsv, text: text, train: {s}.tsv}}\n" for s in sorted({p[0] for p in pairs})),
            "tasks": "".join(f"  {s}_{c}: {{type: classification, source: {s}, label: {c}}}\n" for s, c in pairs)}


def run(args, work, data, extra):
    """(tokens/s, peak MiB of the process, the plan's line on memory)"""
    out = os.path.join(work, "run")
    shutil.rmtree(out, ignore_errors=True)
    config = os.path.join(work, "bench.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"output: {out}\ncache: {work}/cache\ndata_folder: {work}\nmodel:\n  new: {SIZES[args.size]}\n"
                   f"  vocab: {work}/vocab.txt\n  max_length: {args.length}\ndata:\n{data['data']}tasks:\n{data['tasks']}"
                   f"train: {{steps: {args.steps}, batch_size: {args.sequences}, lr: 1.0e-5}}\n"
                   "log: {every: 1 steps, tensorboard: false}\ncheckpoint: {every: 1000000 steps, keep: 1}\n")
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen([args.berth, "train", config] + extra, stdout=told, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        told.seek(0)
        text = told.read().decode(errors="replace")
    if status != 0:
        sys.exit(f"{extra}: failed\n{text[-2000:]}")
    speeds = []
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if event["type"] == "step":
                speeds.append(event["tokens_per_second"])
    memory = re.search(r"activations of the largest batch ([0-9.]+ [kMG]B)", text)
    by_task = re.search(r"gradients of each task ([0-9.]+ [kMG]B)", text)
    return (statistics.median(speeds[2:]), usage.ru_maxrss / 1024, memory.group(1) if memory else "?",
            by_task.group(1) if by_task else "-")


def table(args, work, title, cases):
    found = {name: [] for name, _, _ in cases}
    for _ in range(args.rounds):
        for name, data, extra in cases:
            found[name].append(run(args, work, data, extra))
    first = found[cases[0][0]]
    print(f"\n{title}\n\n| case | tokens/s | time against the first (least-greatest) | peak MiB | plan: activations | "
          "plan: gradients of each task |\n|---|---|---|---|---|---|")
    for name, rounds in found.items():
        ratios = sorted(f[0] / r[0] for f, r in zip(first, rounds, strict=True))
        print(f"| {name} | {statistics.median(r[0] for r in rounds):.0f} | {statistics.median(ratios):.2f} "
              f"({ratios[0]:.2f}-{ratios[-1]:.2f}) | {statistics.median(r[1] for r in rounds):.0f} | {rounds[0][2]} | "
              f"{rounds[0][3]} |")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} threads"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--berth", default="build/berth")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--size", choices=sorted(SIZES), default="minilm")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--sequences", type=int, default=8)
    args = parser.parse_args()
    if args.steps < 4:
        parser.error("--steps: at least 4")
    with tempfile.TemporaryDirectory() as work:
        write_data(work, args.length, 4 * args.sequences)
        print(f"{processor()}; load at the begin {os.getloadavg()[0]:.1f}; {args.size}, {args.sequences} sequences of "
              f"{args.length} tokens a step, {args.rounds} rounds of {args.steps} steps, fp32")
        single = tasks([("one", "a")])
        table(args, work, "Recomputation", [("train.recompute: none", single, []),
                                            ("train.recompute: layers", single, ["train.recompute=layers"])])
        apart, together = tasks([("one", "a"), ("two", "a"), ("three", "a")]), tasks([("one", "a"), ("one", "b")])
        for title, data in (("Three tasks on three sources", apart), ("Two tasks on one source", together)):
            table(args, work, title, [
                ("equal", data, ["weighting.method=equal"]),
                ("gradnorm, representation", data, ["weighting.method=gradnorm", "weighting.gradients=representation"]),
                ("gradnorm, parameters", data, ["weighting.method=gradnorm"]),
                ("pcgrad", data, ["weighting.method=pcgrad"])])


if __name__ == "__main__":
    main()
