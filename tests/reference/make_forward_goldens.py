"""Makes the goldens of the forward pass with transformers in f32.

usage: make_forward_goldens.py tiny            five tiny random models and their hidden states and logits
       make_forward_goldens.py real MODELS     the real models in the folder MODELS (GGUF files), token ids from
                                               tests/fixtures/real/tokens.json: starts of documents of MedQuAD (CC BY
                                               4.0), LawRefBook/Laws and bundestag/gesetze (official works)
Writes tests/fixtures/tiny/<family>/ and tests/fixtures/real/<model>.safetensors. Versions are in each file's metadata.
"""

import json
import shutil
import sys
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures"
VERSIONS = {name: module.__version__ for name, module in
            {"torch": torch, "transformers": transformers, "safetensors": safetensors}.items()}
# Every VOCABULARY_STRIDE-th logit of a real model is kept: all of them would be 100 MB.
VOCABULARY_STRIDE = 397
REAL_FILES = {
    "smollm2": "smollm2-135m-instruct-q4_1.gguf",
    "qwen2": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "gemma3": "gemma-3-270m-q4_k_m.gguf",
}

COMMON = dict(vocab_size=96, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6,
              num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=None)
TINY = {
    # RoPE scaling with a short original context, so that all three ranges of the llama3 formula occur.
    "llama": dict(head_dim=8, attention_bias=True, tie_word_embeddings=False, rope_parameters=dict(
        rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=64)),
    # head_dim differs from hidden_size / num_attention_heads, as in Mistral-Nemo; the window is shorter than the
    # longest document.
    "mistral": dict(head_dim=12, sliding_window=9, tie_word_embeddings=False),
    "qwen2": dict(tie_word_embeddings=True),
    "qwen3": dict(head_dim=16, tie_word_embeddings=True),
    "gemma3_text": dict(head_dim=16, sliding_window=9, query_pre_attn_scalar=24, num_hidden_layers=7, tie_word_embeddings=True),
}
DOCUMENT_LENGTHS = [37, 12, 23]
# Gemma's layer 5 has full attention.
RELEVANCE_LAYERS = {"llama": [1], "mistral": [1], "qwen2": [1], "qwen3": [1], "gemma3_text": [1, 5]}


def outputs(model, tokens):
    with torch.no_grad():
        result = model(torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
    return [state[0] for state in result.hidden_states], result.logits[0].float()


def losses(logits, tokens):
    return torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(tokens[1:]), reduction="none")


def scaling_hook(model_slice, factor):
    """Multiplies a slice of a module's output [..., n] or [B, T, heads, K]."""
    def hook(_module, _inputs, output):
        output = output.clone()
        output[model_slice] *= factor
        return output
    return hook


