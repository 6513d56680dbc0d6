#!/usr/bin/env python3
"""Checks that model folders written by berth load in the reference library and give equal numbers.

For developers: needs torch, transformers and safetensors. Runs BUILD/tests/test_model_folder, which leaves one folder
of every form, and loads each with AutoModel and, where config.json names a class with a head, with that class; then
BUILD/tests/test_reference_heads, which reads folders that the reference's classes wrote (make_head_folder_golden.py) and
writes them again: loaded with those classes they must give the logits that the reference gave.

    scripts/check_reference_load.py BUILD
    scripts/check_reference_load.py BUILD FOLDER     FOLDER (real weights) as berth and as the reference load it:
                                                     embeddings of three sentences, mean pooling, by `berth embed`;
                                                     then what `berth convert` makes of it (f32, f16, bf16; for
                                                     sentence-transformers with each pooling), loaded by those libraries;
                                                     and `berth embed` by the folder's own modules.json
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file

LENGTHS = [5, 1, 20, 8]  # tests/model/test_model_folder.c, keep_form
SENTENCES = ["book a table for two in rome", "A great film!", "Play some unbelievably quiet music, please."]


def sequences(expected, segments):
    begin = 0
    for length in LENGTHS:
        batch = dict(input_ids=torch.tensor(expected["tokens"][begin:begin + length]).long()[None])
        if segments:
            batch["token_type_ids"] = torch.tensor(expected["segments"][begin:begin + length]).long()[None]
        yield batch
        begin += length


def difference(a, b):
    a, b = a.detach().numpy().reshape(b.shape), b
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.abs(a - b).max()


def check_form(folder, expected):
    config = json.load(open(os.path.join(folder, "config.json")))
    segments = config["model_type"] == "bert"
    heads = json.load(open(os.path.join(folder, "berth_heads.json")))["heads"]
    model, info = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
    missing = [name for name in info["missing_keys"] if "pooler" not in name]
    assert not missing, f"{folder}: missing {missing}"
    model.eval()
    hidden = torch.cat([model(**batch).last_hidden_state[0] for batch in sequences(expected, segments)])
    rows = [(folder, "AutoModel", "hidden", *difference(hidden, expected["hidden"]))]
    name = config["architectures"][0]
    if "For" in name:
        whole, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
        unexpected = [key for key in info["unexpected_keys"] if ".pooler." not in key or "Token" not in name]
        assert not info["missing_keys"] and not unexpected, f"{folder}: {info}"  # a tagger's file keeps the pooler
        whole.eval()
        logits = torch.cat([whole(**batch).logits.reshape(-1, whole.num_labels)
                            for batch in sequences(expected, segments)])
        assert [whole.config.id2label[i] for i in range(whole.num_labels)] == heads[0]["labels"]
        rows.append((folder, name, "logits", *difference(logits, expected["logits." + heads[0]["name"]])))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == 50
    return rows


def check_heads(build):
    """Folders of the reference's classes, read and written by berth."""
    golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "reference_heads")
    expected = load_file(os.path.join(golden, "expected.safetensors"))
    classes = json.load(open(os.path.join(golden, "classes.json")))["classes"]
    lengths = [5, 1, 12, 8]  # make_head_folder_golden.py
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, BERTH_WRITE_FORMS=folder)
        subprocess.run([os.path.join(build, "tests", "test_reference_heads")], check=True, capture_output=True, env=environment)
        for name in classes:
            class_name = json.load(open(os.path.join(folder, name, "config.json")))["architectures"][0]
            model, info = getattr(transformers, class_name).from_pretrained(os.path.join(folder, name), dtype=torch.float64,
                                                                            output_loading_info=True)
            unexpected = [key for key in info["unexpected_keys"] if ".pooler." not in key]
            assert not info["missing_keys"] and not unexpected, f"{name}: {info}"
            model.eval()
            begin, rows = 0, []
            for length in lengths:
                batch = dict(input_ids=torch.tensor(expected["tokens"][begin:begin + length]).long()[None])
                if class_name.startswith("Bert"):
                    batch["token_type_ids"] = torch.tensor(expected["segments"][begin:begin + length]).long()[None]
                logits = model(**batch).logits
                rows.append(logits.reshape(-1, logits.shape[-1]))
                begin += length
            relative, largest = difference(torch.cat(rows), expected[name + ".logits"])
            print(f"{name:18} {class_name:36} logits   relative {relative:.2g}  largest {largest:.2g}")
            assert relative < 1e-12, relative


