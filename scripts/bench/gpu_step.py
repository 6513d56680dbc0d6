#!/usr/bin/env python3
"""One training step on a GPU: berth's, and the reference library's where torch and transformers are there.

    gpu_step.py --berth build/berth --model MINILM --snips seq.in --shape base|minilm --precision bf16|fp32|tf32
                --length 128|512|0 --tokens 16384 --work FOLDER [--device cuda] [--rate TFLOPS] [--reference [--compiled]] [--small]

Rows of `length` tokens each (0: the sentences of SNIPS), `tokens` of them a step, one classification head, AdamW,
clipping, dropout 0.1. berth runs first, from the same weights that the reference then loads. The reference: eager, and
compiled with its fused attention; for SNIPS its usual loop, padded to a batch's longest row. Medians of the steps after
the tenth. --rate: TFLOP/s of bf16 products of the same run, for the share of it. --small: a few steps of few tokens, to
see that this runs. Prints one line last.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

SHAPES = {"base": (12, 768, 12), "minilm": (6, 384, 12)}


def make_rows(args, path):
    """LABEL text lines: real sentences, or words of the vocabulary, one token each."""
    if args.length == 0:
        texts = [line.strip() for line in open(args.snips, encoding="utf-8")]
    else:
        words = [w for w in open(os.path.join(args.model, "vocab.txt"), encoding="utf-8").read().split("\n")
                 if w.isascii() and w.isalpha() and len(w) > 2]
        rng = random.Random(17)
        texts = [" ".join(rng.choice(words) for _ in range(args.length - 2)) for _ in range(256 if args.small else 2048)]
    with open(path, "w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            file.write(f"{'ab'[i % 2]} {text}\n")
    return texts


def run_berth(args, rows, steps, name, backbone):
    """(tokens/s of the steps after the tenth, seconds to the first step, export)"""
    layers, hidden, heads = SHAPES[args.shape]
    folder = os.path.join(args.work, name)
    shutil.rmtree(folder, ignore_errors=True)
    config = os.path.join(args.work, name + ".yaml")
    if backbone:
        model = f"  backbone: {backbone}\n"
    else:
        model = (f"  new: {{layers: {layers}, hidden: {hidden}, heads: {heads}, intermediate: {4 * hidden}}}\n"
                 f"  vocab: {args.model}\n")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"output: {folder}\ncache: {args.work}/cache\ndevice: {args.device}\nprecision: {args.precision}\n"
                   f"model:\n{model}  max_length: {args.length or 64}\n  dropout: 0.1\n  attention_dropout: 0.1\n"
                   f"data:\n  rows: {{format: lines, train: {rows}}}\n"
                   f"tasks:\n  label: {{type: classification, source: rows, label: label}}\n"
                   f"train: {{steps: {steps}, batch_tokens: {args.tokens}, lr: 5.0e-5, schedule: constant}}\n"
                   f"log: {{every: 1 steps}}\n")
    subprocess.run([args.berth, "pack", config], check=True, stdout=subprocess.DEVNULL)
    begin, first = time.time(), None
    process = subprocess.Popen([args.berth, "train", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    tail = []
    for line in process.stderr:
        if first is None and line.startswith("step "):
            first = time.time() - begin
        tail = (tail + [line])[-5:]
    if process.wait() != 0:
        sys.exit("ERROR: berth train failed: " + "".join(tail).strip())
    records = [json.loads(line) for line in open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8")]
    speeds = [r["tokens_per_second"] for r in records if r["type"] == "step"]
    return statistics.median(speeds[10:] or speeds), first, os.path.join(folder, "best")


def run_reference(args, texts, folder, compiled):
    """tokens/s of the reference library's step, padding not counted."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(17)
    torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, attn_implementation="sdpa").to(args.device)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01, fused=args.device == "cuda")
    step_model = torch.compile(model) if compiled else model
    average = args.length or 12
    batch = max(1, args.tokens // average)
    taken = []
    for step in range(4 if args.small else 40):
        rows = [texts[(step * batch + i) % len(texts)] for i in range(batch)]
        encoded = tokenizer(rows, padding="longest", truncation=True, max_length=args.length or 64, return_tensors="pt")
        labels = torch.arange(batch) % 2
        real = int(encoded["attention_mask"].sum())
        if args.length:
            encoded.pop("attention_mask")  # no padding: the fused attention without a mask
        encoded = {k: v.to(args.device, non_blocking=True) for k, v in encoded.items()}
        labels = labels.to(args.device)
        if args.device == "cuda":
            torch.cuda.synchronize()
        begin = time.time()
        with torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = step_model(**encoded, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        taken.append(real / (time.time() - begin))
    return statistics.median(taken[10:] or taken[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--berth", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--snips", required=True)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="base")
    parser.add_argument("--precision", choices=["bf16", "fp32", "tf32"], default="bf16")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=16384)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--work", required=True)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="the reference compiled as well: half a minute or more")
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    if args.small:
        args.tokens, steps = min(args.tokens, max(256, args.length)), 3
    else:
        steps = 40
    os.makedirs(args.work, exist_ok=True)
    rows = os.path.join(args.work, f"rows-{args.length}.txt")
    texts = make_rows(args, rows)
    _, _, start = run_berth(args, rows, 1, "start", None if args.shape == "base" else args.model)
    weights = os.path.join(args.work, "weights")
    shutil.rmtree(weights, ignore_errors=True)
    shutil.copytree(start, weights)
    speed, first, _ = run_berth(args, rows, steps, "bench", weights)
    layers, hidden, _ = SHAPES[args.shape]
    flops = speed * layers * (72 * hidden * hidden + 12 * hidden * (args.length or 12))
    said = [f"berth {speed:.0f} tok/s, {flops * 1e-12:.1f} TFLOP/s"]
    if args.rate > 0:
        said.append(f"{100 * flops * 1e-12 / args.rate:.1f}% of the products' {args.rate:.0f}")
    said.append(f"first step after {first:.2f} s")
    if args.reference:
        for name, compiled in (("eager", False), ("compiled", True)):
            if compiled and (args.length == 0 or not args.compiled):
                continue
            other = run_reference(args, texts, weights, compiled)
            said.append(f"{speed / other:.2f} x the reference {name if args.length else 'padded'} ({other:.0f} tok/s)")
    else:
        said.append("reference: not run (no torch and transformers here)")
    print("; ".join(said))


if __name__ == "__main__":
    main()
