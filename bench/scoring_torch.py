"""The computation of `cusprun score` in PyTorch with transformers, for bench/scoring.mjs: one forward pass over the blocks,
and the relevances from it.

Reads a request from standard input, JSON: `folder` of the model, `dtype`, `threads`, `kinds`, and `batches`, each with
`tokens` [B, T] and the `lengths` [B] of its documents (padded on the right, which causal attention never reads). Prints JSON:
`seconds` of the pass, `gigaflops` of one large product, and `norms`, for each kind the Frobenius norm of each layer's
relevances [N, units], by which both sides are compared. The formulas are those of docs/architecture.md: PLND,
arXiv 2402.18815, summed over structural units.
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

request = json.load(sys.stdin)
kinds = set(request["kinds"])
torch.set_num_threads(request["threads"])
torch.set_grad_enabled(False)
dtype = getattr(torch, request["dtype"])
needs_map = "rotary-pair" in kinds

model = AutoModelForCausalLM.from_pretrained(request["folder"], dtype=dtype, attn_implementation="sdpa").eval()
config = model.config
heads, groups = config.num_attention_heads, config.num_key_value_heads
size = getattr(config, "head_dim", None) or config.hidden_size // heads
mask = None
energies = {}


def add(layer, kind, values):
    """Norms [B, units] of a batch from their squares."""
    norms = values.float().clamp_min(0).sqrt()
    energies.setdefault(kind, {}).setdefault(layer, []).append(norms)


def score_ffn(layer, down):
    columns = down.weight.float().square().sum(0)

    def hook(_, args):
        (activations,) = args
        add(layer, "ffn", (activations * mask.unsqueeze(-1)).square().sum(1, dtype=torch.float32) * columns)

    return hook


def score_heads(layer, o):
    per_group = heads // groups
    weights = o.weight.view(config.hidden_size, groups, per_group * size)
    output_gram = torch.einsum("dgi,dgj->gij", weights, weights)

    def hook(_, args):
        (outputs,) = args
        rows, length, _ = outputs.shape
        columns = (outputs * mask.unsqueeze(-1)).view(rows, length, groups, per_group * size).transpose(1, 2)
        gram = (columns.transpose(2, 3) @ columns).mul_(output_gram).view(rows, groups, per_group, size, per_group, size)
        by_head = gram.sum((3, 5))
        if "head" in kinds:
            add(layer, "head", by_head.diagonal(dim1=2, dim2=3).reshape(rows, heads))
        if "kv-group" in kinds:
            add(layer, "kv-group", by_head.sum((2, 3)))
        if "value-dim" in kinds:
            add(layer, "value-dim", gram.diagonal(dim1=3, dim2=5).sum((2, 3)).reshape(rows, groups * size))

    return hook


def attention_with_pairs(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    """Attention that also scores rotary pairs: the change by each pair to first order, from products with P and P²."""
    rows, _, length, _ = query.shape
    per_group, half = heads // groups, size // 2
    query = (query * scaling).reshape(rows, groups, per_group * length, size)
    causal = torch.full((length, length), float("-inf"), dtype=dtype).triu(1)
    scores = (query @ key.transpose(2, 3)).view(rows, heads, length, length) + causal
    p = scores.softmax(-1).view(rows, groups, per_group * length, length)
    context = (p @ value).view(rows, heads, length, size)

    (a, b), (alpha, beta) = key.split(half, -1), query.split(half, -1)
    squared = p.square()
    aa, ab, bb, pa, pb = (squared @ torch.cat([a * a, a * b, b * b, a, b], -1)).split(half, -1)
    mean_a, mean_b = (p @ key).split(half, -1)
    mean = alpha * mean_a + beta * mean_b
    total = alpha**2 * aa + 2 * alpha * beta * ab + beta**2 * bb
    total = total - 2 * mean * (alpha * pa + beta * pb) + mean**2 * squared.sum(-1, keepdim=True)
    per_token = total.clamp_min(0).view(rows, heads, length, half) * mask.view(rows, 1, length, 1)
    per_pair = per_token.sum(2, dtype=torch.float32).view(rows, groups, per_group, half).sum(2)
    add(module.layer_idx, "rotary-pair", per_pair.reshape(rows, groups * half))
    return context.transpose(1, 2).contiguous(), None


if needs_map:
    ALL_ATTENTION_FUNCTIONS["with_pairs"] = attention_with_pairs
    model.config._attn_implementation = "with_pairs"
for layer, block in enumerate(model.model.layers):
    if "ffn" in kinds:
        block.mlp.down_proj.register_forward_pre_hook(score_ffn(layer, block.mlp.down_proj))
    if kinds & {"head", "kv-group", "value-dim"}:
        block.self_attn.o_proj.register_forward_pre_hook(score_heads(layer, block.self_attn.o_proj))

batches = [(torch.tensor(batch["tokens"]), torch.tensor(batch["lengths"])) for batch in request["batches"]]


def score():
    global mask
    energies.clear()
    started = time.perf_counter()
    for tokens, lengths in batches:
        mask = (torch.arange(tokens.shape[1]) < lengths.unsqueeze(1)).to(dtype)
        model.model(input_ids=tokens, use_cache=False)
    return time.perf_counter() - started


def product_rate(n=4096, rows=2048):
    """GFLOP/s of one large product, the best of three."""
    x, w = torch.randn(rows, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        torch.nn.functional.linear(x, w)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * n * n / best / 1e9


# Allocators and thread pools warm up on the first batch.
warm, batches = batches, batches[:1]
score()
batches = warm
seconds = score()
norms = {kind: [torch.cat(layers[layer]).norm().item() for layer in sorted(layers)] for kind, layers in energies.items()}
print(json.dumps({"seconds": seconds, "gigaflops": product_rate(), "norms": norms}))
