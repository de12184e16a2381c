"""Fisher scores of FFN units (how sensitive the loss is to each), from a backward pass in PyTorch, for bench/gradients.mjs.

Reads a request from standard input, JSON: `folder` of the model, and `corpora`, for each the token ids of its documents.
Prints JSON: `scores`, for each corpus the Fisher scores [layers][units], (activation · ∂loss/∂activation)² as the mean over
a document's tokens and then over documents; and `seconds`, the time of it. The loss is in nats, summed over the document's
tokens.
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

request = json.load(sys.stdin)
model = AutoModelForCausalLM.from_pretrained(request["folder"], dtype=torch.float32, attn_implementation="sdpa").eval()
model.requires_grad_(False)
activations = []


def keep(_, arguments):
    arguments[0].retain_grad()
    activations.append(arguments[0])


for layer in model.model.layers:
    layer.mlp.down_proj.register_forward_pre_hook(keep)

started = time.perf_counter()
scores = []
for documents in request["corpora"]:
    total = 0
    for tokens in documents:
        activations.clear()
        ids = torch.tensor([tokens])
        embedded = model.model.embed_tokens(ids).requires_grad_()
        logits = model(inputs_embeds=embedded, use_cache=False).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").backward()
        total = total + torch.stack([(each * each.grad)[0].double().square().mean(0) for each in activations])
    scores.append((total / len(documents)).tolist())
print(json.dumps({"scores": scores, "seconds": time.perf_counter() - started}))
