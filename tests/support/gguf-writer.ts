/**
 * @file Writes small GGUF files, valid and invalid: every number of the header can be set to a wrong value.
 */

import type { GgufValueType } from "../../src/checkpoint/gguf/values.ts";
import { GGUF_VALUE_TYPES } from "../../src/checkpoint/gguf/values.ts";
import type { TinyModel } from "./tiny-models.ts";

/** A value with its type. Arrays are `["array", elementType, values]`. */
export type TypedValue =
  | readonly [type: Exclude<GgufValueType, "array">, value: string | number | bigint | boolean]
  | readonly [type: "array", elementType: GgufValueType, values: readonly (string | number | bigint | boolean)[]];

/** A tensor to write. */
export interface WrittenTensor {
  readonly name: string;
  /** GGML's order: the row length first. */
  readonly sizes: readonly (number | bigint)[];
  readonly typeId: number;
  readonly bytes: Uint8Array;
  /** Replaces the correct offset. */
  readonly offset?: number | bigint;
}

/** A file to write, and the wrong values of its header. */
export interface WrittenGguf {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata: readonly (readonly [key: string, value: TypedValue])[];
  readonly tensors: readonly WrittenTensor[];
  readonly alignment?: number;
  readonly tensorCount?: number | bigint;
  readonly pairCount?: number | bigint;
}

/** Collects little-endian bytes. */
export class ByteWriter {
  readonly #parts: Buffer[] = [];
  #length = 0;

