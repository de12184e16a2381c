/**
 * @file A small builder of ONNX graphs: inputs, weights and constants in, one node per call, serialized model out. All
 * values are f32 unless a type is given. Specification: onnx.ai, operators of opset 23 (RMSNormalization is its newest
 * here), and ONNX Runtime's own, `ContribOperators.md` of microsoft/onnxruntime.
 */

import {
  type Attributes,
  DATA_TYPES,
  type Dimension,
  type ExternalBytes,
  floatTensor,
  type GraphVersion,
  integerTensor,
  node,
  type NodeProto,
  renamingNode,
  serializeModel,
  type TensorProto,
  valueInfo,
  type ValueInfoProto,
  type ValueType,
  weightTensor,
} from "./onnx-messages.ts";

/** Newest operator set in use, for graphs that cusprun itself runs. */
const NEWEST: GraphVersion = { opset: 23, ir: 11 };

/** A value of a graph, by its name. */
export type Value = string & { readonly __brand: "onnx value" };

/** Builds one graph. Every method returns the output of its node. */
export class OnnxGraph {
  readonly #nodes: NodeProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  readonly #constants: TensorProto[] = [];
  readonly #constantNames = new Map<string, Value>();
  readonly #version: GraphVersion;

  /** @param version default: the newest that cusprun's own runtime supports. */
  constructor(version: GraphVersion = NEWEST) {
    this.#version = version;
  }

  /** Declares an input; a tensor of this name must be fed to every run. */
  input(name: string, shape: readonly Dimension[], type: ValueType = "f32"): Value {
    this.#inputs.push(valueInfo(name, shape, type));
    return name as Value;
  }

  /** Names a value as an output of the graph. */
  output(name: string, value: Value, shape: readonly Dimension[], type: ValueType = "f32"): void {
    this.#nodes.push(renamingNode(value, name));
    this.#outputs.push(valueInfo(name, shape, type));
  }

  /**
   * Adds a weight, little-endian and row-major: in the model itself, or in a file next to it. Nodes may name it before.
   */
  weight(name: string, shape: readonly number[], type: ValueType, content: Uint8Array<ArrayBuffer> | ExternalBytes): Value {
    this.#constants.push(weightTensor(name, shape, type, content));
    return name as Value;
  }

  /** An i64 constant, for shapes and axes. */
  integers(values: readonly number[]): Value {
    return this.#constant(`i:${values.join(",")}`, (name) => integerTensor(name, values, [values.length]));
  }

  /** An i64 scalar constant. */
  integer(value: number): Value {
    return this.#constant(`n:${value}`, (name) => integerTensor(name, [value], []));
  }

  /** An f32 constant of any shape. */
  floats(values: readonly number[], shape: readonly number[]): Value {
    return this.#constant(`f:${shape.join(",")}:${values.join(",")}`, (name) => floatTensor(name, values, shape));
  }

  /** An f32 scalar constant. */
  scalar(value: number): Value {
    return this.#constant(`s:${value}`, (name) => floatTensor(name, [value], []));
  }

  /** The value in another type. */
  cast(x: Value, type: ValueType): Value {
    return this.node("Cast", [x], { to: { int: DATA_TYPES[type] } });
  }

  /** A node with one output; null for an optional input that is left out. */
  node(opType: string, inputs: readonly (Value | null)[], attributes: Attributes = {}): Value {
    return this.nodes(opType, inputs, 1, attributes)[0]!;
  }

  /** A node with several outputs. */
  nodes(opType: string, inputs: readonly (Value | null)[], outputCount: number, attributes: Attributes = {}): Value[] {
    const outputs = Array.from({ length: outputCount }, (_, index) => `${opType}_${this.#nodes.length}_${index}` as Value);
    this.#nodes.push(node(opType, inputs, outputs, attributes));
    return outputs;
  }

  /** a + b, with broadcasting. */
  add(a: Value, b: Value): Value {
    return this.node("Add", [a, b]);
  }

