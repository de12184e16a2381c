/**
 * @file The weights of an exported ONNX model, read from the file itself and widened by plain loops that share no code
 * with cusprun's writer: the weights that the runtime should compute with. Layouts: ONNX' `onnx.proto`, and
 * `ContribOperators.md` of microsoft/onnxruntime.
 */

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema, TensorProto_DataLocation } from "onnx-buf";
import type { NodeProto, TensorProto } from "onnx-buf";
import type { ReferenceTensor } from "./reference-forward.ts";

const BLOCK = 32;

/** Matrices and vectors by name, [out, in]; those of 4 bits, 8 bits and binary16 are widened. */
export function readOnnxWeights(path: string, shapes: ReadonlyMap<string, readonly number[]>): Map<string, ReferenceTensor> {
  const graph = fromBinary(ModelProtoSchema, readFileSync(path)).graph!;
  const stored = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const products = new Map(
    graph.node.flatMap((node) => (node.opType === "MatMulNBits" ? [[node.input[1]!, node] as const] : [])),
  );
  const bytes = (name: string): Buffer => bytesOf(stored.get(name)!, dirname(path));
  const tensors = new Map<string, ReferenceTensor>();
  for (const [name, shape] of shapes) {
    const tensor = stored.get(name);
    if (tensor === undefined) continue;
    const size = shape.reduce((a, b) => a * b, 1);
    const rowLength = shape.at(-1)!;
    const blocks = Math.ceil(rowLength / BLOCK);
    // A tied head reads the embedding through a reshape.
    const bits = products.has(name) ? intAttribute(products.get(name)!, "bits") : 8;
    const halfBytes = (name_: string, at: number): number => (bytes(name_)[at >> 1]! >> (4 * (at & 1))) & 15;
    const raw = bytes(name);
    const scales = tensor.dataType === 2 ? bytes(`${name}.scales`) : raw;
    const value = (index: number): number => {
      if (tensor.dataType === 1) return raw.readFloatLE(4 * index);
      if (tensor.dataType === 10) return fromFloat16(raw.readUInt16LE(2 * index));
      const [row, column] = [Math.floor(index / rowLength), index % rowLength];
      const block = row * blocks + (column >> 5);
      const scale = fromFloat16(scales.readUInt16LE(2 * block));
      const at = row * blocks * BLOCK + column;
      if (bits === 8) return (raw[at]! - 128) * scale;
      const zeroAt = row * 2 * Math.ceil(blocks / 2) + (column >> 5);
      return (halfBytes(name, at) - halfBytes(`${name}.zero_points`, zeroAt)) * scale;
    };
    tensors.set(name, { shape, values: Float64Array.from({ length: size }, (_, index) => value(index)) });
  }
  return tensors;
}

function bytesOf(tensor: TensorProto, folder: string): Buffer {
  if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) return Buffer.from(tensor.rawData);
  const entry = (key: string): string => tensor.externalData.find((candidate) => candidate.key === key)!.value;
  const start = Number(entry("offset"));
  return readFileSync(join(folder, entry("location"))).subarray(start, start + Number(entry("length")));
}

function intAttribute(node: NodeProto, name: string): number {
  return Number(node.attribute.find((attribute) => attribute.name === name)!.i);
}

function fromFloat16(pattern: number): number {
  const sign = pattern & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(pattern >> 10) & 31, pattern & 1023];
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}
