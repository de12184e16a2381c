"""Makes tests/fixtures/gguf/quantize.json: blocks of values, and their bytes from llama.cpp's own quantisers, with and
without importances of the columns.

    python tests/reference/make_quantize_goldens.py LIBRARY

LIBRARY is libggml-base of an installation of tests/reference/package.json
(node_modules/@node-llama-cpp/*/bins/*/libggml-base.so).
"""

import base64
import ctypes
import json
import sys
from pathlib import Path

import numpy as np

TYPES = {"Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
         "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210)}

library = ctypes.CDLL(sys.argv[1])
library.ggml_quantize_chunk.restype = ctypes.c_size_t
library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]

generator = np.random.default_rng(11)
normal = generator.standard_normal((24, 256))
blocks = [normal[i] * 10.0 ** (i % 8 - 5) for i in range(12)]
blocks += [abs(normal[12]), -abs(normal[13]), np.where(normal[14] > 1.5, 20 * normal[14], normal[14]),
           np.round(3 * normal[15]) / 8, normal[16] ** 3, np.full(256, 0.25), np.zeros(256), np.full(256, -1e-16),
           normal[20] * 1e-9, normal[21] * 1000,
           np.where(np.arange(256) // 32 % 2, 0, normal[22]), np.sign(normal[23])]
values = np.concatenate(blocks).astype(np.float32)
importance = generator.standard_normal(256).astype(np.float32) ** 2
importance[:3] = [0, 1000, 0]
importance[64:96] = 0
quantised, weighted = {}, {}
for name, (type_id, block_size, block_bytes) in TYPES.items():
    for results, weights in ((quantised, None), (weighted, importance.ctypes.data)):
        out = np.zeros(len(values) // block_size * block_bytes, dtype=np.uint8)
        library.ggml_quantize_chunk(type_id, values.ctypes.data, out.ctypes.data, 0, len(values) // 256, 256, weights)
        results[name] = base64.b64encode(out.tobytes()).decode()
golden = {"reference": "ggml_quantize_chunk of llama.cpp in node-llama-cpp 3.22.1, without and with an importance matrix",
          "values": base64.b64encode(values.tobytes()).decode(), "quantised": quantised,
          "importance": base64.b64encode(importance.tobytes()).decode(), "weighted": weighted}
path = Path(__file__).parent.parent / "fixtures/gguf/quantize.json"
path.write_text(json.dumps(golden, indent=1) + "\n")
