"""Pruning methods that no stock checkpoint can represent, or that need a backward pass, in PyTorch with transformers, for
bench/peers.mjs: prunes the model, then answers the same requests as the other methods.

Reads a request from standard input, JSON: `folder` of the model; `methods`; `share` of the decoder blocks' parameters to
remove; `removedUnits`, the FFN units to remove, of all layers together; `calibration`, the token ids of each document; and
`requests` and `denseRequests`, each with `input` tokens and the `targets`, the next tokens after the last ones of the input.
Prints JSON: `total` parameters; `dense`, the dense model's log-likelihoods in nats, summed over each request's targets; and
`methods`, for each the log-likelihoods of the `expert`, the number of `removed` parameters, and `seconds` of pruning.

`llm-pruner`: LLM-Pruner, arXiv 2305.11627, block-wise with its first-order Taylor scores (`param_first`: sum of
|weight · gradient| over a unit's three vectors), without its fine-tuning. Only FFN units, the same number from every layer,
as with the other methods of the comparison. `llm-pruner-middle` does not prune the first four and the last two layers, as in
the authors' experiments.
`slicegpt`: SliceGPT, arXiv 2401.15024: principal components of the residual stream before every sublayer, in sequence on the
sliced model's own stream. Instead of being rotated and sliced, the stream is projected onto the kept components, which gives
the same numbers. Parameters are counted as if the matrices were sliced, with the two that it needs on each layer's skips.
"""

import json
import math
import sys
import time
import types

import torch
from transformers import AutoModelForCausalLM

request = json.load(sys.stdin)
torch.set_grad_enabled(False)
documents = [torch.tensor([tokens]) for tokens in request["calibration"]]


def load():
    return AutoModelForCausalLM.from_pretrained(request["folder"], dtype=torch.float32, attn_implementation="sdpa").eval()


def log_likelihoods(model, requests):
    results = []
    known = (None, None)
    for asked in requests:
        tokens, targets = tuple(asked["input"]), torch.tensor(asked["targets"])
        if known[0] != tokens:
            known = (tokens, model.model(input_ids=torch.tensor([tokens]), use_cache=False).last_hidden_state[0])
        logits = model.lm_head(known[1][-len(targets) :])
        results.append(logits.log_softmax(-1).gather(1, targets.unsqueeze(1)).double().sum().item())
    return results


def cut_units(model, left_whole_first, left_whole_last):
    """Zeroes the FFN units of the smallest Taylor scores."""
    layers = model.model.layers
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    cut = layers[left_whole_first : len(layers) - left_whole_last]
    for layer in cut:
        layer.mlp.requires_grad_(True)
    with torch.enable_grad():
        for document in documents:
            # The gradient of the mean over all tokens, up to a factor that does not change the ranking.
            hidden = model.model(input_ids=document, use_cache=False).last_hidden_state[0, :-1]
            torch.nn.functional.cross_entropy(model.lm_head(hidden), document[0, 1:], reduction="sum").backward()
    removed = 0
    for place, layer in enumerate(cut):
        mlp = layer.mlp
        score = sum((m.weight * m.weight.grad).abs().sum(1) for m in (mlp.gate_proj, mlp.up_proj))
        score = score + (mlp.down_proj.weight * mlp.down_proj.weight.grad).abs().sum(0)
        count = request["removedUnits"] * (place + 1) // len(cut) - request["removedUnits"] * place // len(cut)
        mlp.down_proj.weight[:, score.argsort()[:count]] = 0
        removed += count * 3 * model.config.hidden_size
    return removed


def slice_stream(model):
    """Projects the residual stream before every sublayer onto its principal components."""
    config, layers = model.config, model.model.layers
    size = config.hidden_size
    blocks = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
    matrices = sum(parameter.numel() for layer in layers for parameter in layer.parameters() if parameter.dim() == 2)
    biases = sum(parameter.numel() for name, parameter in layers.named_parameters() if name.endswith("bias"))
    budget = (1 - request["share"]) * blocks
    per_dimension = matrices / size
    skips = 2 * len(layers)
    kept = int((math.sqrt(per_dimension**2 + 4 * skips * (budget - biases)) - per_dimension) / (2 * skips))

    streams = [model.model.embed_tokens(document)[0] for document in documents]

    def project(streams):
        """[D, D] projection onto the principal components; streams are projected in place."""
        covariance = torch.zeros(size, size, dtype=torch.float64)
        for stream in streams:
            wide = stream.double()
            covariance += wide.T @ wide
        components = torch.linalg.eigh(covariance).eigenvectors[:, -kept:]
        projection = (components @ components.T).float()
        for index, stream in enumerate(streams):
            streams[index] = stream @ projection
        return projection

    first = project(streams)
    positions = [model.model.rotary_emb(stream, torch.arange(len(stream)).unsqueeze(0)) for stream in streams]
    for layer in layers:
        for index, stream in enumerate(streams):
            normed = layer.input_layernorm(stream).unsqueeze(0)
            attended, _ = layer.self_attn(hidden_states=normed, position_embeddings=positions[index], attention_mask=None)
            streams[index] = stream + attended[0]
        middle = project(streams)
        for index, stream in enumerate(streams):
            streams[index] = stream + layer.mlp(layer.post_attention_layernorm(stream).unsqueeze(0))[0]
        last = project(streams)
        layer.forward = types.MethodType(sliced_layer(middle, last), layer)
    embed = model.model.embed_tokens.forward
    model.model.embed_tokens.forward = lambda tokens: embed(tokens) @ first

    vocabulary = config.vocab_size * size
    outputs = 0 if config.tie_word_embeddings else vocabulary
    # Embedding and head are multiplied by different matrices, so that a shared table becomes two. The norms' weights
    # are folded into the matrices after them.
    sliced = matrices * kept // size + skips * kept**2 + biases + 2 * config.vocab_size * kept
    return blocks + size + vocabulary + outputs - sliced


def sliced_layer(middle, last):
    def forward(self, hidden_states, **arguments):
        attended, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **arguments)
        hidden_states = (hidden_states + attended) @ middle
        return (hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))) @ last

    return forward


METHODS = {
    "llm-pruner": lambda model: cut_units(model, 0, 0),
    "llm-pruner-middle": lambda model: cut_units(model, 4, 2),
    "slicegpt": slice_stream,
}

dense = load()
answer = {"total": dense.num_parameters(), "dense": log_likelihoods(dense, request["denseRequests"]), "methods": {}}
del dense
for method in request["methods"]:
    cut = load()
    started = time.perf_counter()
    removed = METHODS[method](cut)
    seconds = time.perf_counter() - started
    answer["methods"][method] = {"removed": removed, "seconds": seconds, "expert": log_likelihoods(cut, request["requests"])}
print(json.dumps(answer))
