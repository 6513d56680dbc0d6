#!/usr/bin/env python3
"""The reference library's usual padded loop, for the benchmark beside berth (developer tool, not needed by berth).

One classification head on a BERT-shaped backbone: AutoModelForSequenceClassification, dynamic padding to the longest
row of a batch, shuffled batches, AdamW, linear schedule left out, clipping at 1.0, dropout as the model's config has
it. Rows are "LABEL text" lines. Prints one JSON object.

    reference_run.py train --model DIR --data FILE --batch 32 --max-length 128 --steps 40
    reference_run.py infer --model DIR --data FILE --batch 32 --max-length 128 --rows 2000
"""
import argparse
import json
import os
import resource
import time

START = time.time()  # before the imports: they are part of the time to the first step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["train", "infer"])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()

    import torch
    import transformers
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

    transformers.logging.set_verbosity_error()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(17)
    labels, texts = [], []
    for line in open(args.data, encoding="utf-8"):
        label, text = line.rstrip("\n").split(" ", 1)
        labels.append(label)
        texts.append(text)
    names = sorted(set(labels))
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    rows = tokenizer(texts, truncation=True, max_length=args.max_length)["input_ids"]
    classes = [names.index(label) for label in labels]
    generator = torch.Generator().manual_seed(17)

    def batch_of(indices):
        longest = max(len(rows[i]) for i in indices)
        ids = torch.zeros(len(indices), longest, dtype=torch.long)
        mask = torch.zeros(len(indices), longest, dtype=torch.long)
        for r, i in enumerate(indices):
            ids[r, :len(rows[i])] = torch.tensor(rows[i])
            mask[r, :len(rows[i])] = 1
        return ids, mask, torch.tensor([classes[i] for i in indices]), int(mask.sum())

    times, tokens, padded = [], [], []
    first = None
    if args.mode == "train":
        if os.path.exists(os.path.join(args.model, "model.safetensors")):
            model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=len(names),
                                                                       ignore_mismatched_sizes=True)
        else:
            config = AutoConfig.from_pretrained(args.model, num_labels=len(names))
            model = AutoModelForSequenceClassification.from_config(config)
        model = model.float()
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
        order = torch.randperm(len(rows), generator=generator).tolist()
        for step in range(args.steps):
            begin = (step * args.batch) % max(1, len(order) - args.batch)
            ids, mask, target, real = batch_of(order[begin:begin + args.batch])
            t0 = time.perf_counter()
            loss = model(input_ids=ids, attention_mask=mask, labels=target).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            times.append(time.perf_counter() - t0)
            tokens.append(real)
            padded.append(ids.numel())
            if first is None:
                first = time.time() - START
    else:
        if os.path.exists(os.path.join(args.model, "model.safetensors")):
            model = AutoModel.from_pretrained(args.model)
        else:
            model = AutoModel.from_config(AutoConfig.from_pretrained(args.model))
        model = model.float()
        model.eval()
        # as sentence-transformers does: longest first, so that a batch holds rows of near length
        order = sorted(range(min(args.rows, len(rows))), key=lambda i: -len(rows[i]))
        with torch.inference_mode():
            for begin in range(0, len(order), args.batch):
                ids, mask, _, real = batch_of(order[begin:begin + args.batch])
                t0 = time.perf_counter()
                hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask.unsqueeze(-1).float()
                (hidden * weights).sum(1) / weights.sum(1)
                times.append(time.perf_counter() - t0)
                tokens.append(real)
                padded.append(ids.numel())
                if first is None:
                    first = time.time() - START
    skip = min(5, len(times) // 4)
    seconds = sum(times[skip:])
    print(json.dumps({
        "library": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "mode": args.mode,
        "tokens_per_second": sum(tokens[skip:]) / seconds,
        "padded_tokens_per_second": sum(padded[skip:]) / seconds,
        "first_step_seconds": first,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }))


if __name__ == "__main__":
    main()
