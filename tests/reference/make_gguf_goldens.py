"""Goldens of GGUF reading, by the `gguf` and `transformers` Python packages.

    python make_gguf_goldens.py ../fixtures/gguf [name=model.gguf ...]

Writes dequantize.json (blocks of every quantised type and their values) and, for each model given as smollm2=PATH,
qwen2=PATH or gemma3=PATH, NAME-values.json: SHA-256 of each tensor's f32 bytes as loaded by transformers, by name.
"""

import base64
import hashlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

SEED = 20260
# Byte offsets of the f16 scales in a block.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}
# 0, -0, smallest and largest subnormals, smallest normal, 1, largest, -largest.
SPECIAL_SCALES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF]
# Of tensors with more values, only the first rows are hashed.
MOST_VALUES = 2**26
FIRST_ROWS = 4096


def versions():
    return {"python": platform.python_version(), **{name: version(name) for name in ("numpy", "gguf", "torch", "transformers")}}


def write_json(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n")


def random_blocks(kind, rng):
    """Random bytes, with finite scales; then the blocks with special scales; then the bytes 0 to 255 in turn."""
    block_values, block_bytes = GGML_QUANT_SIZES[kind]
    count = 12 if block_values == 256 else 48
    blocks = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    for row, block in enumerate(blocks):
        if row >= count - 3:
            block[:] = (np.arange(block_bytes) + row * block_bytes) % 256
        for place, at in enumerate(SCALES[kind]):
            if row < len(SPECIAL_SCALES):
                scale = SPECIAL_SCALES[(row + 4 * place) % len(SPECIAL_SCALES)]
            else:
                scale = int(rng.integers(0, 0x7C00)) | int(rng.integers(0, 2)) << 15
            block[at : at + 2] = np.array([scale], dtype="<u2").view(np.uint8)
    return blocks


def write_blocks(path):
    rng = np.random.default_rng(SEED)
    types = {}
    for kind in SCALES:
        blocks = random_blocks(kind, rng)
        values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
        assert np.isfinite(values).all(), kind
        types[kind.name] = {
            "blocks": base64.b64encode(blocks.tobytes()).decode(),
            "values": base64.b64encode(values.tobytes()).decode(),
        }
    write_json(path, {"versions": versions(), "seed": SEED, "types": types})


def write_model_hashes(path, file):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(os.path.dirname(file), gguf_file=os.path.basename(file), dtype=torch.float32)
    tied = model.config.tie_word_embeddings
    tensors = {}
    for key, tensor in model.state_dict().items():
        if tied and key == "lm_head.weight":
            continue
        rows = None if tensor.numel() <= MOST_VALUES else FIRST_ROWS
        data = tensor[:rows].contiguous().numpy().astype("<f4", copy=False).tobytes()
        entry = {"shape": list(tensor.shape), "sha256": hashlib.sha256(data).hexdigest()}
        tensors[key] = entry if rows is None else {**entry, "rows": rows}
    write_json(path, {"versions": versions(), "file": os.path.basename(file), "tied": tied, "tensors": tensors})


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_blocks(folder / "dequantize.json")
    for argument in sys.argv[2:]:
        name, _, file = argument.partition("=")
        write_model_hashes(folder / f"{name}-values.json", os.path.abspath(file))


if __name__ == "__main__":
    main()
