#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: metrics as scikit-learn, scipy and seqeval compute them, for test_metric_golden and
test_eval_kinds.

For developers: needs scikit-learn, scipy and seqeval. The inputs are drawn here, with ties, empty classes and one-sided
cases among them.

    scripts/make_metric_golden.py > tests/golden/metrics.json
"""
import json
import random
import warnings

import numpy as np
import scipy.stats
import seqeval.metrics
import seqeval.scheme
import sklearn.metrics as sk

warnings.filterwarnings("ignore")
draw = random.Random(7)


def classes():
    k, n = draw.randint(2, 6), draw.randint(1, 40)
    gold = [draw.randrange(k) for _ in range(n)]
    said = [g if draw.random() < 0.6 else draw.randrange(k) for g in gold]
    average = lambda name, f: float(f(gold, said, average=name, zero_division=0))
    return dict(classes=k, gold=gold, said=said, accuracy=sk.accuracy_score(gold, said),
                macro_f1=average("macro", sk.f1_score), micro_f1=average("micro", sk.f1_score),
                weighted_f1=average("weighted", sk.f1_score), precision=average("macro", sk.precision_score),
                recall=average("macro", sk.recall_score), matthews=float(sk.matthews_corrcoef(gold, said)))


def numbers():
    n = draw.randint(3, 40)
    x = [float(np.float32(round(draw.gauss(0, 1), draw.choice([0, 1, 5])))) for _ in range(n)]
    y = [float(np.float32(round(a * draw.choice([0, 1]) + draw.gauss(0, 1), 1))) for a in x]
    positive = [draw.random() < 0.4 for _ in range(n)]
    positive[0], positive[1] = True, False
    return dict(x=x, y=y, positive=positive, pearson=float(scipy.stats.pearsonr(x, y)[0]),
                spearman=float(scipy.stats.spearmanr(x, y)[0]), auc=float(sk.roc_auc_score(positive, x)))


def spans(letters, scheme):
    tags = ["O"] + [f"{letter}-{kind}" for letter in letters for kind in "ab"]
    gold = [[draw.choice(tags) for _ in range(draw.randint(1, 9))] for _ in range(4)]
    said = [[g if draw.random() < 0.7 else draw.choice(tags) for g in row] for row in gold]
    strict = dict(mode="strict", scheme=scheme, zero_division=0)
    return dict(bioes="E" in letters, gold=[" ".join(r) for r in gold], said=[" ".join(r) for r in said],
                f1=float(seqeval.metrics.f1_score(gold, said, zero_division=0)),
                strict_f1=float(seqeval.metrics.f1_score(gold, said, **strict)))


def ranks():
    """Anchors and their positives: the mean reciprocal rank is the ranking precision of one relevant label."""
    n, size = draw.randint(2, 30), 4
    vectors = np.array([[[draw.gauss(0, 1) for _ in range(size)] for _ in range(n)] for _ in range(2)])
    vectors[1] += 0.8 * vectors[0]
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
    cosines = vectors[0].astype(float) @ vectors[1].astype(float).T
    return dict(size=size, anchor=[float(x) for x in vectors[0].reshape(-1)], positive=[float(x) for x in vectors[1].reshape(-1)],
                accuracy=float((cosines.argmax(axis=1) == np.arange(n)).mean()),
                mrr=float(sk.label_ranking_average_precision_score(np.eye(n), cosines)))


def labels():
    """Several labels a row; scores at one half, and at the threshold that gives the best macro F1."""
    k, n = draw.randint(2, 4), draw.randint(4, 30)
    target = np.array([[int(draw.random() < 0.4) for _ in range(k)] for _ in range(n)])
    logits = np.array([[np.float32(round(draw.gauss(1.5 * t - 1.6, 1), 2)) for t in row] for row in target], dtype=np.float32)
    chance = (1 / (1 + np.exp(-logits.astype(float)))).astype(np.float32)
    scores = lambda said, average: float(sk.f1_score(target, said, average=average, zero_division=0))
    best, threshold = -1.0, 0.5
    for step in range(99):
        at = (50 + (1 if step % 2 else -1) * ((step + 1) // 2)) / 100
        score = scores(chance >= np.float32(at), "macro")
        if score > best + 1e-12:
            best, threshold = score, at
    said = chance >= np.float32(0.5)
    both = [i for i in range(k) if 0 < target[:, i].sum() < n]
    return dict(classes=k, target=[int(t) for t in target.reshape(-1)], logits=[float(z) for z in logits.reshape(-1)],
                micro_f1=scores(said, "micro"), macro_f1=scores(said, "macro"), weighted_f1=scores(said, "weighted"),
                precision=float(sk.precision_score(target, said, average="micro", zero_division=0)),
                recall=float(sk.recall_score(target, said, average="micro", zero_division=0)),
                accuracy=float(sk.accuracy_score(target, said)),
                auc=float(np.mean([sk.roc_auc_score(target[:, i], chance[:, i]) for i in both])) if both else None,
                threshold=threshold, tuned_macro_f1=best)


TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def words():
    """Sentences of tags, as numbers into TAGS: F1 of the words' tags without O, accuracy, and F1 of entities."""
    gold = [[draw.choice([0, 0, 0, 1, 2, 3, 4]) for _ in range(draw.randint(1, 9))] for _ in range(draw.randint(1, 5))]
    said = [[g if draw.random() < 0.7 else draw.randrange(5) for g in row] for row in gold]
    named = [[[TAGS[i] for i in row] for row in side] for side in (gold, said)]
    flat = [[i for row in side for i in row] for side in (gold, said)]
    return dict(lengths=[len(row) for row in gold], gold=flat[0], said=flat[1],
                token_f1=float(sk.f1_score(*flat, labels=[1, 2, 3, 4], average="micro", zero_division=0)),
                accuracy=float(sk.accuracy_score(*flat)),
                span_f1=float(seqeval.metrics.f1_score(*named, zero_division=0)))


print(json.dumps(dict(classes=[classes() for _ in range(25)], numbers=[numbers() for _ in range(25)],
                      spans=[spans("BI", seqeval.scheme.IOB2) for _ in range(20)] +
                      [spans("BIES", seqeval.scheme.IOBES) for _ in range(20)],
                      ranks=[ranks() for _ in range(20)], labels=[labels() for _ in range(25)],
                      words=[words() for _ in range(30)])))
