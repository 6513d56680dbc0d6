"""The reference library run on weights and batches that berth's tests derive too; for the make_model_*_golden.py scripts.

Every number comes from Philox4x32-10 with the key (seed, 0) and a counter (block, 0, stream, TEST << 24):

    value(parameter number p, element i) = offset + factor * (u - 0.5)     u = (word i % 4 of block i / 4, >> 8) / 2^24
    stream p; matrices: offset 0, factor the case's scale; biases: 0, 0.2; norm gains: 1, 0.5; rounded once to float32

A tensor too large to keep is kept as 64 projections: element i is added with a sign to one of 64 sums (Charikar, Chen,
Farach-Colton, "Finding frequent items in data streams", 2002), both from the 16-bit half i % 8 of block i / 8 of stream
SKETCH_STREAM, seed SKETCH_SEED: the low six bits say which, the highest bit is the sign. The 2-norm of the difference of
two tensors' projections estimates the 2-norm of their difference: unbiased in the square, 18 % deviation of it.
"""
import numpy as np
import torch
import transformers

PURPOSE_TEST = 255
SKETCH_SEED, SKETCH_STREAM, SKETCH_SIZE = 2026, 64, 64
CHUNK = 1 << 20


def philox(key0, key1, c0, c1, c2, c3):
    """Philox4x32-10 over arrays of counters: four arrays of words."""
    c0, c1, c2, c3 = (np.array(c, dtype=np.uint64) for c in np.broadcast_arrays(c0, c1, c2, c3))
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(key0), (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(key1)
        c1, c3 = p1 & low, p0 & low
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def words_of(seed, stream, first, count):
    """Words first .. first+count-1 of a stream, four a block; first is a multiple of 4."""
    blocks = np.arange(first // 4, (first + count + 3) // 4, dtype=np.uint64)
    words = philox(seed, 0, blocks, 0, stream, PURPOSE_TEST << 24)
    return np.stack(words, axis=1).reshape(-1)[:count]


def word_zero(seed, key1, stream, count):
    """Word 0 of blocks 0 .. count-1: what berth_random_u32 gives for seed | key1 << 32."""
    return philox(seed, key1, np.arange(count, dtype=np.uint64), 0, stream, PURPOSE_TEST << 24)[0]


def derived(seed, scale, number, name, shape):
    count = int(np.prod(shape))
    offset, factor = 0.0, scale
    if name.endswith(("LayerNorm.weight", ".norm.weight")):
        offset, factor = 1.0, 0.5
    elif name.endswith(".bias"):
        factor = 0.2
    values = np.empty(count, dtype=np.float32)
    for first in range(0, count, CHUNK):
        words = words_of(seed, number, first, min(CHUNK, count - first))
        values[first:first + len(words)] = offset + factor * ((words >> np.uint64(8)).astype(np.float64) * 2.0 ** -24 - 0.5)
    return values.reshape(shape)


def sketch(values):
    """The 64 projections of a tensor, in float64."""
    flat, sums = np.asarray(values, dtype=np.float64).reshape(-1), np.zeros(SKETCH_SIZE)
    for first in range(0, flat.size, 2 * CHUNK):
        part = flat[first:first + 2 * CHUNK]
        words = words_of(SKETCH_SEED, SKETCH_STREAM, first // 2, (part.size + 1) // 2)
        halves = np.stack([words & np.uint64(0xFFFF), words >> np.uint64(16)], axis=1).reshape(-1)[:part.size].astype(np.int64)
        signs = np.where(halves >> 15 & 1, -1.0, 1.0)
        sums += np.bincount(halves & 63, weights=signs * part, minlength=SKETCH_SIZE)
    return sums


# ---- berth's table of parameters

def dense(prefix, rows, columns):
    return [(prefix + "weight", (rows, columns)), (prefix + "bias", (rows,))]


def backbone_parameters(case):
    """(name, shape) in berth's flat order."""
    h, f = case["hidden"], case["intermediate"]
    norm = lambda prefix: [(prefix + "LayerNorm.weight", (h,)), (prefix + "LayerNorm.bias", (h,))]
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
    return out


def head_parameters(case):
    out = []
    for task in case["tasks"]:
        prefix = f"heads.{task['name']}."
        if task["type"] == "mlm":
            h = case["hidden"]
            out += dense(prefix + "transform.", h, h) + [(prefix + "norm.weight", (h,)), (prefix + "norm.bias", (h,)),
                                                         (prefix + "bias", (case["vocab_size"],))]
        else:
            out += dense(prefix, task["classes"], case["hidden"])
    return out


def parameters(case):
    return backbone_parameters(case) + head_parameters(case)


def decays(name):
    return name.endswith("weight") and "LayerNorm" not in name and ".norm." not in name


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


# ---- the reference

def reference_config(case):
    if case["model_type"] == "bert":
        return transformers.BertConfig(
            vocab_size=case["vocab_size"], hidden_size=case["hidden"], num_hidden_layers=case["layers"],
            num_attention_heads=case["heads"], intermediate_size=case["intermediate"], hidden_act=case["activation"],
            max_position_embeddings=case["positions"], type_vocab_size=case["segments"], attn_implementation="eager")
    return transformers.DistilBertConfig(
        vocab_size=case["vocab_size"], dim=case["hidden"], n_layers=case["layers"], n_heads=case["heads"],
        hidden_dim=case["intermediate"], activation=case["activation"], max_position_embeddings=case["positions"],
        attn_implementation="eager")


class Reference(torch.nn.Module):
    """The encoder with a case's heads, values by berth's names, in the precision `dtype`."""

    def __init__(self, case, values, dtype):
        super().__init__()
        self.case, self.names = case, [name for name, _ in parameters(case)]
        with torch.device("meta"):
            config = reference_config(case)
            self.model = (transformers.BertModel if case["model_type"] == "bert" else transformers.DistilBertModel)(config)
        self.model.to_empty(device="cpu").to(dtype).eval()
        for module in self.model.modules():  # what is no parameter: made anew
            for key, buffer in list(module.named_buffers(recurse=False)):
                ids = torch.arange(case["positions"])[None]
                setattr(module, key, ids if key == "position_ids" else torch.zeros_like(ids))
        state = dict(self.model.named_parameters())
        self.heads = {}
        for name in self.names:
            value = torch.from_numpy(values[name]).to(dtype)
            if name.startswith("heads."):
                self.heads[name] = value.requires_grad_()
            else:
                state.pop(reference_name(case, name)).data = value
        assert not state, f"not set: {list(state)}"
        self.model.embeddings.word_embeddings.padding_idx = None  # token 0 is a token like the others here
        self.act = transformers.activations.ACT2FN[case["activation"]]

    def parameter(self, name):
        return self.heads[name] if name in self.heads else self.model.get_parameter(reference_name(self.case, name))

    def hidden_states(self, tokens, segments, starts):
        """The states behind the embeddings and behind each layer, [layers + 1][tokens, H]; a sequence at a time."""
        layers = []
        for begin, end in zip(starts[:-1], starts[1:]):
            extra = dict(input_ids=torch.from_numpy(tokens[begin:end].astype(np.int64))[None])
            if self.case["segments"]:
                extra["token_type_ids"] = torch.from_numpy(segments[begin:end].astype(np.int64))[None]
            states = self.model(**extra, output_hidden_states=True).hidden_states
            layers.append([state[0] for state in states])
        return [torch.cat(states) for states in zip(*layers)]

    def pooled(self, rows, starts):
        cls = rows[torch.tensor(starts[:-1])]
        out = dict(cls=cls, mean=torch.stack([rows[a:b].mean(dim=0) for a, b in zip(starts[:-1], starts[1:])]))
        if self.case["pooler"]:
            out["pooler"] = torch.tanh(self.model.pooler.dense(cls))
        return out

    def logits(self, task, features):
        head = lambda part: self.heads[f"heads.{task['name']}.{part}"]
        linear = torch.nn.functional.linear
        if task["type"] != "mlm":
            return linear(features, head("weight"), head("bias"))
        x = self.act(linear(features, head("transform.weight"), head("transform.bias")))
        x = torch.nn.functional.layer_norm(x, x.shape[-1:], head("norm.weight"), head("norm.bias"), 1e-12)
        return linear(x, self.model.embeddings.word_embeddings.weight, head("bias"))


# ---- batches

def tokens_of(case):
    """Plain ids: only the arithmetic matters here."""
    words = word_zero(case["seed"], 1, 0, sum(case["lengths"]))
    tokens = (words % np.uint64(case["vocab_size"])).astype(np.int32)
    segments = ((words >> np.uint64(16)) % np.uint64(max(case["segments"], 1))).astype(np.int32)
    return tokens, segments


def items_of(case, task, number):
    """Items of a task: about two thirds of the sequences or rows, not in order; every fifth without a label (-1).
    Targets (several labels, numbers): [items, classes]; else None."""
    by_row = task["type"] in ("tagging", "mlm")
    count = sum(case["lengths"]) if by_row else len(case["lengths"])
    words = word_zero(case["seed"], 2, number, count)
    index = [i for i in np.argsort(words, kind="stable") if words[i] % np.uint64(3)] or [0]
    classes = case["vocab_size"] if task["type"] == "mlm" else task["classes"]
    labels = [int((words[i] >> np.uint64(8)) % np.uint64(classes)) for i in index]
    targets = None
    if task["type"] in ("multilabel", "regression"):
        targets = np.array([[(label >> k & 1) if task["type"] == "multilabel" else label / 4.0 + (int(words[i]) % 7) / 8.0
                             for k in range(classes)] for i, label in zip(index, labels)], dtype=np.float32)
        labels = [0] * len(labels)
    labels = [-1 if k % 5 == 4 else label for k, label in enumerate(labels)]
    return np.array(index, dtype=np.int32), np.array(labels, dtype=np.int32), targets


def item_losses(task, logits, labels, targets):
    functional = torch.nn.functional
    if targets is None:
        return functional.cross_entropy(logits, torch.from_numpy(labels).long(), ignore_index=-1, reduction="none",
                                        label_smoothing=task.get("smoothing", 0.0))
    targets = torch.from_numpy(targets).to(logits.dtype)
    if task["type"] == "multilabel":
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    else:
        losses = functional.mse_loss(logits, targets, reduction="none")
    return losses.mean(dim=1) * torch.from_numpy(labels >= 0).to(logits.dtype)


def forward(reference, batch):
    """(every result by its name, the loss)."""
    case = reference.case
    states = reference.hidden_states(batch["tokens"], batch["segments"], batch["starts"])
    out = {f"hidden.{layer}": state for layer, state in enumerate(states)}
    pooled = reference.pooled(states[-1], batch["starts"])
    out.update({f"pooled.{name}": value for name, value in pooled.items()})
    total = 0.0
    for task, (index, labels, targets) in zip(case["tasks"], batch["items"]):
        source = states[-1] if task["type"] in ("tagging", "mlm") else pooled[task["pooling"]]
        logits = reference.logits(task, source[torch.from_numpy(index).long()])
        losses = item_losses(task, logits, labels, targets)
        total = total + losses.sum() / int((labels >= 0).sum())
        out.update({f"{task['name']}.logits": logits, f"{task['name']}.losses": losses})
    out["loss"] = total[None]
    return out, total


def run(case, values, batch, dtype):
    """Results and gradients by name, as float64 arrays."""
    reference = Reference(case, values, dtype)
    out, total = forward(reference, batch)
    total.backward()
    for name in reference.names:
        out["grad." + name] = reference.parameter(name).grad
    return {name: value.detach().double().numpy() for name, value in out.items()}


def train(case, values, batch, dtype):
    """The losses of steps of AdamW, and the values behind them."""
    recipe = case["adamw"]
    reference = Reference(case, values, dtype)
    groups = [dict(params=[reference.parameter(n) for n in reference.names if decays(n) == on], weight_decay=decay)
              for on, decay in ((True, recipe["weight_decay"]), (False, 0.0))]
    optimizer = torch.optim.AdamW(groups, lr=recipe["lr"], betas=(0.9, 0.999), eps=1e-8)
    every = [p for group in groups for p in group["params"]]
    losses = []
    for _ in range(recipe["steps"]):
        optimizer.zero_grad()
        _, total = forward(reference, batch)
        total.backward()
        torch.nn.utils.clip_grad_norm_(every, recipe["clip_norm"])
        optimizer.step()
        losses.append(total.item())
    out = {"adamw.losses": np.array(losses)}
    for name in reference.names:
        out["adamw." + name] = reference.parameter(name).detach().double().numpy()
    return out
