"""llama.cpp's own quantisation of a GGUF file, through its library, as the reference for ours.

    python bench/llama_quantize.py FOLDER_WITH_LIBLLAMA INPUT OUTPUT FTYPE

FTYPE is a number of `llama_ftype` (15: Q4_K_M). One thread, no importance matrix.
"""

import ctypes
import sys
from pathlib import Path


class Params(ctypes.Structure):
    """The first fields of `llama_model_quantize_params`; the rest keeps llama.cpp's defaults."""

    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("rest", ctypes.c_uint8 * 248)]


def find(folder: Path, name: str) -> Path:
    """`libllama.so`, or `libllama.v0.5.0.so`."""
    return sorted([*folder.glob(f"{name}.so"), *folder.glob(f"{name}.v*.so")])[0]


def main() -> None:
    folder, source, target, ftype = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    library = ctypes.CDLL(str(find(folder, "libllama")), mode=ctypes.RTLD_GLOBAL)
    library.llama_backend_init()
    # The code for the CPU is a separate library in the same folder, loaded by the folder's path.
    ggml = ctypes.CDLL(str(find(folder, "libggml")))
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    library.llama_model_quantize_default_params.restype = Params
    params = library.llama_model_quantize_default_params()
    params.nthread, params.ftype = 1, ftype
    library.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    library.llama_model_quantize.restype = ctypes.c_uint32
    if library.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
        raise SystemExit("llama_model_quantize failed")


if __name__ == "__main__":
    main()
