/**
 * @file A small builder of ONNX graphs: inputs, weights and constants in, one node per call, serialised model out.
 * All values are f32 unless said. Specification: onnx.ai, operators of opset 23 (RMSNormalization is its newest here), and ONNX Runtime's
 * own, `ContribOperators.md` of microsoft/onnxruntime.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import type { AttributeProto, NodeProto, TensorProto, ValueInfoProto } from "onnx-buf";

/** Which runtimes read a graph: its operator set, and the ONNX file format that goes with it. */
export interface GraphVersion {
  readonly opset: number;
  readonly ir: number;
}

/** Newest operator set in use, for graphs that the runtime beside cusprun computes. */
const NEWEST: GraphVersion = { opset: 23, ir: 11 };

/** Operator set of ONNX Runtime's own operators, which has one version. */
const CONTRIB_DOMAIN = "com.microsoft";
/** Operators of that set. */
const CONTRIB_OPERATORS = new Set(["GroupQueryAttention", "RotaryEmbedding", "MatMulNBits", "GatherBlockQuantized"]);

/** Element type of a value. */
export type ValueType = "f32" | "f64" | "f16" | "i64" | "i32" | "u8";

const DATA_TYPES: Readonly<Record<ValueType, TensorProto_DataType>> = {
  f32: TensorProto_DataType.FLOAT,
  f64: TensorProto_DataType.DOUBLE,
  f16: TensorProto_DataType.FLOAT16,
  i64: TensorProto_DataType.INT64,
  i32: TensorProto_DataType.INT32,
  u8: TensorProto_DataType.UINT8,
};

/** Where a weight's bytes are in a file beside the model. */
export interface ExternalBytes {
  /** Name of the file, in the model's own folder. */
  readonly location: string;
  readonly offsetBytes: number;
  readonly byteLength: number;
}

/** A value of a graph, by its name. */
export type Value = string & { readonly __brand: "onnx value" };

/** A size that is fixed, or the name of one that every run chooses. */
export type Dimension = number | string;

/** An attribute of a node; its type is named, since `1` may be an integer or a float. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string };

/** Attributes of a node, by name. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** Builds one graph. Every method returns the value that its node makes. */
export class OnnxGraph {
  readonly #nodes: NodeProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  readonly #constants: TensorProto[] = [];
  readonly #constantNames = new Map<string, Value>();
  readonly #version: GraphVersion;

  /** @param version default: the newest that cusprun's own runtime takes. */
  constructor(version: GraphVersion = NEWEST) {
    this.#version = version;
  }

  /** Declares an input; a tensor of this name must be fed to every run. */
  input(name: string, shape: readonly Dimension[], type: ValueType = "f32"): Value {
    this.#inputs.push(valueInfo(name, shape, DATA_TYPES[type]));
    return name as Value;
  }

  /** Names a value as an output of the graph. */
  output(name: string, value: Value, shape: readonly Dimension[], type: ValueType = "f32"): void {
    this.#nodes.push(create(NodeProtoSchema, { opType: "Identity", input: [value], output: [name] }));
    this.#outputs.push(valueInfo(name, shape, DATA_TYPES[type]));
  }

