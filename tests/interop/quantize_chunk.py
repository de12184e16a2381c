"""Quantises with llama.cpp's own quantiser: `ggml_quantize_chunk` of libggml-base.

    python tests/interop/quantize_chunk.py LIBRARY FOLDER

FOLDER/requests.json is a list of {"type": id, "rows", "columns", "values", "importance" or null, "out", "bytes"}: names of
files of little-endian f32, and the name and the size of the output file. Prints the number of requests as JSON.
"""

import ctypes
import json
import sys
from pathlib import Path

library = ctypes.CDLL(sys.argv[1])
library.ggml_quantize_chunk.restype = ctypes.c_size_t
library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p] + [ctypes.c_int64] * 3 + [ctypes.c_char_p]
folder = Path(sys.argv[2])
requests = json.loads((folder / "requests.json").read_text())
for request in requests:
    values = (folder / request["values"]).read_bytes()
    importance = None if request["importance"] is None else (folder / request["importance"]).read_bytes()
    out = ctypes.create_string_buffer(request["bytes"])
    written = library.ggml_quantize_chunk(request["type"], values, out, 0, request["rows"], request["columns"], importance)
    assert written == request["bytes"]
    (folder / request["out"]).write_bytes(out.raw)
print(json.dumps({"requests": len(requests)}))
