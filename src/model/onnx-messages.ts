/**
 * @file The parts of an ONNX model as protobuf messages: tensors, nodes, inputs and outputs, and the model around them.
 * Specification: `onnx.proto` and `ExternalData.md` of onnx/onnx.
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

export type { NodeProto, TensorProto, ValueInfoProto } from "onnx-buf";

/** The versions that a runtime must support: of the operator set, and of the ONNX file format that it belongs to. */
export interface GraphVersion {
  readonly opset: number;
  readonly ir: number;
}

/** Operator set of ONNX Runtime's own operators, which has one version. */
const CONTRIB_DOMAIN = "com.microsoft";
/** Operators of that set. */
const CONTRIB_OPERATORS = new Set(["GroupQueryAttention", "RotaryEmbedding", "MatMulNBits", "GatherBlockQuantized"]);

/** Element type of a value. */
export type ValueType = "f32" | "f64" | "f16" | "i64" | "i32" | "u8";

/** Numbers of the element types in the format. */
export const DATA_TYPES: Readonly<Record<ValueType, TensorProto_DataType>> = {
  f32: TensorProto_DataType.FLOAT,
  f64: TensorProto_DataType.DOUBLE,
  f16: TensorProto_DataType.FLOAT16,
  i64: TensorProto_DataType.INT64,
  i32: TensorProto_DataType.INT32,
  u8: TensorProto_DataType.UINT8,
};

/** Where a weight's bytes are in a file next to the model. */
export interface ExternalBytes {
  /** Name of the file, in the model's own folder. */
  readonly location: string;
  readonly offsetBytes: number;
  readonly byteLength: number;
}

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

/** A tensor of weights, little-endian and row-major. */
export function weightTensor(
  name: string,
  shape: readonly number[],
  type: ValueType,
  content: Uint8Array<ArrayBuffer> | ExternalBytes,
): TensorProto {
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
  return tensor;
}

/** A constant of i64. @param shape `[]` for a scalar. */
export function integerTensor(name: string, values: readonly number[], shape: readonly number[]): TensorProto {
  const dims = shape.map(BigInt);
  return create(TensorProtoSchema, { name, dataType: TensorProto_DataType.INT64, dims, int64Data: values.map(BigInt) });
}

/** A constant of f32. @param shape `[]` for a scalar. */
export function floatTensor(name: string, values: readonly number[], shape: readonly number[]): TensorProto {
  const dims = shape.map(BigInt);
  return create(TensorProtoSchema, { name, dataType: TensorProto_DataType.FLOAT, dims, floatData: [...values] });
}

/** A node of the graph. @param inputs null for an optional input that is left out. */
export function node(
  opType: string,
  inputs: readonly (string | null)[],
  outputs: readonly string[],
  attributes: Attributes,
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    domain: CONTRIB_OPERATORS.has(opType) ? CONTRIB_DOMAIN : "",
    input: inputs.map((input) => input ?? ""),
    output: [...outputs],
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  });
}

/** A node that gives a value another name: that of an output. */
export function renamingNode(from: string, to: string): NodeProto {
  return create(NodeProtoSchema, { opType: "Identity", input: [from], output: [to] });
}

/** Name, shape and type of an input or output. */
export function valueInfo(name: string, shape: readonly Dimension[], type: ValueType): ValueInfoProto {
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
        value: create(TypeProto_TensorSchema, {
          elemType: DATA_TYPES[type],
          shape: create(TensorShapeProtoSchema, { dim }),
        }),
      },
    }),
  });
}

/** The serialized model. */
export function serializeModel(
  { opset, ir }: GraphVersion,
  graph: {
    readonly nodes: NodeProto[];
    readonly inputs: ValueInfoProto[];
    readonly outputs: ValueInfoProto[];
    readonly constants: TensorProto[];
  },
): Uint8Array<ArrayBuffer> {
  const usesContrib = graph.nodes.some(({ domain }) => domain === CONTRIB_DOMAIN);
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(ir),
    producerName: "cusprun",
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(opset) }),
      ...(usesContrib ? [create(OperatorSetIdProtoSchema, { domain: CONTRIB_DOMAIN, version: 1n })] : []),
    ],
    graph: create(GraphProtoSchema, {
      name: "cusprun",
      node: graph.nodes,
      input: graph.inputs,
      output: graph.outputs,
      initializer: graph.constants,
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

function attribute(name: string, value: Attribute): AttributeProto {
  const types = AttributeProto_AttributeType;
  if ("int" in value) return create(AttributeProtoSchema, { name, type: types.INT, i: BigInt(value.int) });
  if ("ints" in value) return create(AttributeProtoSchema, { name, type: types.INTS, ints: value.ints.map(BigInt) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: types.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: types.STRING, s: new TextEncoder().encode(value.text) });
}
