#!/usr/bin/env python3
"""berth beside the reference library on this machine, in one go (developer tool; run it with a Python that has torch
and transformers).

    compare.py --model models/all-MiniLM-L6-v2 --rows FILE [--rounds 3] [--berth build/berth] [--cases minilm,base]

FILE holds "LABEL text" lines: the real lengths (SNIPS' training rows, for example). Full length is 128 tokens a row,
made here from the vocabulary's words. Each round runs berth and then the reference, each in a process of its own, the
reference tuned: its allocator keeps its memory (MALLOC_MMAP_MAX_=0, no trimming) and its threads do not spin
(OMP_WAIT_POLICY=PASSIVE); --stock runs it as it comes. The table gives the median over the rounds and, for the ratio,
the least and the greatest of the rounds. Tokens are real ones: padding does not
count. Both train the same task (one classification head, batch 32 sequences, AdamW, clipping, dropout 0.1) from the
same weights. Writes a Markdown table to standard output.
"""
import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TUNED = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}


def run(command, env=None):
    """Runs a command; returns (seconds, peak resident MiB, stdout)."""
    full = dict(os.environ, **(env or {}))
    begin = time.time()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, env=full, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.time() - begin
        out.seek(0)
        err.seek(0)
        if status != 0:
            sys.exit(f"{' '.join(command)}: failed\n{err.read().decode()[-2000:]}")
        return seconds, usage.ru_maxrss / 1024, out.read().decode()