  bytes(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes));
    this.#length += bytes.length;
    return this;
  }

  uint32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.bytes(part);
  }

  uint64(value: number | bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.bytes(part);
  }

  string(text: string): this {
    const bytes = Buffer.from(text);
    return this.uint64(bytes.length).bytes(bytes);
  }

  value(type: GgufValueType, value: string | number | bigint | boolean): this {
    if (type === "string") return this.string(String(value));
    if (type === "array") throw new TypeError("an array is not a plain value");
    const view = new DataView(new ArrayBuffer(8));
    const number = Number(value);
    const sizes = {
      uint8: 1,
      int8: 1,
      bool: 1,
      uint16: 2,
      int16: 2,
      uint32: 4,
      int32: 4,
      float32: 4,
      uint64: 8,
      int64: 8,
      float64: 8,
    };
    switch (type) {
      case "uint8":
      case "bool":
        view.setUint8(0, number);
        break;
      case "int8":
        view.setInt8(0, number);
        break;
      case "uint16":
        view.setUint16(0, number, true);
        break;
      case "int16":
        view.setInt16(0, number, true);
        break;
      case "uint32":
        view.setUint32(0, number, true);
        break;
      case "int32":
        view.setInt32(0, number, true);
        break;
      case "float32":
        view.setFloat32(0, number, true);
        break;
      case "uint64":
        view.setBigUint64(0, BigInt(value), true);
        break;
      case "int64":
        view.setBigInt64(0, BigInt(value), true);
        break;
      case "float64":
        view.setFloat64(0, number, true);
        break;
      default:
        throw type satisfies never;
    }
    return this.bytes(new Uint8Array(view.buffer, 0, sizes[type]));
  }

  padTo(alignment: number): this {
    return this.bytes(new Uint8Array((alignment - (this.#length % alignment)) % alignment));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(Buffer.concat(this.#parts));
  }
}

/** The bytes of a GGUF file. */
export function writeGguf(file: WrittenGguf): Uint8Array<ArrayBuffer> {
  const alignment = file.alignment ?? 32;
  const writer = new ByteWriter()
    .bytes(Buffer.from(file.magic ?? "GGUF", "latin1"))
    .uint32(file.version ?? 3)
    .uint64(file.tensorCount ?? file.tensors.length)
    .uint64(file.pairCount ?? file.metadata.length);
  for (const [key, value] of file.metadata) writePair(writer, key, value);
  let offset = 0;
  for (const tensor of file.tensors) {
    writer.string(tensor.name).uint32(tensor.sizes.length);
    for (const size of tensor.sizes) writer.uint64(size);
    writer.uint32(tensor.typeId).uint64(tensor.offset ?? offset);
    offset += Math.ceil(tensor.bytes.length / alignment) * alignment;
  }
  writer.padTo(alignment);
  for (const tensor of file.tensors) writer.bytes(tensor.bytes).padTo(alignment);
  return writer.finish();
}

function writePair(writer: ByteWriter, key: string, typed: TypedValue): void {
  writer.string(key).uint32(GGUF_VALUE_TYPES.indexOf(typed[0]));
  if (typed[0] !== "array") {
    writer.value(typed[0], typed[1]);
    return;
  }
  const [, elementType, values] = typed;
  writer.uint32(GGUF_VALUE_TYPES.indexOf(elementType)).uint64(values.length);
  for (const value of values) writer.value(elementType, value);
}

/** GGUF's block tensors by Hugging Face's name, for most families. Gemma has another `ffn_norm` and two more norms. */
const BLOCK_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};
const GEMMA_NAMES: Readonly<Record<string, string>> = {
  ...BLOCK_NAMES,
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm",
};
const OUTER_NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

/** llama.cpp's `permute`, reshape(H, 2, K/2, …).swapaxes(1, 2): interleaves the two rotary halves of each head. */
function permute(values: Float32Array, rowLength: number, heads: number): Float32Array {
  const half = values.length / rowLength / heads / 2;
  const permuted = new Float32Array(values.length);
  let to = 0;
  for (let head = 0; head < heads; head++) {
    for (let pair = 0; pair < half; pair++) {
      for (let part = 0; part < 2; part++) {
        const from = ((head * 2 + part) * half + pair) * rowLength;
        permuted.set(values.subarray(from, from + rowLength), to);
        to += rowLength;
      }
    }
  }
  return permuted;
}

/** The file that llama.cpp's converter makes of a tiny model, with all tensors F32. */
export function ggufOfTinyModel({ config, tensors }: TinyModel): WrittenGguf & { readonly tensors: WrittenTensor[] } {
  const isGemma = config.family === "gemma3";
  const names = isGemma ? GEMMA_NAMES : BLOCK_NAMES;
  const architecture = config.family === "mistral" ? "llama" : config.family;
  const { intermediateSize, numAttentionHeads, numKeyValueHeads } = config.layerSizes[0]!;
  const written: WrittenTensor[] = [];
  for (const [name, { shape, values }] of tensors) {
    const [, layer, block, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
    const stem = name.slice(0, name.lastIndexOf("."));
    const ggufName = layer === undefined ? `${OUTER_NAMES[stem]}.weight` : `blk.${layer}.${names[block!]}.${kind}`;
    const isRotated = architecture === "llama" && /attn_[qk]\./.test(ggufName);
    const heads = ggufName.includes("attn_q.") ? numAttentionHeads : numKeyValueHeads;
    let stored = isRotated ? permute(values, shape[1] ?? 1, heads) : values;
    if (isGemma && ggufName.includes("norm")) stored = stored.map((value) => value + 1);
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    written.push({ name: ggufName, sizes: shape.toReversed(), typeId: 0, bytes });
  }
  const keys: [string, TypedValue][] = [
    ["block_count", ["uint32", config.numHiddenLayers]],
    ["context_length", ["uint32", config.maxPositionEmbeddings]],
    ["embedding_length", ["uint32", config.hiddenSize]],
    ["feed_forward_length", ["uint32", intermediateSize]],
    ["attention.head_count", ["uint32", numAttentionHeads]],
    ["attention.head_count_kv", ["uint32", numKeyValueHeads]],
    ["attention.key_length", ["uint32", config.headDim]],
    ["attention.value_length", ["uint32", config.headDim]],
    ["attention.layer_norm_rms_epsilon", ["float32", config.rmsNormEps]],
    ["rope.freq_base", ["float32", config.rope.full_attention.theta]],
  ];
  if (isGemma) keys.push(["attention.sliding_window", ["uint32", config.slidingWindow!]]);
  return {
    metadata: [
      ["general.architecture", ["string", architecture]],
      ...keys.map(([key, value]) => [`${architecture}.${key}`, value] as const),
      ["tokenizer.ggml.bos_token_id", ["uint32", 1]],
      ["tokenizer.ggml.eos_token_id", ["uint32", 2]],
    ],
    tensors: written,
  };
}
