#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: metrics as scikit-learn, scipy and seqeval compute them, for test_metric_golden.

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


print(json.dumps(dict(classes=[classes() for _ in range(25)], numbers=[numbers() for _ in range(25)],
                      spans=[spans("BI", seqeval.scheme.IOB2) for _ in range(20)] +
                      [spans("BIES", seqeval.scheme.IOBES) for _ in range(20)])))
