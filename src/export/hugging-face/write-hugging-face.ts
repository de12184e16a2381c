/**
 * @file Writes an expert as a Hugging Face folder that transformers loads: safetensors (sharded above a size),
 * config.json, generation_config.json, the tokenizer's files, and for ragged models a Python file.
 */

import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { RowRange, StoredDType, TokenizerFiles } from "../../checkpoint/checkpoint.ts";
import { familyNamed, isRaggedModelType } from "../../families/index.ts";
import { RAGGED_MODULE } from "../../checkpoint/config/hf-ragged.ts";
import { writeShardedSafetensors } from "../../checkpoint/safetensors/write.ts";
import { CusprunError } from "../../errors.ts";
import { narrowFromFloat32 } from "../../float-convert.ts";
import type { PrunePlan } from "../../selection/plan.ts";
import type { Expert, ExpertTensor } from "../../surgery/expert.ts";
import { elementCount, FLOAT_DTYPE_BYTES } from "../../tensor.ts";
import type { FloatDType } from "../../tensor.ts";
import { raggedModule } from "./ragged-module.ts";
import { type ExpertFolderOptions, type FormatWriter, writeExpertFolder } from "../expert-folder.ts";
import type { WrittenPart } from "../model-card.ts";
import { rowPieces } from "../row-pieces.ts";
import { MAX_F16 } from "../stored-range.ts";

/**
 * Default maximum size of a weight file: for years that of `save_pretrained` in transformers, and accepted by every
 * host.
 */
export const DEFAULT_MAX_SHARD_BYTES = 5e9;

/** Options of `writeHuggingFaceFolder`. */
export interface HuggingFaceOptions extends ExpertFolderOptions {
  /** Dtype of all tensors; default `outputDType`. */
  readonly dtype?: FloatDType;
  /** Default 5 GB. */
  readonly maxShardBytes?: number;
}

/** The files written in Hugging Face form, without the plan and the card. */
export interface WrittenWeights extends WrittenPart {
  readonly format: "hf";
  readonly dtype: FloatDType;
}

/** The written folder. */
export interface WrittenFolder {
  readonly dtype: FloatDType;
  readonly parameters: number;
  /** Total size of all tensors in bytes, without headers. */
  readonly weightBytes: number;
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
}

/** `torch_dtype` in config.json. */
const TORCH_DTYPES: Readonly<Record<FloatDType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/**
 * The default dtype of an expert: the dtype of most of the checkpoint's elements, or BF16 if any tensor is quantised.
 * The models were trained in BF16, and its range is that of F32, so no value overflows as it might in F16. The cost is
 * a relative rounding error of at most 2⁻⁸: half a step of an 8-bit quantisation at its largest value, less elsewhere.
 */
export function outputDType(tensors: Iterable<{ readonly dtype: StoredDType; readonly shape: readonly number[] }>): FloatDType {
  const elements: Record<FloatDType, number> = { F32: 0, F16: 0, BF16: 0 };
  for (const { dtype, shape } of tensors) {
    if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") return "BF16";
    elements[dtype] += elementCount(shape);
  }
  return (["BF16", "F16", "F32"] as const).reduce((most, dtype) => (elements[dtype] > elements[most] ? dtype : most));
}

/**
 * Creates a writer of an expert in Hugging Face form. All tensors, including norms, are written in one dtype, as in
 * transformers; those that already have it are copied byte by byte. The writer throws `OUTPUT_DTYPE`, and what reading
 * the checkpoint throws.
 * @param tokenizerFiles copied unchanged; null if the checkpoint has no tokenizer.
 * @param removedParameters number of parameters that the expert has fewer than the dense model.
 */
export function huggingFaceWriter(
  expert: Expert,
  tokenizerFiles: TokenizerFiles | null,
  removedParameters: number,
  options: Pick<HuggingFaceOptions, "dtype" | "maxShardBytes">,
): FormatWriter<WrittenWeights> {
  const dtype = options.dtype ?? outputDType(expert.tensors);
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const after = parameters * FLOAT_DTYPE_BYTES[dtype];
  const small = new Map<string, string | Uint8Array>();
  for (const [name, bytes] of tokenizerFiles?.files ?? []) {
    if (basename(name) !== name || name === "" || name === "." || name === "..")
      throw new RangeError(`tokenizer file '${name}' is not a plain file name`);
    small.set(name, bytes);
  }
  small.set("config.json", json({ ...expert.configJson, ...dtypeKeys(expert.configJson, dtype) }));
  if (expert.generationConfigJson !== null) small.set("generation_config.json", json(expert.generationConfigJson));
  const pythonFile = isRaggedModelType(expert.configJson["model_type"]) ? `${RAGGED_MODULE}.py` : null;
  if (pythonFile !== null) small.set(pythonFile, raggedModule(familyNamed(expert.config.family)));
  const isQuantised = expert.tensors.some((tensor) => !Object.hasOwn(FLOAT_DTYPE_BYTES, tensor.dtype));
  const label = `weights in ${dtype}`;
  return {
    plan: () =>
      Promise.resolve({
        label,
        bytes: after,
        tensors: expert.tensors.map((tensor) => ({
          kind: `${tensor.dtype}, ${copiesBytes(tensor, dtype) ? "copied" : "converted"}`,
          bytes: elementCount(tensor.shape) * FLOAT_DTYPE_BYTES[dtype],
          pieces: () => piecesOf(tensor, dtype),
        })),
      }),
    write: async (folder, job) => {
      const sources = expert.tensors.map((tensor) => ({
        name: tensor.name,
        dtype,
        shape: tensor.shape,
        pieces: () => piecesOf(tensor, dtype),
      }));
      const weightFiles = await writeShardedSafetensors(folder, sources, options.maxShardBytes ?? DEFAULT_MAX_SHARD_BYTES, job);
      for (const [name, content] of small) await writeFile(join(folder, name), content);
      return {
        format: "hf",
        dtype,
        files: [...weightFiles, ...small.keys()],
        label,
        bytes: { before: after + removedParameters * FLOAT_DTYPE_BYTES[dtype], after },
        library: "transformers",
        howToLoad: howToLoadWeights(tokenizerFiles !== null, pythonFile),
        limitations: isQuantised
          ? [`The base model's weights were quantised; for transformers they were dequantised and rounded to ${dtype}.`]
          : [],
      };
    },
  };
}