  /** Gives a weight its content, little-endian and row-major: in the model itself, or in a file beside it. Nodes may name it before. */
  weight(name: string, shape: readonly number[], type: ValueType, content: Uint8Array<ArrayBuffer> | ExternalBytes): Value {
    const tensor = create(TensorProtoSchema, { name, dataType: DATA_TYPES[type], dims: shape.map(BigInt) });
    if (content instanceof Uint8Array) tensor.rawData = content;
    else {
      const { location, offsetBytes, byteLength } = content;
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      const entries = { location, offset: offsetBytes, length: byteLength };
      tensor.externalData = Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value: String(value) }),
      );
    }
    this.#constants.push(tensor);
    return name as Value;
  }

  /** An i64 constant, for shapes and axes. */
  integers(values: readonly number[]): Value {
    return this.#constant(`i:${values.join(",")}`, (name) =>
      create(TensorProtoSchema, {
        name,
        dataType: TensorProto_DataType.INT64,
        dims: [BigInt(values.length)],
        int64Data: values.map(BigInt),
      }),
    );
  }

  /** An i64 scalar constant. */
  integer(value: number): Value {
    return this.#constant(`n:${value}`, (name) =>
      create(TensorProtoSchema, { name, dataType: TensorProto_DataType.INT64, dims: [], int64Data: [BigInt(value)] }),
    );
  }

  /** An f32 constant of any shape. */
  floats(values: readonly number[], shape: readonly number[]): Value {
    const dims = shape.map(BigInt);
    return this.#constant(`f:${shape.join(",")}:${values.join(",")}`, (name) =>
      create(TensorProtoSchema, { name, dataType: TensorProto_DataType.FLOAT, dims, floatData: [...values] }),
    );
  }

  /** An f32 scalar constant. */
  scalar(value: number): Value {
    return this.#constant(`s:${value}`, (name) =>
      create(TensorProtoSchema, { name, dataType: TensorProto_DataType.FLOAT, dims: [], floatData: [value] }),
    );
  }

  /** The value in another type. */
  cast(x: Value, type: ValueType): Value {
    return this.node("Cast", [x], { to: { int: DATA_TYPES[type] } });
  }

  /** A node with one output; null stands for an optional input that is left out. */
  node(opType: string, inputs: readonly (Value | null)[], attributes: Attributes = {}): Value {
    return this.nodes(opType, inputs, 1, attributes)[0]!;
  }

  /** A node with several outputs. */
  nodes(opType: string, inputs: readonly (Value | null)[], outputCount: number, attributes: Attributes = {}): Value[] {
    const outputs = Array.from({ length: outputCount }, (_, index) => `${opType}_${this.#nodes.length}_${index}` as Value);
    this.#nodes.push(
      create(NodeProtoSchema, {
        opType,
        domain: CONTRIB_OPERATORS.has(opType) ? CONTRIB_DOMAIN : "",
        input: inputs.map((input) => input ?? ""),
        output: outputs,
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      }),
    );
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

  /** x · Wᵀ + bias: [M, in] · [out, in]ᵀ → [M, out], the checkpoint's own orientation. */
  linear(x: Value, weight: Value, bias?: Value): Value {
    return this.node("Gemm", bias === undefined ? [x, weight] : [x, weight, bias], { transB: { int: 1 } });
  }

  /** Reshape to a shape that is known but for at most one -1; 0 copies the input's size at that place. */
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

  /** The serialised model, without what no output is made from: ONNX Runtime would compute it. */
  serialize(): Uint8Array<ArrayBuffer> {
    const { opset, ir } = this.#version;
    const { nodes, constants } = this.#neededParts();
    const usesContrib = nodes.some(({ domain }) => domain === CONTRIB_DOMAIN);
    const model = create(ModelProtoSchema, {
      irVersion: BigInt(ir),
      producerName: "cusprun",
      opsetImport: [
        create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(opset) }),
        ...(usesContrib ? [create(OperatorSetIdProtoSchema, { domain: CONTRIB_DOMAIN, version: 1n })] : []),
      ],
      graph: create(GraphProtoSchema, {
        name: "cusprun",
        node: nodes,
        input: this.#inputs,
        output: this.#outputs,
        initializer: constants,
      }),
    });
    return toBinary(ModelProtoSchema, model);
  }

  /** Nodes and constants that outputs are made from. A node stands behind those that it reads. */
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

function attribute(name: string, value: Attribute): AttributeProto {
  const types = AttributeProto_AttributeType;
  if ("int" in value) return create(AttributeProtoSchema, { name, type: types.INT, i: BigInt(value.int) });
  if ("ints" in value) return create(AttributeProtoSchema, { name, type: types.INTS, ints: value.ints.map(BigInt) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: types.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: types.STRING, s: new TextEncoder().encode(value.text) });
}

function valueInfo(name: string, shape: readonly Dimension[], elemType: TensorProto_DataType): ValueInfoProto {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: typeof size === "number" ? { case: "dimValue", value: BigInt(size) } : { case: "dimParam", value: size },
    }),
  );
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, { elemType, shape: create(TensorShapeProtoSchema, { dim }) }),
      },
    }),
  });
}
