/**
 * @file Tiny models of every family, with random weights from a seed: as a checkpoint in memory, or as a safetensors
 * folder that cusprun and transformers load. All sizes are different, so that a mixed-up axis is noticed.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint, TensorInfo, TokenizerFiles } from "../../src/checkpoint/checkpoint.ts";
import type { TinyFamily } from "./tiny-families.ts";
import type { ModelConfig } from "../../src/checkpoint/config/model-config.ts";
import { elementCount, FLOAT_DTYPE_BYTES } from "../../src/tensor.ts";
import type { FloatDType } from "../../src/tensor.ts";
import { FULL_ROPE, TINY_SIZES, traitsOf } from "./tiny-families.ts";
import type { FamilyTraits, TinySizes } from "./tiny-families.ts";

export { TINY_FAMILIES } from "./tiny-families.ts";
export type { TinySizes } from "./tiny-families.ts";

/** A tensor with its values. */
export interface TinyTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer>;
}

/** A model in memory. */
export interface TinyModel {
  readonly config: ModelConfig;
  readonly configJson: Readonly<Record<string, unknown>>;
  /** By Hugging Face's name. */
  readonly tensors: ReadonlyMap<string, TinyTensor>;
}

/** A model of the family with random weights; the same seed gives the same weights. */
export function tinyModel(family: TinyFamily, changes: Partial<TinySizes> = {}): TinyModel {
  const sizes: TinySizes = { ...TINY_SIZES, ...changes };
  const traits = traitsOf(family, sizes);
  const {
    hiddenSize: D,
    intermediateSize: F,
    numHiddenLayers: L,
    numAttentionHeads: H,
    numKeyValueHeads: G,
    headDim: K,
    vocabSize: V,
  } = sizes;
  const config: ModelConfig = {
    family,
    hiddenSize: D,
    numHiddenLayers: L,
    layerSizes: Array.from({ length: L }, () => ({ intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G })),
    headDim: K,
    vocabSize: V,
    maxPositionEmbeddings: 128,
    rmsNormEps: 1e-5,
    hiddenActivation: "silu",
    tieWordEmbeddings: false,
    attentionScale: 1 / Math.sqrt(K),
    embeddingScale: 1,
    rope: { full_attention: FULL_ROPE, sliding_attention: FULL_ROPE },
    layerTypes: Array.from({ length: L }, () => "full_attention"),
    slidingWindow: null,
    bosTokenId: 1,
    eosTokenIds: [2],
    ...traits.config,
  };
  const configJson = {
    ...traits.json,
    hidden_size: D,
    intermediate_size: F,
    num_hidden_layers: L,
    num_attention_heads: H,
    num_key_value_heads: G,
    head_dim: K,
    vocab_size: V,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-5,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: "float32",
  };
  return { config, configJson, tensors: randomTensors(traits, config, sizes) };
}

function randomTensors(traits: FamilyTraits, config: ModelConfig, sizes: TinySizes): ReadonlyMap<string, TinyTensor> {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: K, vocabSize: V } = sizes;
  const normal = seededNormal(sizes.seed);
  const tensors = new Map<string, TinyTensor>();
  const add = (name: string, shape: readonly number[], mean: number, deviation: number): void => {
    tensors.set(name, { shape, values: Float32Array.from({ length: elementCount(shape) }, () => mean + deviation * normal()) });
  };
  const matrix = (name: string, out: number, input: number): void =>
    add(`${name}.weight`, [out, input], 0, 1.5 / Math.sqrt(input));
  const norm = (name: string, size: number): void => add(`${name}.weight`, [size], 1 - traits.normOffset, 0.2);
  const bias = (name: string, size: number): void => add(`${name}.bias`, [size], 0, 0.3);

  add("model.embed_tokens.weight", [V, D], 0, 1 / config.embeddingScale);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const block = `model.layers.${layer}`;
    norm(`${block}.input_layernorm`, D);
    for (const [name, out] of [
      ["q_proj", H * K],
      ["k_proj", G * K],
      ["v_proj", G * K],
    ] as const) {
      matrix(`${block}.self_attn.${name}`, out, D);
      if (traits.qkvBias) bias(`${block}.self_attn.${name}`, out);
    }
    matrix(`${block}.self_attn.o_proj`, D, H * K);
    if (sizes.attentionBias) bias(`${block}.self_attn.o_proj`, D);
    if (traits.qkNorm) {
      norm(`${block}.self_attn.q_norm`, K);
      norm(`${block}.self_attn.k_norm`, K);
    }
    norm(`${block}.post_attention_layernorm`, D);
    if (traits.postNorms) {
      norm(`${block}.pre_feedforward_layernorm`, D);
      norm(`${block}.post_feedforward_layernorm`, D);
    }
    matrix(`${block}.mlp.gate_proj`, F, D);
    matrix(`${block}.mlp.up_proj`, F, D);
    matrix(`${block}.mlp.down_proj`, D, F);
  }
  norm("model.norm", D);
  if (!config.tieWordEmbeddings) matrix("lm_head", V, D);
  return tensors;
}

