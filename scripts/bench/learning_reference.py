"""The reference side of learning.py: the same recipe in the reference library, one run (developer tool).

One AutoModel backbone, per head dropout and one linear layer; the loss of a step is the sum over the heads of the mean
loss over the head's labelled items in the batch, as `mix: batch` has it where every row carries every label. Batches
as berth draws them: all rows shuffled, windows of 64 steps sorted by length, cut, and the steps of a window shuffled.
"""
import random
import time


def groups_of(model, heads, recipe):
    """Four groups: backbone and heads, each with and without decay (none on biases and norms)."""
    import torch

    def split(named, lr):
        named = list(named)
        plain = [p for n, p in named if n.endswith("bias") or "LayerNorm" in n]
        decayed = [p for n, p in named if not (n.endswith("bias") or "LayerNorm" in n)]
        return [{"params": decayed, "lr": lr, "weight_decay": recipe["weight_decay"]},
                {"params": plain, "lr": lr, "weight_decay": 0.0}]

    groups = split(model.named_parameters(), recipe["lr"]) + split(heads.named_parameters(), recipe["head_lr"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)


def order_of(lengths, batch, seed, epoch):
    """Steps of an epoch, each a list of row numbers."""
    draw = random.Random(f"{seed}/{epoch}")
    rows = list(range(len(lengths)))
    draw.shuffle(rows)
    steps = []
    for begin in range(0, len(rows), 64 * batch):
        window = sorted(rows[begin:begin + 64 * batch], key=lambda i: lengths[i])
        cut = [window[i:i + batch] for i in range(0, len(window), batch)]
        last = [cut.pop()] if len(cut[-1]) < batch else []
        draw.shuffle(cut)
        steps += cut + last
    return steps


def encode(tokenizer, rows, max_length, maps):
    """Rows as dictionaries: ids, first pieces of words, and class numbers."""
    out = []
    for row in rows:
        made = tokenizer(row["words"], is_split_into_words=True, truncation=True, max_length=max_length)
        first = {}
        for position, word in enumerate(made.word_ids()):
            if word is not None and word not in first:
                first[word] = position
        item = {"ids": made["input_ids"], "label": maps["label"].get(row["label"], -100)}
        if "tags" in row:
            item["first"] = first
            item["tags"] = row["tags"]
        out.append(item)
    return out


def collate(rows, maps, torch):
    longest = max(len(r["ids"]) for r in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    tags = torch.full((len(rows), longest), -100, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, :len(row["ids"])] = torch.tensor(row["ids"])
        mask[i, :len(row["ids"])] = 1
        for word, position in row.get("first", {}).items():
            tags[i, position] = maps["tag"].get(row["tags"][word], -100)
    return ids, mask, torch.tensor([r["label"] for r in rows]), tags


def evaluate(model, heads, rows, maps, torch):
    from seqeval.metrics import f1_score
    names = {number: name for name, number in maps.get("tag", {}).items()}
    right, gold, answer = 0, [], []
    model.eval()
    heads.eval()
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]["ids"]))
    with torch.inference_mode():
        for begin in range(0, len(order), 64):
            part = [rows[i] for i in order[begin:begin + 64]]
            ids, mask, label, _ = collate(part, maps, torch)
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            wide = mask.unsqueeze(-1).float()
            right += int((heads["label"]((hidden * wide).sum(1) / wide.sum(1)).argmax(-1) == label).sum())
            if not names:
                continue
            best = heads["tag"](hidden).argmax(-1)
            for i, row in enumerate(part):
                gold.append(row["tags"])
                answer.append([names[int(best[i, row["first"][w]])] if w in row["first"] else "O"
                               for w in range(len(row["tags"]))])
    scores = {"accuracy": right / len(rows)}
    if names:
        scores["span_f1"] = f1_score(gold, answer)
    return scores


def train(model_folder, splits, recipe, seed, threads):
    """splits: {"train": rows, "dev": rows, ...}, a row {"words": [...], "label": text, "tags": [...]}. Returns
    {split: {metric: value}} of the model after the last step, and the seconds that training took."""
    import torch
    import torch.nn.functional as F
    import transformers
    from transformers import AutoModel, AutoTokenizer

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    maps = {"label": {n: i for i, n in enumerate(sorted({r["label"] for r in splits["train"]}))}}
    if "tags" in splits["train"][0]:
        tags = sorted({t for r in splits["train"] for t in r["tags"]} - {"O"})
        maps["tag"] = {n: i for i, n in enumerate(["O"] + tags)}
    data = {name: encode(tokenizer, rows, recipe["max_length"], maps) for name, rows in splits.items()}
    model = AutoModel.from_pretrained(model_folder, add_pooling_layer=False,
                                      hidden_dropout_prob=recipe["dropout"],
                                      attention_probs_dropout_prob=recipe["dropout"]).float()
    heads = torch.nn.ModuleDict()
    for kind, classes in maps.items():
        linear = torch.nn.Linear(model.config.hidden_size, len(classes))
        torch.nn.init.normal_(linear.weight, std=model.config.initializer_range)
        torch.nn.init.zeros_(linear.bias)
        heads[kind] = torch.nn.Sequential(torch.nn.Dropout(recipe["dropout"]), linear)
    optimizer = groups_of(model, heads, recipe)
    lengths = [len(r["ids"]) for r in data["train"]]
    steps_an_epoch = len(order_of(lengths, recipe["batch_size"], seed, 0))
    total = steps_an_epoch * recipe["epochs"]
    warmup = round(recipe["warmup"] * total)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warmup if s < warmup else max(0.0, (total - s) / (total - warmup)))
    begin, step = time.time(), 0
    for epoch in range(recipe["epochs"]):
        model.train()
        heads.train()
        for rows in order_of(lengths, recipe["batch_size"], seed, epoch):
            ids, mask, label, tag = collate([data["train"][i] for i in rows], maps, torch)
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            wide = mask.unsqueeze(-1).float()
            loss = F.cross_entropy(heads["label"]((hidden * wide).sum(1) / wide.sum(1)), label)
            if "tag" in maps:
                loss = loss + F.cross_entropy(heads["tag"](hidden)[tag >= 0], tag[tag >= 0])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*model.parameters(), *heads.parameters()], recipe["clip_norm"])
            optimizer.step()
            schedule.step()
            step += 1
            if step % 25 == 0:
                print(f"  reference step {step}/{total} loss {loss.item():.4f} "
                      f"({(time.time() - begin) / step:.2f} s a step)", flush=True)
    seconds = time.time() - begin
    return {name: evaluate(model, heads, data[name], maps, torch) for name in data if name != "train"}, seconds
