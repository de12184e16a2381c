"""Goldens of tests/float-convert.test.ts: SHA-256 of fixed patterns converted by numpy and torch.

usage: python tests/reference/make_float_goldens.py > tests/fixtures/float-goldens.json
"""

import hashlib
import json

import numpy as np
import torch


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def patterns() -> np.ndarray:
    """The f32 patterns to narrow; the test builds the same ones."""
    spread = (np.arange(1 << 20, dtype=np.uint64) * 2654435761 % (1 << 32)).astype(np.uint32)
    halves = np.arange(65536, dtype=np.uint16)
    parts = [spread]
    for wide in (halves.view(np.float16).astype(np.float32).view(np.uint32), halves.astype(np.uint32) << 16):
        for middle in (0, 0x1000, 0x8000):  # the value, and the ties above it: f16 (drops 13 bits) and bf16 (drops 16)
            for offset in (-1, 0, 1):
                parts.append(((wide.astype(np.int64) + middle + offset) % (1 << 32)).astype(np.uint32))
    # Ties between f16 subnormals: odd multiples of 2^-25, and their neighbours.
    ties = (np.arange(1025, dtype=np.float64) * 2.0**-25).astype(np.float32).view(np.uint32)
    for offset in (-1, 0, 1):
        parts.append(((ties.astype(np.int64) + offset) % (1 << 32)).astype(np.uint32))
    return np.concatenate(parts)


def main() -> None:
    halves = np.arange(65536, dtype=np.uint16)
    bits = patterns()
    values = bits.view(np.float32)
    numbers = values[~np.isnan(values)]
    with np.errstate(all="ignore"):
        narrow16 = values.astype(np.float16)
    narrow_bf16 = torch.from_numpy(numbers.copy()).to(torch.bfloat16).view(torch.int16).numpy()
    print(
        json.dumps(
            {
                "made_by": "tests/reference/make_float_goldens.py",
                "numpy": np.__version__,
                "torch": torch.__version__,
                "patterns": sha(bits),
                "pattern_count": len(bits),
                "widen_f16": sha(halves.view(np.float16).astype(np.float32)),
                "widen_bf16": sha(torch.from_numpy(halves.view(np.int16).copy()).view(torch.bfloat16).to(torch.float32).numpy()),
                "narrow_f16": sha(narrow16),
                "narrow_bf16_without_nan": sha(narrow_bf16),
            },
            indent=2,
        )
    )


main()
