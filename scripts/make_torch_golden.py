#!/usr/bin/env python3
"""Writes tests/golden/torch_small/: one tiny BERT in the four forms that the reference libraries save weights in.

For developers: needs torch, transformers and safetensors; the tests need only the files.

    safetensors/   model.safetensors                       bin/         pytorch_model.bin
    shards/        model.safetensors.index.json, of two    bin-shards/  pytorch_model.bin.index.json, of two

    scripts/make_torch_golden.py
"""
import json
import os
import shutil

import torch
import transformers
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "torch_small")


def write_shards(folder, state, pattern, index_name, save):
    names = sorted(state)
    parts = [names[:len(names) // 2], names[len(names) // 2:]]
    weight_map = {}
    for number, part in enumerate(parts):
        file = pattern % (number + 1, len(parts))
        save({name: state[name] for name in part}, os.path.join(folder, file))
        weight_map.update({name: file for name in part})
    total = sum(t.numel() * t.element_size() for t in state.values())
    with open(os.path.join(folder, index_name), "w") as f:
        json.dump(dict(metadata=dict(total_size=total), weight_map=weight_map), f)


def main():
    torch.manual_seed(5)
    config = transformers.BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=12, max_position_embeddings=6, type_vocab_size=2)
    model = transformers.BertForTokenClassification(config)
    state = {name: torch.randn_like(t) for name, t in model.state_dict().items() if t.dtype == torch.float32}
    state["bert.pooler.dense.weight"] = torch.randn(8, 8).half().float()
    state["bert.pooler.dense.bias"] = torch.randn(8)
    shutil.rmtree(ROOT, ignore_errors=True)
    for form in ("safetensors", "bin", "shards", "bin-shards"):
        folder = os.path.join(ROOT, form)
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump({k: v for k, v in config.to_dict().items() if v is not None and k != "transformers_version"}, f,
                      indent=1, sort_keys=True)
        if form == "safetensors":
            save_file(state, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        elif form == "bin":
            one = dict(state)
            one["bert.pooler.dense.weight"] = one["bert.pooler.dense.weight"].half()
            both = torch.cat([one["bert.embeddings.LayerNorm.weight"], one["bert.embeddings.LayerNorm.bias"]])
            one["bert.embeddings.LayerNorm.gamma"] = both[:8]  # two tensors of one storage, by their old names
            one["bert.embeddings.LayerNorm.beta"] = both[8:]
            del one["bert.embeddings.LayerNorm.weight"], one["bert.embeddings.LayerNorm.bias"]
            one["bert.embeddings.position_ids"] = torch.arange(6)[None]
            torch.save(one, os.path.join(folder, "pytorch_model.bin"))
        elif form == "shards":
            write_shards(folder, state, "model-%05d-of-%05d.safetensors", "model.safetensors.index.json",
                         lambda part, path: save_file(part, path, metadata={"format": "pt"}))
        else:
            parameters = {name: torch.nn.Parameter(t) for name, t in state.items()}
            write_shards(folder, parameters, "pytorch_model-%05d-of-%05d.bin", "pytorch_model.bin.index.json",
                         torch.save)
        for file in os.listdir(folder):
            os.chmod(os.path.join(folder, file), 0o644)
    print(sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(ROOT) for f in files), "bytes in", ROOT)


if __name__ == "__main__":
    main()
