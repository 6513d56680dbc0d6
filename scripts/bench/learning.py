#!/usr/bin/env python3
"""Does berth learn as well as the reference library? The same recipe in both, several seeds (developer tool; run it
with a Python that has torch, transformers and seqeval).

    learning.py --model DIR --data DIR --out DIR [--seeds 1,2,3] [--rows 4000] [--epochs 4] [--threads 2]
                [--tasks snips,sst2] [--sides berth,reference] [--berth build/berth] [--table-only]

Two tasks on one MiniLM: SNIPS (intent and slots, two heads) and SST-2 sentences, `--rows` training rows of each, drawn
once with a fixed seed. The same rows, lengths, batch sizes, order by length, schedule, decay rules, clipping, dropout
and rates of backbone and heads on both sides; the model after the last step is scored (dev; SNIPS also test: SST-2's
sentences have no test split). Each run writes one file into --out and is passed over when that file is there, so the
whole may be stopped and started again at will. At the end a Markdown table: mean and standard deviation over the
seeds, their difference, and the standard error of that difference.

Needs under --data: snips/{train,dev,test} (seq.in, seq.out, label) and sst2/sentences/stsa.binary.{train,dev}.
"""
import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import learning_reference  # noqa: E402

RECIPE = {"batch_size": 32, "lr": 1e-4, "head_lr": 1e-3, "warmup": 0.1, "weight_decay": 0.01, "clip_norm": 1.0,
          "dropout": 0.1, "max_length": 64}
MEASURES = [("snips", "intent", "dev", "accuracy"), ("snips", "slots", "dev", "span_f1"),
            ("snips", "intent", "test", "accuracy"), ("snips", "slots", "test", "span_f1"),
            ("sst2", "sentiment", "dev", "accuracy")]
HEADS = {"snips": ("intent", "slots"), "sst2": ("sentiment", None)}


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def read_snips(folder):
    files = [read_lines(os.path.join(folder, name)) for name in ("seq.in", "seq.out", "label")]
    return [{"words": words.split(), "tags": tags.split(), "label": label.strip()}
            for words, tags, label in zip(*files, strict=True)]


def read_sst2(path):
    rows = []
    for line in read_lines(path):
        label, text = line.split(" ", 1)
        rows.append({"words": text.split(), "label": label})
    return rows


def sample(rows, count):
    chosen = sorted(random.Random(20).sample(range(len(rows)), min(count, len(rows))))
    return [rows[i] for i in chosen]


def load(task, args):
    """The rows of each split; both sides read the same."""
    if task == "snips":
        splits = {name: read_snips(os.path.join(args.data, "snips", name)) for name in ("train", "dev", "test")}
    else:
        at = os.path.join(args.data, "sst2", "sentences", "stsa.binary.")
        splits = {name: read_sst2(at + name) for name in ("train", "dev")}
    splits["train"] = sample(splits["train"], args.rows)
    if args.dev_rows:
        for name in splits:
            if name != "train":
                splits[name] = splits[name][:args.dev_rows]
    return splits


