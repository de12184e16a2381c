/**
 * @file GGUF files whose keys and tensors are refused: wrong, unsupported or contradictory.
 */

import { expect, it } from "vitest";
import type { ErrorCode } from "../../../src/errors.ts";
import { f32Tensor, type GgufChanges, openChanged } from "../../support/gguf-changes.ts";
import { errorOf } from "../../support/temporary-gguf.ts";

const refused: readonly (readonly [what: string, options: GgufChanges, code: ErrorCode, ...message: string[]])[] = [
  ["no architecture", { keys: { "general.architecture": null } }, "GGUF_KEY_MISSING", "general.architecture"],
  ["an unknown architecture", { keys: { "general.architecture": ["string", "mamba"] } }, "UNKNOWN_FAMILY", "mamba", "qwen3"],
  ["an architecture that is not a string", { keys: { "general.architecture": ["uint32", 3] } }, "GGUF_KEY_INVALID", "found 3"],
  ["an adapter", { keys: { "general.type": ["string", "adapter"] } }, "GGUF_UNSUPPORTED", "adapter"],
  ["no layer count", { keys: { "llama.block_count": null } }, "GGUF_KEY_MISSING", "llama.block_count"],
  ["no norm epsilon", { keys: { "llama.attention.layer_norm_rms_epsilon": null } }, "GGUF_KEY_MISSING", "rms_epsilon"],
  ["a size of 0", { keys: { "llama.embedding_length": ["uint32", 0] } }, "GGUF_KEY_INVALID", "llama.embedding_length", "found 0"],
  ["a size that is a string", { keys: { "llama.embedding_length": ["string", "30"] } }, "GGUF_KEY_INVALID", '"30"'],
  ["no sizes at all", { keys: { "llama.feed_forward_length": ["array", "int32", []] } }, "GGUF_KEY_INVALID", "an array of 0"],
  ["a billion layers", { keys: { "llama.block_count": ["uint32", 1e9] } }, "CONFIG_INVALID", "num_hidden_layers"],
  ["more layers than tensors", { keys: { "llama.block_count": ["uint32", 4] } }, "TENSOR_MISSING", "model.layers.3."],
  ["fewer layers than tensors", { keys: { "llama.block_count": ["uint32", 2] } }, "TENSOR_UNKNOWN", "model.layers.2."],
  ["another hidden size", { keys: { "llama.embedding_length": ["uint32", 32] } }, "TENSOR_SHAPE", "[48, 32]"],
  [
    "layers of different widths",
    { keys: { "llama.feed_forward_length": ["array", "int32", [40, 32, 40]] } },
    "GGUF_RAGGED",
    "llama.feed_forward_length",
    "40 and 32",
  ],
  [
    "a value head size that differs",
    { sizes: { headDim: 8 }, keys: { "llama.attention.value_length": ["uint32", 4] } },
    "GGUF_UNSUPPORTED",
    "head size 8",
  ],
  [
    "only half of the head rotated",
    { keys: { "llama.rope.dimension_count": ["uint32", 4] } },
    "GGUF_UNSUPPORTED",
    "rope.dimension_count",
  ],
  ["experts", { keys: { "llama.expert_count": ["uint32", 8] } }, "GGUF_UNSUPPORTED", "llama.expert_count", "found 8"],
  [
    "soft-capped logits",
    { family: "gemma3", keys: { "gemma3.final_logit_softcapping": ["float32", 30] } },
    "GGUF_UNSUPPORTED",
    "found 30",
  ],
  ["YaRN", { keys: { "llama.rope.scaling.type": ["string", "yarn"] } }, "GGUF_UNSUPPORTED", "yarn"],
  [
    "a sliding window in a family without one",
    { keys: { "llama.attention.sliding_window": ["uint32", 64] } },
    "GGUF_UNSUPPORTED",
    "found 64",
  ],
  [
    "sliding layers that follow no period",
    { family: "gemma3", keys: { "gemma3.attention.sliding_window_pattern": ["array", "bool", [false, true, true]] } },
    "GGUF_UNSUPPORTED",
    "sliding_window_pattern",
  ],
  [
    "a token beyond the vocabulary",
    { keys: { "tokenizer.ggml.eos_token_id": ["uint32", 48] } },
    "GGUF_KEY_INVALID",
    "eos_token_id",
    "48",
  ],
  [
    "no embedding",
    { tensors: (each) => each.filter(({ name }) => name !== "token_embd.weight") },
    "TENSOR_MISSING",
    "token_embd.weight",
  ],
  [
    "a missing tensor",
    { tensors: (each) => each.filter(({ name }) => name !== "blk.1.ffn_up.weight") },
    "TENSOR_MISSING",
    "layers.1.mlp.up_proj",
  ],
  ["an unknown tensor", { tensors: (each) => [...each, f32Tensor("blk.0.ssm_a", [1])] }, "TENSOR_UNKNOWN", "blk.0.ssm_a"],
  [
    "a tensor with Hugging Face's name",
    { tensors: (each) => [...each, f32Tensor("model.norm.weight", [1])] },
    "TENSOR_UNKNOWN",
    "model.norm.weight",
  ],
  [
    "a norm of another family",
    { tensors: (each) => [...each, f32Tensor("blk.0.post_ffw_norm.weight", [1])] },
    "TENSOR_UNKNOWN",
    "post_ffw_norm",
  ],
  [
    "a quantised vector",
    {
      sizes: { hiddenSize: 32 },
      tensors: (each) =>
        each.map((tensor) =>
          tensor.name === "output_norm.weight" ? { ...tensor, typeId: 8, bytes: new Uint8Array(34) } : tensor,
        ),
    },
    "GGUF_TENSOR_TYPE",
    "output_norm.weight",
    "vector of type Q8_0",
  ],
  [
    "too few rope factors",
    { tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 2])] },
    "GGUF_UNSUPPORTED",
    "2 factors",
  ],
  [
    "a rope factor of 0",
    { tensors: (each) => [...each, f32Tensor("rope_freqs.weight", [1, 1, 1, 0])] },
    "GGUF_UNSUPPORTED",
    "rope_freqs.weight",
  ],
];

it.each(refused.map(([what, options, code, ...parts]) => ({ what, options, code, parts })))(
  "a GGUF file with $what is refused",
  async ({ options, code, parts }) => {
    const error = await errorOf(openChanged(options));
    expect(error.code).toBe(code);
    for (const part of [...parts, "model.gguf"]) expect(error.message).toContain(part);
  },
);
