"""Prints the sizes of each layer as vLLM's DeciLMForCausalLM reads them from a folder's config.

    python tests/reference/check_blocks.py FOLDER

Prints {"qkv_bias": …, "blocks": [[query heads per KV group, FFN width], …]}, or {"error": reason}.
"""

import json
import sys

from transformers import AutoConfig


def main() -> None:
    config = AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True)
    try:
        blocks = [[block.attention.n_heads_in_group, block.ffn.intermediate_size] for block in config.block_configs]
        assert not any(block.attention.no_op or block.ffn.no_op for block in config.block_configs)
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
        return
    print(json.dumps({"qkv_bias": getattr(config, "qkv_bias", None), "blocks": blocks}))


if __name__ == "__main__":
    main()