def write_text(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def write_rows(task, splits, folder):
    """The rows as files that berth reads; returns the source as configuration values."""
    source = {"format": "seqfiles" if task == "snips" else "lines"}
    for name, rows in splits.items():
        at = os.path.join(folder, task, name)
        source[name] = at
        if task == "snips":
            write_text(os.path.join(at, "seq.in"), [" ".join(r["words"]) for r in rows])
            write_text(os.path.join(at, "seq.out"), [" ".join(r["tags"]) for r in rows])
            write_text(os.path.join(at, "label"), [r["label"] for r in rows])
        else:
            write_text(at, [r["label"] + " " + " ".join(r["words"]) for r in rows])
    return source


def run_berth(task, splits, seed, args):
    work = os.path.join(args.out, f"{task}-berth-{seed}.run")
    shutil.rmtree(work, ignore_errors=True)
    source = write_rows(task, splits, os.path.join(args.out, "rows"))
    label, tag = HEADS[task]
    tasks = {label: {"type": "classification", "source": task, "label": "label", "pooling": "mean"}}
    if tag:
        tasks[tag] = {"type": "tagging", "source": task, "label": "seq.out"}
    recipe = {k: RECIPE[k] for k in ("batch_size", "lr", "head_lr", "warmup", "weight_decay", "clip_norm")}
    config = {
        "seed": seed, "threads": args.threads, "output": work, "cache": os.path.join(args.out, "cache"),
        "data_folder": "/",
        "model": {"backbone": os.path.abspath(args.model), "max_length": RECIPE["max_length"],
                  "dropout": RECIPE["dropout"], "attention_dropout": RECIPE["dropout"]},
        "data": {task: source}, "tasks": tasks,
        "train": {**recipe, "epochs": args.epochs, "schedule": "linear"},
        "evaluate": {"every": "1000000 steps"}, "checkpoint": {"every": "1000000 steps"},
        "log": {"every": "25 steps"},
    }
    path = os.path.join(args.out, f"{task}-berth-{seed}.yaml")
    write_text(path, [json.dumps(config, indent=1)])  # JSON is YAML
    begin = time.time()
    done = subprocess.run([args.berth, "train", path], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{args.berth} train {path}: exit code {done.returncode}")
    scores = {}
    for line in done.stdout.splitlines():
        name, split, metric, value = line.split("\t")
        if any((task, name, split, metric) == m for m in MEASURES):
            scores.setdefault(split, {})[f"{name} {metric}"] = float(value)
    shutil.rmtree(work, ignore_errors=True)
    return scores, time.time() - begin


def run_reference(task, splits, seed, args):
    found, seconds = learning_reference.train(args.model, splits, {**RECIPE, "epochs": args.epochs}, seed, args.threads)
    label, tag = HEADS[task]
    scores = {}
    for split, values in found.items():
        scores[split] = {f"{label} accuracy": values["accuracy"]}
        if tag:
            scores[split][f"{tag} span_f1"] = values["span_f1"]
    return scores, seconds


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def table(args, sides):
    seeds = args.seeds.split(",")
    print(f"\n{args.rows} training rows a task, {args.epochs} epochs, seeds {args.seeds}\n")
    print("| task | split | metric | berth mean (sd) | reference mean (sd) | difference | standard error |")
    print("|---|---|---|---|---|---|---|")
    for task, name, split, metric in MEASURES:
        column = {}
        for side in sides:
            column[side] = []
            for seed in seeds:
                path = os.path.join(args.out, f"{task}-{side}-{seed}.json")
                if os.path.exists(path):
                    found = json.load(open(path, encoding="utf-8"))["scores"]
                    column[side].append(found[split][f"{name} {metric}"])
        if any(not column.get(side) for side in ("berth", "reference")):
            continue
        means = {side: statistics.mean(column[side]) for side in column}
        error = math.sqrt(sum(spread(column[s]) ** 2 / len(column[s]) for s in column))
        cells = [f"{means[s]:.4f} ({spread(column[s]):.4f}, n={len(column[s])})" for s in ("berth", "reference")]
        print(f"| {name} | {split} | {metric} | {cells[0]} | {cells[1]} | "
              f"{means['berth'] - means['reference']:+.4f} | {error:.4f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--berth", default="build/berth")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--tasks", default="snips,sst2")
    parser.add_argument("--sides", default="berth,reference")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--dev-rows", type=int, default=0, help="only this many rows of dev and test: a quick check")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--table-only", action="store_true")
    args = parser.parse_args()
    args.out = os.path.abspath(args.out)
    os.makedirs(args.out, exist_ok=True)
    settings = {"recipe": RECIPE, "rows": args.rows, "dev_rows": args.dev_rows, "epochs": args.epochs}
    for seed in [] if args.table_only else args.seeds.split(","):
        for task in args.tasks.split(","):
            for side in args.sides.split(","):
                path = os.path.join(args.out, f"{task}-{side}-{seed}.json")
                if os.path.exists(path):
                    if json.load(open(path, encoding="utf-8"))["settings"] != settings:
                        sys.exit(f"{path}: of other settings; take another --out")
                    continue
                print(f"{task}, {side}, seed {seed}", flush=True)
                scores, seconds = (run_berth if side == "berth" else run_reference)(task, load(task, args),
                                                                                   int(seed), args)
                with open(path + ".part", "w", encoding="utf-8") as file:
                    json.dump({"scores": scores, "seconds": seconds, "settings": settings}, file)
                os.rename(path + ".part", path)
                print(f"  {scores} in {seconds:.0f} s", flush=True)
    table(args, ("berth", "reference"))


if __name__ == "__main__":
    main()
