"""Reads files with another project's reader: `second-reader.py safetensors|gguf`, one path a line on stdin.
Answers each with a line of JSON: {"refused": null} or {"refused": "why"}."""

import json
import sys
import warnings

warnings.simplefilter("ignore")


def read_safetensors(path):
    import safetensors

    with open(path, "rb") as file:
        safetensors.deserialize(file.read())


def read_gguf(path):
    import gguf

    reader = gguf.GGUFReader(path)
    for field in reader.fields.values():
        field.contents()
    for tensor in reader.tensors:
        tensor.data.shape


READERS = {"safetensors": read_safetensors, "gguf": read_gguf}
read = READERS[sys.argv[1]]
for line in sys.stdin:
    try:
        read(line.rstrip("\n"))
        refused = None
    except BaseException as error:  # Rust panics are no Exceptions.
        refused = f"{type(error).__name__}: {error}"[:300]
    print(json.dumps({"refused": refused}), flush=True)
