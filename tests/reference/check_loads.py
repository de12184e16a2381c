"""Loads a folder in stock transformers and prints the logits of given token ids.

    python tests/reference/check_loads.py FOLDER 1,5,7 [trust]

AutoModelForCausalLM and AutoTokenizer must load it without missing, unexpected or mismatched keys; `trust` allows the
folder's own code to run. The arithmetic is float32; `dtype` is that of config.json; `greedy` are the next ids, generated
with the KV cache and the default attention of transformers. Prints one line of JSON:
{"transformers", "dtype", "config_class", "vocab", "logits": [[...], ...], "greedy": [...]}.
"""

import json
import sys

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    folder, ids = sys.argv[1], [int(part) for part in sys.argv[2].split(",")]
    trust = "trust" in sys.argv[3:]
    # Loaded in f32: in bfloat16, Gemma's embedding scale would be rounded too.
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, trust_remote_code=trust
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(kind), f"{folder}: {kind}: {info[kind]}"
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    dtype = str(AutoConfig.from_pretrained(folder, trust_remote_code=trust).dtype).removeprefix("torch.")
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
        model.set_attn_implementation("sdpa")
        prompt = torch.tensor([ids])
        generated = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
    print(
        json.dumps(
            {
                "transformers": transformers.__version__,
                "dtype": dtype,
                "config_class": type(model.config).__name__,
                "vocab": len(tokenizer),
                "logits": logits.tolist(),
                "greedy": generated[0, len(ids) :].tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