def relevances(model, layer, tokens):
    """By brute force, in f64: runs the block again on the same input, with each unit removed.

    For the units of the attention map also the first-order change: the derivative of the map by the unit's factor.
    """
    config = model.config
    H, G, K, F = (config.num_attention_heads, config.num_key_value_heads,
                  getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads, config.intermediate_size)
    R = H // G
    block = model.model.layers[layer]
    attention, mlp = block.self_attn, block.mlp
    seen = {}

    def record(name):
        return lambda _module, args, kwargs, output: seen.__setitem__(name, (args, kwargs, output))

    handles = [attention.register_forward_hook(record("attention"), with_kwargs=True),
               mlp.register_forward_hook(record("mlp"), with_kwargs=True),
               block.register_forward_hook(record("block"), with_kwargs=True)]
    with torch.no_grad():
        model(torch.tensor([tokens]), use_cache=False)
        for handle in handles:
            handle.remove()

        def run(name, hooks=()):
            args, kwargs, _ = seen[name]
            module = attention if name == "attention" else mlp
            handles = [m.register_forward_hook(scaling_hook(where, factor)) for m, where, factor in hooks]
            result = module(*args, **kwargs)
            for handle in handles:
                handle.remove()
            return result

        def frozen_norm(norm, output):
            """A post norm with the denominator of the unpruned output; identity if the family has none."""
            if norm is None:
                return lambda delta: delta
            rms = torch.sqrt(output.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps)
            return lambda delta: delta / rms * (1 + norm.weight)

        has_post = hasattr(block, "post_feedforward_layernorm")
        out, maps = run("attention")
        ffn = run("mlp")
        attention_norm = frozen_norm(block.post_attention_layernorm if has_post else None, out)
        ffn_norm = frozen_norm(block.post_feedforward_layernorm if has_post else None, ffn)

        def without_columns(linear, columns, name, norm, whole):
            weight = linear.weight.data
            kept = weight[:, columns].clone()
            weight[:, columns] = 0
            result = run(name)
            weight[:, columns] = kept
            return norm(whole - (result[0] if name == "attention" else result)).norm()

        head_columns = lambda h: list(range(h * K, (h + 1) * K))
        o = attention.o_proj
        attn = lambda columns: without_columns(o, columns, "attention", attention_norm, out)
        result = {
            "ffn": [without_columns(mlp.down_proj, [j], "mlp", ffn_norm, ffn) for j in range(F)],
            "head": [attn(head_columns(h)) for h in range(H)],
            "kv-group": [attn([c for r in range(R) for c in head_columns(g * R + r)]) for g in range(G)],
            "o-column": [attn([c]) for c in range(H * K)],
            "value-dim": [attention_norm(out - run("attention", [(attention.v_proj, (..., i), 0.0)])[0]).norm()
                          for i in range(G * K)],
        }
        # Rows of q and k are removed after the query and key norms, if the family has them.
        normed = hasattr(attention, "q_norm")
        q, k = (attention.q_norm, attention.k_norm) if normed else (attention.q_proj, attention.k_proj)
        # The norm's input is [B, T, heads, K] or [B, heads, T, K], depending on family and version.
        heads_axis = None
        if normed:
            shapes = {}
            handle = q.register_forward_hook(lambda _m, _i, output: shapes.__setitem__("q", output.shape))
            run("attention")
            handle.remove()
            heads_axis = 1 if shapes["q"][1] == H and shapes["q"][2] == len(tokens) else 2

        def place(head, dim):
            if not normed:
                return (..., head * K + dim)
            return (slice(None), head, slice(None), dim) if heads_axis == 1 else (slice(None), slice(None), head, dim)

        def pair(g, p, factor):
            return [(q, place(g * R + r, d), factor) for r in range(R) for d in (p, p + K // 2)]

        units = {
            "rotary-pair": [lambda f, g=g, p=p: pair(g, p, f) for g in range(G) for p in range(K // 2)],
            "q-row": [lambda f, h=h, d=d: [(q, place(h, d), f)] for h in range(H) for d in range(K)],
            "k-row": [lambda f, g=g, d=d: [(k, place(g, d), f)] for g in range(G) for d in range(K)],
        }
        epsilon = 1e-4
        for kind, makers in units.items():
            result[kind] = [(maps - run("attention", make(1 - epsilon))[1]).norm() / epsilon for make in makers]
            result[f"{kind}.exact"] = [(maps - run("attention", make(0.0))[1]).norm() for make in makers]
        block_output = seen["block"][2]
        block_output = block_output[0] if isinstance(block_output, tuple) else block_output
        block_input = seen["block"][0][0]
        attention_part = block.post_attention_layernorm(out) if has_post else out
        result["reference.ffn"] = [block_output.norm()]
        result["reference.attention"] = [(block_input + attention_part).norm()]
        result["reference.attention-map"] = [maps.norm()]
    return {name: torch.stack([v.double() for v in values]).float() for name, values in result.items()}


def make_tiny():
    for model_type, sizes in TINY.items():
        torch.manual_seed(20)
        config = transformers.AutoConfig.for_model(model_type, **{**COMMON, **sizes})
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for name, parameter in model.named_parameters():
            # Larger than in a trained model, so that every part of the block affects the logits.
            torch.nn.init.normal_(parameter, 1.0 if "norm" in name and "gemma" not in model_type else 0.0,
                                  0.3 if parameter.dim() == 1 else 0.15)
        folder = FIXTURES / "tiny" / model_type
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        tensors = {}
        generator = torch.Generator().manual_seed(7)
        for index, length in enumerate(DOCUMENT_LENGTHS):
            tokens = torch.randint(3, COMMON["vocab_size"], (length,), generator=generator).tolist()
            states, logits = outputs(model, tokens)
            tensors[f"{index}.tokens"] = torch.tensor(tokens, dtype=torch.float32)
            # The last hidden state of transformers is already normalised and is omitted.
            for layer, state in enumerate(states[:-1]):
                tensors[f"{index}.hidden.{layer}"] = state.contiguous()
            tensors[f"{index}.logits"] = logits.contiguous()
            tensors[f"{index}.losses"] = losses(logits, tokens).float()
        double = model.double()
        for layer in RELEVANCE_LAYERS[model_type]:
            for index in range(len(DOCUMENT_LENGTHS)):
                tokens = [int(t) for t in tensors[f"{index}.tokens"]]
                for name, values in relevances(double, layer, tokens).items():
                    tensors[f"{index}.relevance.{layer}.{name}"] = values
        save_file(tensors, folder / "goldens.safetensors", metadata=VERSIONS)
        print(model_type, sum(p.numel() for p in model.parameters()), "parameters")


def make_real(models):
    all_tokens = json.loads((FIXTURES / "real" / "tokens.json").read_text())
    for name, documents in all_tokens.items():
        model = AutoModelForCausalLM.from_pretrained(models, gguf_file=REAL_FILES[name], dtype=torch.float32,
                                                     attn_implementation="eager").eval()
        tensors = {}
        for index, tokens in enumerate(documents):
            states, logits = outputs(model, tokens)
            kept = list(range(0, len(states) - 1, 6))
            for layer in kept:
                tensors[f"{index}.hidden.{layer}"] = states[layer][-4:].contiguous()
            tensors[f"{index}.logits"] = logits[-48:, ::VOCABULARY_STRIDE].contiguous()
            tensors[f"{index}.losses"] = losses(logits, tokens).float()
        save_file(tensors, FIXTURES / "real" / f"{name}.safetensors",
                  metadata={**VERSIONS, "vocabularyStride": str(VOCABULARY_STRIDE), "file": REAL_FILES[name]})
        perplexities = [round(float(tensors[f"{i}.losses"].mean().exp()), 3) for i in range(len(documents))]
        print(name, "perplexity per document", perplexities)


if __name__ == "__main__":
    if sys.argv[1:] == ["tiny"]:
        make_tiny()
    elif len(sys.argv) == 3 and sys.argv[1] == "real":
        make_real(sys.argv[2])
    else:
        sys.exit(__doc__)
