"""Dequantises every tensor of a GGUF file with the `gguf` package and prints the seconds, for bench/reading.mjs."""

import sys
import time

from gguf import GGUFReader
from gguf.quants import dequantize

reader = GGUFReader(sys.argv[1])
started = time.perf_counter()
for tensor in reader.tensors:
    dequantize(tensor.data, tensor.tensor_type)
print(time.perf_counter() - started)
