#!/usr/bin/env python3
"""Writes tests/golden/reference_heads/: small model folders as the reference library's classes with a head write them, and
the logits they give, for test_reference_heads.

For developers: needs torch, transformers, safetensors and numpy; the tests need only the files. Random weights, seed 5.

    NAME/config.json, model.safetensors    save_pretrained of the class
    expected.safetensors                   tokens, segments; NAME.logits F64, a sequence after the other
    classes.json                           NAME -> class, kind of head, labels
"""
import json
import os
import shutil

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "reference_heads")
LENGTHS = [5, 1, 12, 8]
LABELS = {0: "O", 1: "B-place", 2: "I-place"}
SIZES = dict(vocab_size=32, max_position_embeddings=16)
BERT = dict(SIZES, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
DISTILBERT = dict(SIZES, dim=8, n_layers=1, n_heads=2, hidden_dim=16)

# name: class, what its configuration says, berth's kind
FOLDERS = {
    "bert_class": ("BertForSequenceClassification", dict(id2label={0: "calm", 1: "glad", 2: "cross"},
                                                         problem_type="single_label_classification"), "classification"),
    "bert_plain": ("BertForSequenceClassification", dict(num_labels=2, classifier_dropout=0.25), "classification"),
    "bert_labels": ("BertForSequenceClassification", dict(id2label={0: "film", 1: "book"},
                                                          problem_type="multi_label_classification"), "multilabel"),
    "bert_number": ("BertForSequenceClassification", dict(num_labels=1), "regression"),
    "bert_tags": ("BertForTokenClassification", dict(id2label=LABELS), "tagging"),
    "bert_words": ("BertForMaskedLM", {}, "mlm"),
    "bert_pretraining": ("BertForPreTraining", {}, "mlm"),
    "distilbert_class": ("DistilBertForSequenceClassification", dict(id2label={0: "calm", 1: "glad", 2: "cross"},
                                                                     seq_classif_dropout=0.3), "classification"),
    "distilbert_number": ("DistilBertForSequenceClassification", dict(num_labels=1, problem_type="regression"),
                          "regression"),
    "distilbert_tags": ("DistilBertForTokenClassification", dict(id2label=LABELS), "tagging"),
    "distilbert_words": ("DistilBertForMaskedLM", {}, "mlm"),
}


def randomize(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape) * 0.4 + (1.0 if "norm.weight" in name.lower() else 0.0))


def logits_of(model, tokens, segments, kind):
    model, rows, begin = model.double().eval(), [], 0
    for length in LENGTHS:
        batch = dict(input_ids=torch.from_numpy(tokens[begin:begin + length].astype(np.int64))[None])
        if segments is not None:
            batch["token_type_ids"] = torch.from_numpy(segments[begin:begin + length].astype(np.int64))[None]
        with torch.no_grad():
            out = model(**batch)
        logits = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
        rows.append(logits.reshape(-1, logits.shape[-1]).numpy())
        begin += length
    return np.concatenate(rows)


def main():
    transformers.logging.set_verbosity_error()
    shutil.rmtree(ROOT, ignore_errors=True)
    os.makedirs(ROOT)
    torch.manual_seed(5)
    draw = np.random.default_rng(5)
    tokens = draw.integers(0, 32, sum(LENGTHS)).astype(np.int32)
    segments = draw.integers(0, 2, sum(LENGTHS)).astype(np.int32)
    expected, classes = dict(tokens=tokens, segments=segments), {}
    for name, (class_name, settings, kind) in FOLDERS.items():
        bert = class_name.startswith("Bert")
        config = (transformers.BertConfig if bert else transformers.DistilBertConfig)(**(BERT if bert else DISTILBERT), **settings)
        model = getattr(transformers, class_name)(config)
        randomize(model)
        folder = os.path.join(ROOT, name)
        model.save_pretrained(folder)
        for file in os.listdir(folder):
            if file not in ("config.json", "model.safetensors"):
                os.remove(os.path.join(folder, file))
            else:
                os.chmod(os.path.join(folder, file), 0o644)
        model = getattr(transformers, class_name).from_pretrained(folder)
        expected[name + ".logits"] = logits_of(model, tokens, segments if bert else None, kind)
        labels = [] if kind in ("mlm", "regression") else [config.id2label[i] for i in range(config.num_labels)]
        classes[name] = dict({"class": class_name}, kind=kind, labels=labels)
        print(name, class_name, expected[name + ".logits"].shape)
    save_file(expected, os.path.join(ROOT, "expected.safetensors"), metadata={"format": "pt"})
    os.chmod(os.path.join(ROOT, "expected.safetensors"), 0o644)
    with open(os.path.join(ROOT, "classes.json"), "w") as file:
        json.dump(dict(versions=dict(transformers=transformers.__version__), names=list(classes), classes=classes), file,
                  indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