def berth_train(args, work, model, rows, case, steps, task="label"):
    """tokens/s from metrics.jsonl (the first steps dropped), time to the first step, peak memory."""
    folder = os.path.join(work, "run")
    shutil.rmtree(folder, ignore_errors=True)
    config = os.path.join(work, "bench.yaml")
    if case["new"]:
        backbone = (f"  new: {{layers: {case['layers']}, hidden: {case['hidden']}, heads: {case['heads']}, "
                    f"intermediate: {4 * case['hidden']}}}\n  vocab: {args.model}/vocab.txt\n")
    else:
        backbone = f"  backbone: {model}\n"
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"output: {folder}\ncache: {work}/cache\nmodel:\n{backbone}  max_length: 128\n"
                   f"data:\n  rows: {{format: lines, train: {rows}}}\n"
                   f"tasks:\n  {task}: {{type: classification, source: rows, label: label}}\n"
                   f"train: {{steps: {steps}, batch_size: {case['batch']}, lr: 5.0e-5, schedule: constant}}\n"
                   f"log: {{every: 1 steps}}\n")
    subprocess.run([args.berth, "pack", config], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = os.path.join(folder, "metrics.jsonl")
    first, done, status, usage = None, 0, 0, None
    with tempfile.TemporaryFile() as log:
        begin = time.time()
        process = subprocess.Popen([args.berth, "train", config], stdout=subprocess.DEVNULL, stderr=log)
        while done == 0:
            if first is None and os.path.exists(metrics) and os.path.getsize(metrics) > 0:
                first = time.time() - begin
            done, status, usage = os.wait4(process.pid, 0 if first is not None else os.WNOHANG)
            time.sleep(0.002)
        if status:
            log.seek(0)
            sys.exit(f"berth train failed\n{log.read().decode()[-2000:]}")
    records = [json.loads(line) for line in open(metrics, encoding="utf-8")]
    records = [r for r in records if r["type"] == "step"]
    skip = min(5, len(records) // 4)
    tokens = sum(r["tokens"] for r in records[skip:])
    seconds = sum(r["tokens"] / r["tokens_per_second"] for r in records[skip:])
    return tokens / seconds, first, usage.ru_maxrss / 1024


def berth_infer(args, work, model, rows, count):
    """tokens/s of embedding `count` rows: the time beyond that of embedding one row."""
    texts = [line.rstrip("\n").split(" ", 1)[1] for line in open(rows, encoding="utf-8")][:count]
    many, one = os.path.join(work, "many.txt"), os.path.join(work, "one.txt")
    with open(many, "w", encoding="utf-8") as file:
        file.write("\n".join(texts) + "\n")
    with open(one, "w", encoding="utf-8") as file:
        file.write(texts[0] + "\n")
    tokens = sum(len(line.split()) for line in run([args.berth, "tokenize", model, many])[2].splitlines())
    base, _, _ = run([args.berth, "embed", model, one, "--format", "hdf5", "--out", os.path.join(work, "e.h5")])
    seconds, peak, _ = run([args.berth, "embed", model, many, "--format", "hdf5", "--out",
                            os.path.join(work, "e.h5")])
    return tokens / max(seconds - base, 1e-9), base, peak


def reference(args, mode, model, rows, case, steps, count, tuned):
    _, peak, out = run([sys.executable, os.path.join(HERE, "reference_run.py"), mode, "--model", model, "--data", rows,
                        "--batch", str(case["batch"]), "--steps", str(steps), "--rows", str(count)],
                       TUNED if tuned else None)
    result = json.loads(out.strip().splitlines()[-1])
    return result["tokens_per_second"], result["first_step_seconds"], peak, result["library"]


def full_length_rows(args, path, count):
    words = [w for w in open(os.path.join(args.model, "vocab.txt"), encoding="utf-8").read().split("\n")
             if w.isascii() and w.isalpha() and len(w) > 2]
    rng = random.Random(17)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            file.write(f"{'ab'[i % 2]} {' '.join(rng.choice(words) for _ in range(126))}\n")


def make_base_folder(args, work, case):
    """A folder with bert-base's shape and the model's vocabulary, weights drawn by berth."""
    folder = os.path.join(work, "base")
    if not os.path.exists(folder):
        rows = os.path.join(work, "two.lines")
        with open(rows, "w", encoding="utf-8") as file:
            file.write("a one row\nb another row\n")
        berth_train(args, work, None, rows, dict(case, new=True, batch=2), 1, "start")
        shutil.copytree(os.path.join(work, "run", "best"), folder)
    return folder


def cpu_name():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--berth", default=os.path.join(HERE, "..", "..", "build", "berth"))
    parser.add_argument("--cases", default="minilm,base")
    parser.add_argument("--modes", default="train,infer")
    parser.add_argument("--stock", action="store_true", help="the reference without tuning")
    args = parser.parse_args()
    args.model, args.rows = os.path.abspath(args.model), os.path.abspath(args.rows)
    work = tempfile.mkdtemp(prefix="berth-bench-")
    full = os.path.join(work, "full.lines")
    full_length_rows(args, full, 2000)
    shapes = {"minilm": {"layers": 6, "hidden": 384, "heads": 12, "new": False, "title": "MiniLM (6 layers, H 384)"},
              "base": {"layers": 12, "hidden": 768, "heads": 12, "new": False, "title": "bert-base shape"}}
    lines = []
    library = ""
    for name in args.cases.split(","):
        for mode in args.modes.split(","):
            for length, rows in (("real", args.rows), ("full, 128", full)):
                small = name == "minilm"
                case = dict(shapes[name], batch=32 if length == "real" else 16 if small else 8)
                model = args.model if small else make_base_folder(args, work, case)
                steps = (40 if small else 12) if length == "real" else (12 if small else 7)
                count = (3000 if small else 1200) if length == "real" else (384 if small else 128)
                ours, theirs = [], []
                for _ in range(args.rounds):
                    if mode == "train":
                        ours.append(berth_train(args, work, model, rows, case, steps))
                    else:
                        ours.append(berth_infer(args, work, model, rows, count))
                    got = reference(args, mode, model, rows, case, steps, count, not args.stock)
                    library = got[3]
                    theirs.append(got[:3])
                berth, other = ([statistics.median(r[i] for r in side) for i in range(3)] for side in (ours, theirs))
                ratios = [a[0] / b[0] for a, b in zip(ours, theirs)]
                lines.append(f"| {case['title']} | {mode} | {length} | {case['batch']} | {berth[0]:.0f} | {other[0]:.0f} | "
                             f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | "
                             f"{berth[2]:.0f} / {other[2]:.0f} | {berth[1]:.2f} / {other[1]:.2f} |")
                print(lines[-1], file=sys.stderr, flush=True)
    print(f"{cpu_name()}, {os.cpu_count()} threads; reference: {library}; {args.rounds} rounds; "
          f"{time.strftime('%Y-%m-%d')}\n")
    print("| model | mode | lengths | batch | berth tok/s | reference tok/s | berth / reference | "
          "peak MiB, berth / reference | seconds to the first step, berth / reference |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
