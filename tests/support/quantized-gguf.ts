/**
 * @file GGUF files of tiny models as users have them: matrices in several quantised types, a tokenizer, and keys that
 * cusprun does not know.
 */

import { quantize, type WrittenGgmlType } from "../../src/export/gguf/ggml-quantize.ts";
import { ggufOfTinyModel, type TypedValue, type WrittenGguf, writeGguf } from "./gguf-writer.ts";
import type { TinyModel } from "./tiny-models.ts";

const TYPE_IDS = { Q4_0: 2, Q4_1: 3, Q5_0: 6, Q8_0: 8 } as const satisfies Partial<Record<WrittenGgmlType, number>>;
type TinyType = keyof typeof TYPE_IDS;

/** q and k differ from v, so that an architecture that fuses them has to choose a type. */
function typeOf(name: string): TinyType {
  if (/attn_[qk]\./.test(name)) return "Q4_0";
  if (/attn_v\./.test(name)) return "Q5_0";
  return /ffn_down|attn_output/.test(name) ? "Q4_1" : "Q8_0";
}

/**
 * The bytes of a file.
 * @param model whose hidden size, FFN width and heads · head size are multiples of 32.
 * @param keys added to the file, or replacing those with the same name.
 */
export function quantizedGguf(
  model: TinyModel,
  changes: Partial<WrittenGguf> = {},
  keys: Readonly<Record<string, TypedValue>> = {},
): Uint8Array<ArrayBuffer> {
  const { metadata, tensors } = ggufOfTinyModel(model);
  const stored = tensors.map((tensor) => {
    if (tensor.sizes.length === 1) return tensor;
    const type = typeOf(tensor.name);
    return { ...tensor, typeId: TYPE_IDS[type], bytes: quantize(type, new Float32Array(tensor.bytes.slice().buffer)) };
  });
  const tokens = Array.from({ length: model.config.vocabSize }, (_, id) => String.fromCodePoint(0x100 + id));
  const more: [string, TypedValue][] = [
    ["general.name", ["string", "Tiny"]],
    ["general.size_label", ["string", "1K"]],
    ["general.file_type", ["uint32", 3]],
    ["general.tags", ["array", "string", ["chat", "tiny"]]],
    ["quantize.imatrix.entries_count", ["int32", 224]],
    ["somebody.flags", ["array", "bool", [true, false]]],
    ["somebody.large", ["uint64", 2n ** 60n]],
    ["tokenizer.ggml.model", ["string", "gpt2"]],
    ["tokenizer.ggml.pre", ["string", "gpt-2"]],
    ["tokenizer.ggml.tokens", ["array", "string", tokens]],
    ["tokenizer.ggml.token_type", ["array", "int32", tokens.map(() => 1)]],
    ["tokenizer.ggml.merges", ["array", "string", []]],
    ["tokenizer.ggml.some_new_key", ["uint8", 7]],
  ];
  if (changes.alignment !== undefined) more.push(["general.alignment", ["uint32", changes.alignment]]);
  const others = metadata.filter(([key]) => !Object.hasOwn(keys, key));
  return writeGguf({ metadata: [...others, ...Object.entries(keys), ...more], tensors: stored, ...changes });
}
