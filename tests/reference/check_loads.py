"""Loads a folder in stock transformers and prints the logits of given token ids.

    python tests/reference/check_loads.py FOLDER 1,5,7

AutoModelForCausalLM and AutoTokenizer must load it with no missing, unexpected or mismatched keys. The arithmetic is float32; `dtype`
is what config.json names. Prints one line of JSON: {"transformers", "dtype", "config_class", "vocab", "logits": [[...], ...]}.
"""

import json
import sys

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    folder, ids = sys.argv[1], [int(part) for part in sys.argv[2].split(",")]
    # In f32 from the start: loaded in bfloat16, Gemma's embedding scale would be rounded too.
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not info.get(kind), f"{folder}: {kind}: {info[kind]}"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = str(AutoConfig.from_pretrained(folder).dtype).removeprefix("torch.")
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    print(
        json.dumps(
            {
                "transformers": transformers.__version__,
                "dtype": dtype,
                "config_class": type(model.config).__name__,
                "vocab": len(tokenizer),
                "logits": logits.tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
