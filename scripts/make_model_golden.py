#!/usr/bin/env python3
"""Writes tests/golden/model_cases.json and model_NAME.safetensors: reference numbers for the model's tests.

For developers: needs torch, transformers, safetensors and numpy; the tests need only the files. Small BERT and
DistilBERT encoders of the reference library run in float64, a sequence at a time (no padding), with weights that both
sides derive from Philox; kept are the last hidden states, pooled vectors, logits, item losses and every gradient.

    value(parameter number p, element i) = offset + scale * (u - 0.5),  u = (word 0 >> 8) / 2^24
    Philox key (seed, 0), counter (i, 0, p, TEST << 24); rounded once to float32
    matrices: offset 0, scale of the case; biases: 0, 0.2; norm gains: 1, 0.5

    scripts/make_model_golden.py [CASE...]
"""
import json
import os
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden")
PURPOSE_TEST = 255

CASES = [
    dict(name="bert32", model_type="bert", layers=2, hidden=32, heads=4, intermediate=64, vocab_size=97, positions=64,
         segments=2, activation="gelu", pooler=True, seed=11, scale=0.5, lengths=[2, 3, 64, 5, 17, 1, 9],
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=5, smoothing=0.0),
                dict(name="slots", type="tagging", pooling="cls", classes=7, smoothing=0.1),
                dict(name="mood", type="classification", pooling="mean", classes=3, smoothing=0.0),
                dict(name="topic", type="classification", pooling="cls", classes=2, smoothing=0.2)]),
    dict(name="bert40", model_type="bert", layers=1, hidden=40, heads=5, intermediate=72, vocab_size=61, positions=40,
         segments=1, activation="gelu_new", pooler=True, seed=12, scale=0.5, lengths=[33, 1, 2, 8],
         tasks=[dict(name="intent", type="classification", pooling="pooler", classes=3, smoothing=0.0),
                dict(name="slots", type="tagging", pooling="cls", classes=4, smoothing=0.0)]),
    dict(name="distil24", model_type="distilbert", layers=2, hidden=24, heads=3, intermediate=48, vocab_size=61,
         positions=40, segments=0, activation="gelu", pooler=False, seed=13, scale=0.5, lengths=[2, 31, 7],
         tasks=[dict(name="slots", type="tagging", pooling="cls", classes=4, smoothing=0.0),
                dict(name="mood", type="classification", pooling="mean", classes=3, smoothing=0.0)]),
    dict(name="base768", model_type="bert", layers=12, hidden=768, heads=12, intermediate=3072, vocab_size=1000,
         positions=512, segments=2, activation="gelu", pooler=True, seed=14, scale=0.1, lengths=[5, 12, 9], tasks=[]),
]


def philox(key0, key1, c0, c1, c2, c3):
    """Philox4x32-10 over arrays of counters; word 0 of each."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in np.broadcast_arrays(c0, c1, c2, c3))
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0), (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1)
        c1, c3 = p1 & low, p0 & low
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0


def derived(case, number, name, shape):
    count = int(np.prod(shape))
    words = philox(case["seed"], 0, np.arange(count, dtype=np.uint64), 0, number, PURPOSE_TEST << 24)
    unit = (words >> np.uint64(8)).astype(np.float64) * 2.0 ** -24 - 0.5
    if name.endswith("LayerNorm.weight"):
        values = 1.0 + 0.5 * unit
    elif name.endswith(".bias"):
        values = 0.2 * unit
    else:
        values = case["scale"] * unit
    return values.astype(np.float32).reshape(shape)


def parameters(case):
    """(name, shape) in berth's flat order."""
    h, f = case["hidden"], case["intermediate"]
    norm = lambda prefix: [(prefix + "LayerNorm.weight", (h,)), (prefix + "LayerNorm.bias", (h,))]
    dense = lambda prefix, rows, columns: [(prefix + "weight", (rows, columns)), (prefix + "bias", (rows,))]
    out = [("embeddings.word_embeddings.weight", (case["vocab_size"], h)),
           ("embeddings.position_embeddings.weight", (case["positions"], h))]
    if case["segments"]:
        out += [("embeddings.token_type_embeddings.weight", (case["segments"], h))]
    out += norm("embeddings.")
    for i in range(case["layers"]):
        layer = f"encoder.layer.{i}."
        out += [(f"{layer}attention.self.{part}.weight", (h, h)) for part in ("query", "key", "value")]
        out += [(f"{layer}attention.self.{part}.bias", (h,)) for part in ("query", "key", "value")]
        out += dense(layer + "attention.output.dense.", h, h) + norm(layer + "attention.output.")
        out += dense(layer + "intermediate.dense.", f, h) + dense(layer + "output.dense.", h, f)
        out += norm(layer + "output.")
    if case["pooler"]:
        out += dense("pooler.dense.", h, h)
    for task in case["tasks"]:
        out += dense(f"heads.{task['name']}.", task["classes"], h)
    return out


def reference_name(case, name):
    if case["model_type"] == "bert":
        return name
    for ours, theirs in (("attention.self.query", "attention.q_lin"), ("attention.self.key", "attention.k_lin"),
                         ("attention.self.value", "attention.v_lin"), ("attention.output.dense", "attention.out_lin"),
                         ("attention.output.LayerNorm", "sa_layer_norm"), ("intermediate.dense", "ffn.lin1"),
                         ("output.dense", "ffn.lin2"), ("output.LayerNorm", "output_layer_norm")):
        if name.startswith("encoder.") and ours in name:
            return name.replace("encoder.", "transformer.").replace(ours, theirs)
    return name


