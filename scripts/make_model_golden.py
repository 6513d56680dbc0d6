#!/usr/bin/env python3
"""Writes tests/golden/model_cases.json and model_NAME.safetensors: the reference's numbers for test_parity*.

For developers: needs torch, transformers, safetensors and numpy; the tests need only the files. BERT and DistilBERT
encoders of the reference library run in float64 and in float32, a sequence at a time (no padding), with weights that both
sides derive (model_reference.py). Kept are hidden states of all layers, pooled vectors, logits, item losses, the loss,
every gradient and, for cases with `adamw`, the losses of so many steps and the values behind them:

    NAME.facts   F64 [3]    2-norm of the float64 tensor; 2-norm of (the reference's float32 - float64); elements
    NAME         F64        the tensor, where the case is kept whole or the tensor is small
    NAME.sketch  F64 [64]   else its projections

    scripts/make_model_golden.py [CASE...]
    scripts/make_model_golden.py minilm FOLDER        real weights: all-MiniLM-L6-v2's folder
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

import model_reference as ref

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden")
WHOLE_MOST = 64  # elements up to which a tensor of any case is kept whole

BASE_TASKS = [dict(name="intent", type="classification", pooling="pooler", classes=5),
              dict(name="slots", type="tagging", pooling="cls", classes=7),
              dict(name="words", type="mlm", pooling="cls")]
DISTIL_TASKS = [dict(BASE_TASKS[0], pooling="mean")] + BASE_TASKS[1:]
ADAMW = dict(steps=20, lr=2e-3, weight_decay=0.1, clip_norm=1.0)

CASES = [
    dict(name="bert32", model_type="bert", layers=2, hidden=32, heads=4, intermediate=64, vocab_size=97, positions=64,
         segments=2, activation="gelu", pooler=True, seed=11, scale=0.5, lengths=[2, 3, 64, 5, 17, 1, 9], whole=True,
         adamw=ADAMW,
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=5),
                dict(name="slots", type="tagging", pooling="cls", classes=7, smoothing=0.1),
                dict(name="mood", type="classification", pooling="mean", classes=3),
                dict(name="topic", type="classification", pooling="cls", classes=2, smoothing=0.2),
                dict(name="topics", type="multilabel", pooling="mean", classes=4),
                dict(name="stars", type="regression", pooling="cls", classes=1),
                dict(name="words", type="mlm", pooling="cls")]),
    dict(name="bert40", model_type="bert", layers=1, hidden=40, heads=5, intermediate=72, vocab_size=61, positions=40,
         segments=1, activation="gelu_new", pooler=True, seed=12, scale=0.5, lengths=[33, 1, 2, 8], whole=True,
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=3),
                dict(name="slots", type="tagging", pooling="cls", classes=4),
                dict(name="words", type="mlm", pooling="cls")]),
    dict(name="relu24", model_type="bert", layers=2, hidden=24, heads=2, intermediate=56, vocab_size=53, positions=24,
         segments=2, activation="relu", pooler=True, seed=15, scale=0.5, lengths=[7, 24, 3], whole=True,
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=3),
                dict(name="words", type="mlm", pooling="cls")]),
    dict(name="silu24", model_type="bert", layers=2, hidden=24, heads=2, intermediate=56, vocab_size=53, positions=24,
         segments=2, activation="silu", pooler=True, seed=16, scale=0.5, lengths=[7, 24, 3], whole=True,
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=3),
                dict(name="words", type="mlm", pooling="cls")]),
    dict(name="distil24", model_type="distilbert", layers=2, hidden=24, heads=3, intermediate=48, vocab_size=61,
         positions=40, segments=0, activation="gelu", pooler=False, seed=13, scale=0.5, lengths=[2, 31, 7], whole=True,
         adamw=ADAMW,
         tasks=[dict(name="slots", type="tagging", pooling="cls", classes=4),
                dict(name="mood", type="classification", pooling="mean", classes=3),
                dict(name="words", type="mlm", pooling="cls")]),
    dict(name="base", model_type="bert", layers=12, hidden=768, heads=12, intermediate=3072, vocab_size=30522,
         positions=512, segments=2, activation="gelu", pooler=True, seed=14, scale=0.1, lengths=[5, 12, 9], whole=False,
         tasks=BASE_TASKS),
    dict(name="distilbert", model_type="distilbert", layers=6, hidden=768, heads=12, intermediate=3072, vocab_size=30522,
         positions=512, segments=0, activation="gelu", pooler=False, seed=17, scale=0.1, lengths=[5, 12, 9], whole=False,
         tasks=DISTIL_TASKS),
    dict(name="minilm_shape", model_type="bert", layers=6, hidden=384, heads=12, intermediate=1536, vocab_size=30522,
         positions=512, segments=2, activation="gelu", pooler=True, seed=18, scale=0.15, lengths=[40, 12, 9], whole=False,
         tasks=BASE_TASKS),
]

# Real weights: the backbone's from a folder, the heads' derived; token ids of real sentences.
MINILM = dict(name="minilm", model_type="bert", layers=6, hidden=384, heads=12, intermediate=1536, vocab_size=30522,
              positions=512, segments=2, activation="gelu", pooler=True, seed=19, scale=0.1, whole=False, tasks=BASE_TASKS)
SENTENCES = ["Book a table for two in Rome.", "A great film!", "Play some unbelievably quiet music, please.",
             " ".join(["The committee will publish its report on the regional railway timetable next Thursday."] * 6)]


def keep(tensors, whole, exact, rough):
    """Adds what is kept of the float64 results `exact`; `rough`: the same in float32."""
    worst = 0.0
    for name, value in exact.items():
        norm, error = np.linalg.norm(value), np.linalg.norm(rough[name] - value)
        tensors[name + ".facts"] = np.array([norm, error, value.size])
        if whole or value.size <= WHOLE_MOST:
            tensors[name] = np.ascontiguousarray(value)
        else:
            tensors[name + ".sketch"] = ref.sketch(value)
        worst = max(worst, error / norm if norm > 0 and "key.bias" not in name else 0.0)
    return worst


def batch_of(case, tokens, segments):
    return dict(tokens=tokens, segments=segments, starts=np.concatenate([[0], np.cumsum(case["lengths"])]),
                items=[ref.items_of(case, task, number) for number, task in enumerate(case["tasks"])])


def write(case, values, batch):
    exact, rough = (ref.run(case, values, batch, dtype) for dtype in (torch.float64, torch.float32))
    tensors = dict(tokens=batch["tokens"], segments=batch["segments"])
    for task, (index, labels, targets) in zip(case["tasks"], batch["items"]):
        tensors[task["name"] + ".index"], tensors[task["name"] + ".label"] = index, labels
        if targets is not None:
            tensors[task["name"] + ".target"] = targets
    worst = keep(tensors, case["whole"], exact, rough)
    if "adamw" in case:
        steps = [ref.train(case, values, batch, dtype) for dtype in (torch.float64, torch.float32)]
        keep(tensors, False, *steps)
        print(f"{case['name']}: losses of AdamW {steps[0]['adamw.losses'][[0, -1]]}")
    path = os.path.join(ROOT, f"model_{case['name']}.safetensors")
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes; the reference's float32 is off by {worst:.2g}",
          flush=True)


def derive(case, only=""):
    return {name: ref.derived(case["seed"], case["scale"], number, name, shape)
            for number, (name, shape) in enumerate(ref.parameters(case)) if name.startswith(only)}


def write_minilm(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text)["input_ids"] for text in SENTENCES]
    MINILM["lengths"] = [len(i) for i in ids]
    values = derive(MINILM, "heads.")
    for name, tensor in load_file(os.path.join(folder, "model.safetensors")).items():
        if name != "embeddings.position_ids":
            values[name] = tensor
    tokens = np.array(sum(ids, []), dtype=np.int32)
    write(MINILM, values, batch_of(MINILM, tokens, np.zeros_like(tokens)))


def main():
    cases = os.path.join(ROOT, "model_cases.json")
    if sys.argv[1:2] == ["minilm"]:
        write_minilm(sys.argv[2])
    for case in CASES:
        if sys.argv[1:] and case["name"] not in sys.argv[1:]:
            continue
        write(case, derive(case), batch_of(case, *ref.tokens_of(case)))
    if "lengths" not in MINILM:
        MINILM["lengths"] = [c for c in json.load(open(cases))["cases"] if c["name"] == "minilm"][0]["lengths"]
    versions = dict(transformers=transformers.__version__, torch=torch.__version__, numpy=np.__version__)
    described = [dict(case, parameters=len(ref.parameters(case)) if not case["whole"] else
                      [name for name, _ in ref.parameters(case)]) for case in CASES + [MINILM]]
    with open(cases, "w") as file:
        json.dump(dict(made_by="scripts/make_model_golden.py", versions=versions, cases=described), file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