def check_forms(build):
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, BERTH_WRITE_FORMS=folder)
        subprocess.run([os.path.join(build, "tests", "test_model_folder")], env=environment, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if not os.path.isdir(path):
                continue
            expected = load_file(os.path.join(folder, name.split("-")[0] + ".safetensors"))
            for _, class_name, what, relative, largest in check_form(path, expected):
                print(f"{name:40} {class_name:36} {what:8} relative {relative:.2g}  largest {largest:.2g}")
                worst = max(worst, relative)
    assert worst < 1e-5, worst


def check_folder(build, folder):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(SENTENCES) + "\n")
        file.flush()
        result = subprocess.run([os.path.join(build, "berth"), "embed", folder, file.name, "--pooling", "mean"],
                                check=True, capture_output=True, text=True)
    ours = np.array([[float(x) for x in line.split("\t")] for line in result.stdout.splitlines()])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).double().eval()
    theirs = torch.stack([model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
                          for text in SENTENCES])
    relative, largest = difference(theirs, ours)
    print(f"{folder}: {ours.shape} relative {relative:.2g}  largest {largest:.2g}")
    assert relative < 1e-5


def embed(build, folder, *arguments, texts=SENTENCES):
    """Embeddings by `berth embed`."""
    result = subprocess.run([os.path.join(build, "berth"), "embed", folder, "-", *arguments], check=True,
                            capture_output=True, text=True, input="\n".join(texts) + "\n")
    return np.array([[float(x) for x in line.split("\t")] for line in result.stdout.splitlines()])


def check_converted(build, folder):
    import sentence_transformers
    print(f"sentence-transformers {sentence_transformers.__version__}")
    berth = os.path.join(build, "berth")
    with tempfile.TemporaryDirectory() as root:
        for dtype in ("f32", "f16", "bf16"):
            out = os.path.join(root, dtype)
            subprocess.run([berth, "convert", folder, "--dtype", dtype, "--out", out], check=True, capture_output=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(out)
            model = transformers.AutoModel.from_pretrained(out, dtype=torch.float32).double().eval()
            theirs = torch.stack([model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
                                  for text in SENTENCES])
            relative, largest = difference(theirs, embed(build, out))
            print(f"convert --dtype {dtype:5} AutoModel             relative {relative:.2g}  largest {largest:.2g}")
            assert relative < 1e-5
        for pooling in ("mean", "cls", "pooler"):
            for normalize in ([], ["--normalize"]):
                out = os.path.join(root, pooling + "".join(normalize))
                subprocess.run([berth, "convert", folder, "--to", "sentence-transformers", "--pooling", pooling, *normalize,
                                "--max-length", "16", "--out", out], check=True, capture_output=True)
                model = sentence_transformers.SentenceTransformer(out, device="cpu").eval()
                assert model.max_seq_length == 16
                theirs = torch.tensor(model.encode(SENTENCES))
                ours = embed(build, out, "--pooling", pooling, "--max-length", "16", *normalize)
                relative, largest = difference(theirs, ours)
                print(f"convert for sentence-transformers, {pooling:6} {' '.join(normalize):11} relative {relative:.2g}"
                      f"  largest {largest:.2g}")
                assert relative < 1e-5


def check_sentences(build, folder):
    """A folder with modules.json: `berth embed` alone gives what sentence-transformers gives, its length too."""
    import sentence_transformers
    if not os.path.exists(os.path.join(folder, "modules.json")):
        return
    model = sentence_transformers.SentenceTransformer(folder, device="cpu").eval()
    long = " ".join(["The committee will publish its report on the regional timetable next Thursday."] * 40)
    theirs = torch.tensor(model.encode(SENTENCES + [long]))
    ours = embed(build, folder, texts=SENTENCES + [long])
    relative, largest = difference(theirs, ours)
    print(f"embed by modules.json, {model.max_seq_length} tokens at most      relative {relative:.2g}  largest {largest:.2g}")
    assert relative < 1e-5


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if len(sys.argv) == 2:
        check_forms(sys.argv[1])
        check_heads(sys.argv[1])
    elif len(sys.argv) == 3:
        check_folder(sys.argv[1], sys.argv[2])
        check_converted(sys.argv[1], sys.argv[2])
        check_sentences(sys.argv[1], sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