def build(case, values):
    if case["model_type"] == "bert":
        config = transformers.BertConfig(
            vocab_size=case["vocab_size"], hidden_size=case["hidden"], num_hidden_layers=case["layers"],
            num_attention_heads=case["heads"], intermediate_size=case["intermediate"], hidden_act=case["activation"],
            max_position_embeddings=case["positions"], type_vocab_size=case["segments"],
            attn_implementation="eager")
        model = transformers.BertModel(config)
    else:
        config = transformers.DistilBertConfig(
            vocab_size=case["vocab_size"], dim=case["hidden"], n_layers=case["layers"], n_heads=case["heads"],
            hidden_dim=case["intermediate"], activation=case["activation"],
            max_position_embeddings=case["positions"], attn_implementation="eager")
        model = transformers.DistilBertModel(config)
    model = model.double().eval()
    state = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            if not name.startswith("heads."):
                state.pop(reference_name(case, name)).copy_(torch.from_numpy(value))
    assert not state, f"not set: {list(state)}"
    model.embeddings.word_embeddings.padding_idx = None  # token 0 is a token like the others here
    return model


def tokens_of(case):
    """[CLS]-less plain ids: only the arithmetic matters here."""
    total = sum(case["lengths"])
    words = philox(case["seed"], 1, np.arange(total, dtype=np.uint64), 0, 0, PURPOSE_TEST << 24)
    tokens = (words % np.uint64(case["vocab_size"])).astype(np.int32)
    segments = ((words >> np.uint64(16)) % np.uint64(max(case["segments"], 1))).astype(np.int32)
    return tokens, segments


def items_of(case, task, number):
    """Items of a task: about two thirds of the sequences or rows, not in order; some without a label (-1)."""
    count = sum(case["lengths"]) if task["type"] == "tagging" else len(case["lengths"])
    words = philox(case["seed"], 2, np.arange(count, dtype=np.uint64), 0, number, PURPOSE_TEST << 24)
    index = [i for i in np.argsort(words, kind="stable") if words[i] % np.uint64(3)] or [0]
    labels = [int((words[i] >> np.uint64(8)) % np.uint64(task["classes"])) for i in index]
    labels = [-1 if k % 5 == 4 else label for k, label in enumerate(labels)]
    return np.array(index, dtype=np.int32), np.array(labels, dtype=np.int32)


def run(case):
    spec = parameters(case)
    values = {name: derived(case, number, name, shape) for number, (name, shape) in enumerate(spec)}
    model = build(case, values)
    tokens, segments = tokens_of(case)
    starts = np.concatenate([[0], np.cumsum(case["lengths"])])
    out = dict(tokens=tokens, segments=segments)
    hidden = []
    for begin, end in zip(starts[:-1], starts[1:]):
        ids = torch.from_numpy(tokens[begin:end].astype(np.int64))[None]
        extra = {}
        if case["segments"]:
            extra["token_type_ids"] = torch.from_numpy(segments[begin:end].astype(np.int64))[None]
        hidden.append(model(input_ids=ids, **extra).last_hidden_state[0])
    cls = torch.stack([h[0] for h in hidden])
    pooled = dict(cls=cls, mean=torch.stack([h.mean(dim=0) for h in hidden]))
    if case["pooler"]:
        pooled["pooler"] = torch.tanh(model.pooler.dense(cls))
    rows = torch.cat(hidden)
    if case["tasks"]:
        out["hidden"] = rows
    for name, value in pooled.items():
        out["pooled." + name] = value
    heads, total = {}, 0.0
    for number, task in enumerate(case["tasks"]):
        for part in ("weight", "bias"):
            name = f"heads.{task['name']}.{part}"
            heads[name] = torch.from_numpy(values[name]).double().requires_grad_()
        index, labels = items_of(case, task, number)
        features = (rows if task["type"] == "tagging" else pooled[task["pooling"]])[torch.from_numpy(index).long()]
        logits = features @ heads[f"heads.{task['name']}.weight"].T + heads[f"heads.{task['name']}.bias"]
        losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long(), ignore_index=-1,
                                                   reduction="none", label_smoothing=task["smoothing"])
        total = total + losses.sum() / int((labels >= 0).sum())
        out.update({f"{task['name']}.index": index, f"{task['name']}.label": labels,
                    f"{task['name']}.logits": logits, f"{task['name']}.losses": losses})
    if case["tasks"]:
        total.backward()
        out["loss"] = total[None]
        state = dict(model.named_parameters())
        for name, _ in spec:
            p = heads[name] if name in heads else state[reference_name(case, name)]
            out["grad." + name] = p.grad
    tensors = {}
    for name, value in out.items():
        array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        tensors[name] = np.ascontiguousarray(array if array.dtype == np.int32 else array.astype(np.float32))
    path = os.path.join(ROOT, f"model_{case['name']}.safetensors")
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes")


def main():
    wanted = sys.argv[1:] or [case["name"] for case in CASES]
    for case in CASES:
        if case["name"] in wanted:
            run(case)
    description = dict(
        made_by="scripts/make_model_golden.py",
        versions=dict(transformers=transformers.__version__, torch=torch.__version__, numpy=np.__version__),
        cases=[dict(case, parameters=[name for name, _ in parameters(case)]) for case in CASES])
    with open(os.path.join(ROOT, "model_cases.json"), "w") as file:
        json.dump(description, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
