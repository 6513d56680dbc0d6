#!/usr/bin/env python3
"""Checks that tokenizer folders written by berth load in the reference library and give equal ids, before and after the
reference has added tokens and saved them again; and how good a trained vocabulary is beside the reference's trainer.

For developers: needs torch, transformers and tokenizers.

    scripts/check_reference_tokenizer.py BUILD TRAINING_TEXT HELD_OUT_TEXT [SIZE]

The two trainers are not the same program: on equal counts they take another pair, and the reference counts the pairs
that overlap in one word ("aaa") once more or once less on the way. So vocabularies are compared by what they are for:
how many pieces a held-out text is cut into, and how many of its words are [UNK]; the share of common entries is told.
"""
import os
import subprocess
import sys
import tempfile

import tokenizers
import torch
import transformers

STRANGE = ["", " ", "Caf\u00e9 na\u00efve \u4e2d\u6587 don't!", "[MASK] of [SEP]", "x" * 120, "\u0130stanbul \u1e9e \u00ad\u200d", "a\tb  c"]
ADDED = ["<tel>", "<name>", "Caf\u00e9"]


def berth(build, *arguments, text=None):
    result = subprocess.run([os.path.join(build, "berth"), *arguments], check=True, capture_output=True, input=text)
    return result.stdout.decode()


def our_ids(build, folder, lines):
    out = berth(build, "tokenize", folder, "-", text="".join(line + "\n" for line in lines).encode())
    return [[int(x) for x in line.split()] for line in out.splitlines()]


def compare(build, folder, lines, what):
    ours = our_ids(build, folder, lines)
    for name in ("AutoTokenizer", "BertTokenizerFast"):
        theirs = getattr(transformers, name).from_pretrained(folder)(lines, truncation=False)["input_ids"]
        different = [i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b]
        assert len(ours) == len(theirs) and not different, f"{what}, {name}: {lines[different[0]]!r}"
    print(f"{what}: {len(lines)} lines, equal ids by AutoTokenizer and BertTokenizerFast")
    return ours


def added_and_converted(build, folder, root, lines, name):
    """The reference adds tokens and saves with weights; berth reads that and writes it anew; the reference reads it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(ADDED[:2] + [tokenizers.AddedToken(ADDED[2], normalized=False, single_word=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    torch.manual_seed(1)
    config = transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1,
                                     num_attention_heads=2, intermediate_size=16)
    theirs, ours = os.path.join(root, name + "-added"), os.path.join(root, name + "-converted")
    transformers.BertModel(config).save_pretrained(theirs)
    tokenizer.save_pretrained(theirs)
    marked = [f"{line} {ADDED[i % 3]} [ENT]{ADDED[(i + 1) % 3]}{line}" for i, line in enumerate(lines)]
    before = compare(build, theirs, marked, f"{name}, tokens added by the reference")
    assert any(id_ >= len(tokenizer) - 4 for row in before for id_ in row)
    berth(build, "convert", theirs, "--out", ours)
    assert compare(build, ours, marked, f"{name}, the same written by berth") == before


def quality(ours, theirs, held_out, name):
    unk = ours.unk_token_id
    rows = []
    for label, encode in (("berth", lambda t: ours(t, add_special_tokens=False)["input_ids"]),
                          ("reference", lambda t: [e.ids for e in theirs.encode_batch(t, add_special_tokens=False)])):
        ids = encode(held_out)
        unknown = unk if label == "berth" else theirs.token_to_id("[UNK]")
        rows.append((sum(map(len, ids)), sum(row.count(unknown) for row in ids)))
        print(f"{name}, {label:9}: {rows[-1][0]} pieces, {rows[-1][1]} [UNK]")
    a, b = set(ours.get_vocab()), set(theirs.get_vocab())
    print(f"{name}: {len(a)} and {len(b)} entries, {len(a & b) / len(a | b):.2%} in common, "
          f"pieces {rows[0][0] / rows[1][0]:.4f} times the reference's")
    assert rows[0][0] < 1.01 * rows[1][0] and rows[0][1] <= rows[1][1] + 2


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    build, training, held_out = sys.argv[1:4]
    size = int(sys.argv[4]) if len(sys.argv) == 5 else 8000
    print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
    transformers.logging.set_verbosity_error()
    lines = [line.rstrip("\n") for line in open(held_out, encoding="utf-8")]
    with tempfile.TemporaryDirectory() as root:
        for lowercase in (True, False):
            name = "uncased" if lowercase else "cased"
            folder = os.path.join(root, name)
            berth(build, "vocab", training, "--size", str(size), "--lowercase", str(lowercase).lower(), "--out", folder)
            compare(build, folder, lines + STRANGE, f"{name}, trained by berth")
            added_and_converted(build, folder, root, lines[:500] + STRANGE, name)
            reference = tokenizers.BertWordPieceTokenizer(lowercase=lowercase, strip_accents=lowercase)
            reference.train([training], vocab_size=size, min_frequency=2, limit_alphabet=1000, show_progress=False)
            quality(transformers.AutoTokenizer.from_pretrained(folder), reference, lines, name)


if __name__ == "__main__":
    main()
