#!/usr/bin/env python3
"""Reads a run's event file with TensorBoard's own reader and compares every number with metrics.jsonl.

    scripts/check_tensorboard.py RUN

For developers: needs the Python package tensorboard. Prints the tags with their counts; exit code 1 on a difference.
"""
import json
import math
import sys

from tensorboard.backend.event_processing import event_accumulator, event_file_loader

SKIPPED = {"share", "steps"}


def expected(run):
    """(tag, step) -> value, as record.c says it writes them."""
    out = {}
    for line in open(f"{run}/metrics.jsonl", encoding="utf-8"):
        row = json.loads(line)
        if row["type"] == "step":
            for key in ("loss", "lr", "grad_norm", "epoch"):
                out[f"train/{key}", row["step"]] = row[key]
            for task, values in row["tasks"].items():
                for key, value in values.items():
                    if key not in SKIPPED:
                        out[f"train/{task}/{key}", row["step"]] = value
            out["speed/utilisation", row["step"]] = row["utilisation"]
            out["speed/input_wait", row["step"]] = row["input_wait"]
        elif row["type"] == "eval":
            for task, values in row["scores"].items():
                for key, value in values.items():
                    out[f"{row['split']}/{task}/{key}", row["step"]] = value
    return {key: value for key, value in out.items() if value is not None}


def main():
    run = sys.argv[1]
    records = sum(1 for _ in event_file_loader.EventFileLoader(f"{run}/events.out.tfevents.berth").Load())
    accumulator = event_accumulator.EventAccumulator(run, size_guidance={event_accumulator.SCALARS: 0})
    accumulator.Reload()
    wanted = expected(run)
    bad = 0
    found = {}
    for tag in accumulator.Tags()["scalars"]:
        events = accumulator.Scalars(tag)
        print(f"{len(events):6d}  {tag}")
        steps = [event.step for event in events]
        if len(set(steps)) != len(steps):
            print(f"{tag}: a step twice")
            bad += 1
        found.update({(tag, event.step): event.value for event in events})
    for key, value in wanted.items():
        near = 6e-5 if key[0].startswith("speed/") else 1e-6 * max(1.0, abs(value))
        if key not in found or not math.isclose(found[key], value, rel_tol=1e-5, abs_tol=near):
            print(f"{key}: metrics.jsonl {value}, events {found.get(key)}")
            bad += 1
    unknown = [key for key in found if key not in wanted and key[0] != "speed/tokens_per_second"]
    bad += len(unknown)
    print(f"{records} records, {len(found)} scalars, {len(wanted)} compared, {bad} differences {unknown[:3]}")
    sys.exit(1 if bad or not wanted else 0)


main()
