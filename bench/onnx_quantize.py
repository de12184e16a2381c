"""ONNX Runtime's own quantisation to 4 bits in a model of ours, as the reference for ours.

    python bench/onnx_quantize.py FLOAT.onnx QUANTISED.onnx OUT.onnx

FLOAT holds the weights in f32, QUANTISED the same weights in 4 bits. Every quantised matrix of the second is replaced by a
quantisation of its weights in the first with `quantize_matmul_4bits`, the function behind `MatMulNBitsQuantizer`; everything
else is copied. Needs onnx and onnxruntime.
"""

import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits

BLOCK = 32
SCALES, ZERO_POINTS = ".scales", ".zero_points"


def main() -> None:
    source, target, out = sys.argv[1:]
    floats = {weight.name: weight for weight in onnx.load(source).graph.initializer}
    model = onnx.load(target)
    weights = {weight.name: weight for weight in model.graph.initializer}
    for name in [name.removesuffix(ZERO_POINTS) for name in weights if name.endswith(ZERO_POINTS)]:
        matrix = numpy_helper.to_array(floats[name]).astype(np.float32)
        rows, columns = matrix.shape
        blocks = -(-columns // BLOCK)
        quants = np.zeros((rows, blocks, BLOCK // 2), np.uint8)
        scales = np.zeros(rows * blocks, np.float32)
        zero_points = np.zeros(rows * -(-blocks // 2), np.uint8)
        quantize_matmul_4bits(quants, np.ascontiguousarray(matrix.T), scales, zero_points, BLOCK, rows, columns, False)
        for part, values in (("", quants), (SCALES, scales.astype(np.float16)), (ZERO_POINTS, zero_points)):
            weight = weights[name + part]
            weight.CopyFrom(numpy_helper.from_array(values.reshape(list(weight.dims)), weight.name))
    onnx.save(model, out)


if __name__ == "__main__":
    main()
