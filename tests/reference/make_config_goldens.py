"""Goldens of tests/checkpoint/config/hf-config.test.ts: the config.json files in tests/fixtures/configs, read
by transformers.

For each: the number of parameters of the model (on the meta device, without weights), the numbers that determine the
computation, and the config as this version of transformers writes it, which must read the same.

usage: python tests/reference/make_config_goldens.py > tests/fixtures/config-goldens.json
"""

import json
import logging
import pathlib

import torch
import transformers

logging.disable(logging.WARNING)
CONFIGS = pathlib.Path(__file__).parent.parent / "fixtures" / "configs"


def describe(path: pathlib.Path) -> dict:
    config = transformers.AutoConfig.from_pretrained(path)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    attention = model.model.layers[0].self_attn
    embed_scale = getattr(model.model.embed_tokens, "scalar_embed_scale", 1.0)
    rotary = model.model.rotary_emb
    kinds = config.layer_types if getattr(config, "layer_types", None) else None
    return {
        "parameters": sum({id(p): p.numel() for p in model.parameters()}.values()),
        "tensors": {
            name: list(p.shape)
            for name, p in model.named_parameters()
            if ".layers." not in name or ".layers.0." in name
        },
        "layer_types": kinds,
        "sliding_window": getattr(config, "sliding_window", None),
        "head_dim": attention.head_dim,
        "num_key_value_heads": config.num_key_value_heads,
        "attention_scale": attention.scaling,
        "embedding_scale": embed_scale,
        "tie_word_embeddings": config.tie_word_embeddings,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_parameters": config.rope_parameters,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "as_written": json.loads(config.to_json_string(use_diff=True)),
        "rotary_type": type(rotary).__name__,
    }


print(
    json.dumps(
        {
            "made_by": "tests/reference/make_config_goldens.py",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "configs": {path.stem: describe(path) for path in sorted(CONFIGS.glob("*.json"))},
        },
        indent=1,
    )
)