  /** a − b, with broadcasting. */
  subtract(a: Value, b: Value): Value {
    return this.node("Sub", [a, b]);
  }

  /** a ∘ b, with broadcasting. */
  multiply(a: Value, b: Value): Value {
    return this.node("Mul", [a, b]);
  }

  /** Batched matrix product [..., M, I] · [..., I, N]. */
  matmul(a: Value, b: Value): Value {
    return this.node("MatMul", [a, b]);
  }

  /** x · Wᵀ + bias: [M, in] · [out, in]ᵀ → [M, out], W as checkpoints store it. */
  linear(x: Value, weight: Value, bias?: Value): Value {
    return this.node("Gemm", bias === undefined ? [x, weight] : [x, weight, bias], { transB: { int: 1 } });
  }

  /** Reshapes. At most one size may be -1, which is derived; 0 copies the input's size of that axis. */
  reshape(x: Value, shape: readonly number[]): Value {
    return this.node("Reshape", [x, this.integers(shape)]);
  }

  /** Reorders axes. */
  transpose(x: Value, axes: readonly number[]): Value {
    return this.node("Transpose", [x], { perm: { ints: axes } });
  }

  /** Joins values along an axis. */
  concat(values: readonly Value[], axis: number): Value {
    return this.node("Concat", values, { axis: { int: axis } });
  }

  /** Splits an axis into equal parts. */
  split(x: Value, axis: number, parts: number): Value[] {
    return this.nodes("Split", [x], parts, { axis: { int: axis }, num_outputs: { int: parts } });
  }

  /** Sum over axes, which are dropped unless `keep`. */
  sum(x: Value, axes: readonly number[], keep = false): Value {
    return this.node("ReduceSum", [x, this.integers(axes)], { keepdims: { int: keep ? 1 : 0 } });
  }

  /** Sum of squares over axes, which are dropped unless `keep`. */
  sumOfSquares(x: Value, axes: readonly number[], keep = false): Value {
    return this.node("ReduceSumSquare", [x, this.integers(axes)], { keepdims: { int: keep ? 1 : 0 } });
  }

  /** RMSNorm over the last axis: x / √(mean x² + ε) ∘ weight. */
  rmsNorm(x: Value, weight: Value, epsilon: number): Value {
    return this.node("RMSNormalization", [x, weight], { axis: { int: -1 }, epsilon: { float: epsilon } });
  }

  /** Softmax over the last axis. */
  softmax(x: Value): Value {
    return this.node("Softmax", [x], { axis: { int: -1 } });
  }

  /** GELU in its tanh approximation. */
  gelu(x: Value): Value {
    return this.node("Gelu", [x], { approximate: { text: "tanh" } });
  }

  /** The serialized model, without nodes that no output depends on: ONNX Runtime would compute them. */
  serialize(): Uint8Array<ArrayBuffer> {
    return serializeModel(this.#version, { ...this.#neededParts(), inputs: this.#inputs, outputs: this.#outputs });
  }

  /** Nodes and constants that outputs depend on. A node comes after those that it reads. */
  #neededParts(): { readonly nodes: NodeProto[]; readonly constants: TensorProto[] } {
    const needed = new Set(this.#outputs.map(({ name }) => name));
    const nodes = this.#nodes
      .toReversed()
      .filter(({ input, output }) => {
        const isNeeded = output.some((name) => needed.has(name));
        if (isNeeded) for (const name of input) needed.add(name);
        return isNeeded;
      })
      .toReversed();
    return { nodes, constants: this.#constants.filter(({ name }) => needed.has(name)) };
  }

  #constant(key: string, make: (name: string) => TensorProto): Value {
    let name = this.#constantNames.get(key);
    if (name === undefined) {
      name = `constant_${this.#constants.length}` as Value;
      this.#constantNames.set(key, name);
      this.#constants.push(make(name));
    }
    return name;
  }
}