/**
 * Writes the folder of an expert in Hugging Face form only.
 * @param tokenizerFiles copied unchanged; null if the checkpoint has no tokenizer.
 * @throws CusprunError `OUTPUT_EXISTS`, `OUTPUT_UNWRITABLE`, `DISK_FULL`, `OUTPUT_DTYPE`; what reading the checkpoint
 * throws.
 */
export async function writeHuggingFaceFolder(
  expert: Expert,
  tokenizerFiles: TokenizerFiles | null,
  out: string,
  options: HuggingFaceOptions,
): Promise<WrittenFolder> {
  const writer = huggingFaceWriter(expert, tokenizerFiles, removedParameters(options.plan), options);
  const { parts, files } = await writeExpertFolder(out, expert.config, [writer], options);
  const { dtype, bytes } = parts[0]!;
  return { dtype, parameters: bytes.after / FLOAT_DTYPE_BYTES[dtype], weightBytes: bytes.after, files };
}

/** Number of parameters that an expert has fewer than its dense model. */
export function removedParameters({ layout, parameters }: PrunePlan): number {
  return layout === "masked" ? 0 : parameters.removed;
}

/** The section of the model card on loading with transformers. */
export function howToLoadWeights(hasTokenizer: boolean, pythonFile: string | null): string {
  const classes = hasTokenizer ? "AutoModelForCausalLM, AutoTokenizer" : "AutoModelForCausalLM";
  const trust = pythonFile === null ? "" : ", trust_remote_code=True";
  return [
    pythonFile === null
      ? "Stock transformers loads it without additional code. `FOLDER` is the folder of this file."
      : `Its layers differ in size, which no stock class of transformers supports: \`${pythonFile}\`, next to the weights, ` +
        "builds them from stock parts, and `trust_remote_code` allows it to run. `FOLDER` is the folder of this file.",
    "",
    "```python",
    `from transformers import ${classes}`,
    "",
    `model = AutoModelForCausalLM.from_pretrained("FOLDER", torch_dtype="auto"${trust})`,
    ...(hasTokenizer ? [`tokenizer = AutoTokenizer.from_pretrained("FOLDER"${trust})`] : []),
    "```",
    ...(hasTokenizer ? [] : ["", "Like the base model, it comes without a tokenizer."]),
  ].join("\n");
}

async function* piecesOf(tensor: ExpertTensor, dtype: FloatDType): AsyncIterable<Uint8Array> {
  const [rowCount = 1, ...rest] = tensor.shape;
  for (const rows of rowPieces(rowCount, elementCount(rest))) yield await readAs(tensor, dtype, rows);
}

/** Whether a tensor's bytes are copied as they are stored. */
function copiesBytes(tensor: ExpertTensor, dtype: FloatDType): boolean {
  return tensor.dtype === dtype && tensor.readBytes !== null;
}

async function readAs(tensor: ExpertTensor, dtype: FloatDType, rows: RowRange): Promise<Uint8Array> {
  if (copiesBytes(tensor, dtype)) return tensor.readBytes!(rows);
  const values = await tensor.readFloat32(rows);
  if (dtype === "F16") {
    const over = values.find((value) => Math.abs(value) > MAX_F16 && Number.isFinite(value));
    if (over !== undefined) {
      throw new CusprunError("OUTPUT_DTYPE", {
        where: `tensor '${tensor.name}'`,
        found: `the value ${over}`,
        expected: `values within ±${MAX_F16}, the range of F16`,
        remedy: "Write with --dtype bf16, which has the range of F32",
      });
    }
  }
  return narrowFromFloat32(values, dtype);
}

/**
 * The dtype under the key that the config uses: `torch_dtype` up to transformers 4.55, which newer versions also read,
 * or `dtype`.
 */
function dtypeKeys(configJson: Readonly<Record<string, unknown>>, dtype: FloatDType): Record<string, string> {
  const used = ["torch_dtype", "dtype"].filter((key) => key in configJson);
  return Object.fromEntries((used.length > 0 ? used : ["torch_dtype"]).map((key) => [key, TORCH_DTYPES[dtype]]));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