/** Standard normal numbers from a seed: mulberry32 and Box-Muller. */
export function seededNormal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * Values as the bytes of a dtype, rounded to nearest even. Little-endian. F16 is not made here: no test model needs it.
 */
export function tinyBytes(values: Float32Array, dtype: Exclude<FloatDType, "F16">): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  if (dtype === "F32") return new Uint8Array(words.buffer);
  return new Uint8Array(Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16).buffer);
}

/** The model as an opened checkpoint in memory; reads are counted by name in `reads`. */
export function tinyCheckpoint(
  model: TinyModel,
  dtype: Exclude<FloatDType, "F16"> = "F32",
): Checkpoint & { readonly reads: string[] } {
  const reads: string[] = [];
  const infos = new Map<string, TensorInfo>();
  for (const [name, { shape }] of model.tensors) {
    infos.set(name, { name, shape, dtype, byteLength: elementCount(shape) * FLOAT_DTYPE_BYTES[dtype], file: "memory" });
  }
  const bytesOf = (name: string): Uint8Array<ArrayBuffer> => {
    reads.push(name);
    const tensor = model.tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tinyBytes(tensor.values, dtype);
  };
  return {
    reads,
    path: "memory/tiny",
    format: "safetensors",
    config: model.config,
    configJson: model.configJson,
    generationConfigJson: { bos_token_id: 1, eos_token_id: 2 },
    tensors: infos,
    readFloat32: async (name, rows) => {
      const bytes = bytesOf(name);
      const values =
        dtype === "F32"
          ? new Float32Array(bytes.buffer)
          : new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16).buffer);
      if (rows === undefined) return values;
      const columns = values.length / (infos.get(name)?.shape[0] ?? 1);
      return values.slice(rows.start * columns, rows.end * columns);
    },
    readBytes: async (name, rows) => {
      const bytes = bytesOf(name);
      if (rows === undefined) return bytes;
      const rowBytes = bytes.length / (infos.get(name)?.shape[0] ?? 1);
      return bytes.slice(rows.start * rowBytes, rows.end * rowBytes);
    },
    readTokenizerFiles: async () => tinyTokenizerFiles(model.config.vocabSize),
    close: async () => {},
  };
}

/** A tokenizer of whole words: `w0` … `w{V-1}`, separated by white space. */
export function tinyTokenizerFiles(vocabSize: number): TokenizerFiles {
  const tokenizerJson = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Split", pattern: { Regex: String.raw`\S+` }, behavior: "Removed", invert: true },
    post_processor: null,
    decoder: null,
    model: {
      type: "BPE",
      vocab: Object.fromEntries(Array.from({ length: vocabSize }, (_, id) => [`w${id}`, id])),
      merges: [],
      unk_token: "w0",
      ignore_merges: true,
    },
  };
  const tokenizerConfig = {
    tokenizer_class: "PreTrainedTokenizerFast",
    unk_token: "w0",
    chat_template: "{{ messages[0].content }}",
  };
  const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  return {
    tokenizerJson,
    tokenizerConfig,
    files: new Map([
      ["tokenizer.json", encode(tokenizerJson)],
      ["tokenizer_config.json", encode(tokenizerConfig)],
    ]),
  };
}

/** Writes the model as a Hugging Face folder with one safetensors file. The folder is created. */
export async function writeTinyCheckpoint(
  folder: string,
  model: TinyModel,
  dtype: Exclude<FloatDType, "F16"> = "F32",
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const parts: Uint8Array[] = [];
  let offsetBytes = 0;
  for (const [name, { shape, values }] of model.tensors) {
    const bytes = tinyBytes(values, dtype);
    header[name] = { dtype, shape, data_offsets: [offsetBytes, offsetBytes + bytes.length] };
    offsetBytes += bytes.length;
    parts.push(bytes);
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await writeFile(join(folder, "model.safetensors"), Buffer.concat([length, json, ...parts]));
  const torchDtype = dtype === "F32" ? "float32" : "bfloat16";
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...model.configJson, torch_dtype: torchDtype }, null, 2));
  await writeFile(join(folder, "generation_config.json"), JSON.stringify({ bos_token_id: 1, eos_token_id: 2 }));
  for (const [name, bytes] of tinyTokenizerFiles(model.config.vocabSize).files) await writeFile(join(folder, name), bytes);
}
