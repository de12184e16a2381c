"""Goldens of tests/checkpoint/safetensors/read-write.test.ts, written by the Python package `safetensors`.

    golden.safetensors                 every supported dtype, some unsupported ones, a scalar, an empty tensor
    sharded/                           the same floats, sharded like save_pretrained of transformers (huggingface_hub)
    golden.json                        versions, and SHA-256 of every tensor's bytes and of its values as f32

usage: python tests/reference/make_safetensors_goldens.py [--check FILE...]
--check reads files written by cusprun and prints, as JSON, the contents that the Python package reads from each.
"""

import hashlib
import json
import pathlib
import sys

import huggingface_hub
import numpy
import safetensors
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "safetensors"
MAX_SHARD_BYTES = 500


def sha(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def describe(tensor: torch.Tensor) -> dict:
    found = {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "sha256": sha(tensor)}
    if tensor.dtype in (torch.float32, torch.float16, torch.bfloat16):
        found["float32_sha256"] = sha(tensor.to(torch.float32))
    return found


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    floats = {
        "a.bf16": torch.randn(5, 7, generator=generator).to(torch.bfloat16),
        "b.f16": torch.randn(3, 11, generator=generator).to(torch.float16),
        "c.f32": torch.randn(13, 9, generator=generator),
        "d.f32": torch.randn(6, 4, generator=generator),
        "ü.unicode": torch.randn(3, generator=generator),
    }
    others = {
        "e.scalar": torch.tensor(1.5),
        "f.empty": torch.zeros(0, 4),
        "g.i64": torch.arange(5),
        "h.bool": torch.tensor([True, False, True]),
        "i.u8": torch.arange(7, dtype=torch.uint8),
    }
    everything = floats | others
    safetensors.torch.save_file(everything, FOLDER / "golden.safetensors", metadata={"format": "pt", "note": 'say "hi"'})

    sharded = FOLDER / "sharded"
    sharded.mkdir(exist_ok=True)
    split = huggingface_hub.split_torch_state_dict_into_shards(
        floats, filename_pattern="model{suffix}.safetensors", max_shard_size=MAX_SHARD_BYTES
    )
    for name, keys in split.filename_to_tensors.items():
        safetensors.torch.save_file({key: floats[key] for key in keys}, sharded / name, metadata={"format": "pt"})
    index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    golden = {
        "made_by": "tests/reference/make_safetensors_goldens.py",
        "safetensors": safetensors.__version__,
        "huggingface_hub": huggingface_hub.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "max_shard_bytes": MAX_SHARD_BYTES,
        "tensors": {name: describe(tensor) for name, tensor in everything.items()},
        "sharded_names": list(floats),
        "sharded_files": split.filename_to_tensors,
    }
    (FOLDER / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")


def check(paths: list[str]) -> None:
    seen = {}
    for path in paths:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: describe(file.get_tensor(name)) for name in file.keys()}
            seen[pathlib.Path(path).name] = {"metadata": file.metadata(), "tensors": tensors}
    print(json.dumps(seen))


if sys.argv[1:2] == ["--check"]:
    check(sys.argv[2:])
else:
    main()
