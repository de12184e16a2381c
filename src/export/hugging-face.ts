/**
 * @file Writes an expert as a Hugging Face folder that transformers loads: safetensors (sharded past a size), config.json,
 * generation_config.json, the tokenizer's files, a model card, the plan, and where layers differ in size a Python file. The folder
 * appears complete or not at all.
 */

import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { StoredDType, TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { isRaggedModelType, RAGGED_MODULE } from "../checkpoint/hf-ragged.ts";
import { writeShardedSafetensors } from "../checkpoint/safetensors-write.ts";
import { CusprunError } from "../errors.ts";
import { writeFolderAtomically } from "../files.ts";
import { narrowFromFloat32 } from "../float-convert.ts";
import type { JobOptions } from "../progress.ts";
import { formatPlan } from "../selection/plan-file.ts";
import type { PrunePlan } from "../selection/plan.ts";
import type { Expert, ExpertTensor } from "../surgery/expert.ts";
import { elementCount, FLOAT_DTYPE_BYTES } from "../tensor.ts";
import type { FloatDType } from "../tensor.ts";
import { raggedModule } from "./ragged-module.ts";
import { modelCard } from "./model-card.ts";
import type { CardOutput, ModelCardInput } from "./model-card.ts";

/** The plan's name in an expert's folder. */
export const PLAN_FILE_NAME = "cusprun-plan.json";

/** The model card's name, by the hub's convention. */
const CARD_FILE_NAME = "README.md";

/** Largest weight file: what transformers' `save_pretrained` wrote for years, and every host takes. */
export const DEFAULT_MAX_SHARD_BYTES = 5e9;

/** What is written, and how. */
export interface HuggingFaceOptions extends JobOptions {
  /** Dtype of all tensors; default `outputDType`. */
  readonly dtype?: FloatDType;
  /** Default 5 GB. */
  readonly maxShardBytes?: number;
  /** Replace a folder that holds something. Default false. */
  readonly overwrite?: boolean;
  /** The plan that the expert was cut by. */
  readonly plan: PrunePlan;
  /**
   * What the model card says; or what tells it from the folder as a model is loaded from it, complete but for the card and not yet in its
   * place, so that the card can hold measurements of what was written.
   */
  readonly card: ModelCardInput | ((folder: string) => Promise<ModelCardInput>);
}

/** What was written. */
export interface WrittenFolder {
  readonly dtype: FloatDType;
  readonly parameters: number;
  /** Bytes of all tensors, without headers. */
  readonly weightBytes: number;
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
}

/** `torch_dtype` in config.json. */
const TORCH_DTYPES: Readonly<Record<FloatDType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** Largest finite binary16. */
const MAX_F16 = 65_504;

/**
 * The dtype that an expert is written in unless another is asked for: the one that holds most of the checkpoint's elements, or BF16
 * where any tensor is quantised. The models were trained in BF16, and its range is that of F32, so nothing overflows as it may in F16.
 * The price is a rounding of at most 2⁻⁸ of each value: half a step of an 8-bit quantisation at its largest value, less elsewhere.
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
 * Writes the folder. All tensors get one dtype, norms too, as transformers does; those that have it already are copied byte by byte.
 * @param tokenizerFiles carried over unchanged; null where the checkpoint has no tokenizer
 * @throws CusprunError `OUTPUT_EXISTS`, `OUTPUT_UNWRITABLE`, `DISK_FULL`, `OUTPUT_DTYPE`; the checkpoint's errors while reading.
 */
export async function writeHuggingFaceFolder(
  expert: Expert,
  tokenizerFiles: TokenizerFiles | null,
  out: string,
  options: HuggingFaceOptions,
): Promise<WrittenFolder> {
  const dtype = options.dtype ?? outputDType(expert.tensors);
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const weightBytes = parameters * FLOAT_DTYPE_BYTES[dtype];
  const removedBytes = options.plan.layout === "masked" ? 0 : options.plan.parameters.removed * FLOAT_DTYPE_BYTES[dtype];
  const small = new Map<string, string | Uint8Array>();
  // Our own files come last, so that no carried-over file can take their names.
  for (const [name, bytes] of tokenizerFiles?.files ?? []) {
    if (basename(name) !== name || name === "" || name === "." || name === "..")
      throw new RangeError(`tokenizer file '${name}' is no plain name`);
    small.set(name, bytes);
  }
  small.set("config.json", json({ ...expert.configJson, ...dtypeKeys(expert.configJson, dtype) }));
  if (expert.generationConfigJson !== null) small.set("generation_config.json", json(expert.generationConfigJson));
  const pythonFile = isRaggedModelType(expert.configJson["model_type"]) ? `${RAGGED_MODULE}.py` : null;
  if (pythonFile !== null) small.set(pythonFile, raggedModule(expert.config.family));
  small.set(PLAN_FILE_NAME, formatPlan(options.plan));
  const output: CardOutput = {
    config: expert.config,
    dtype,
    bytes: { before: weightBytes + removedBytes, after: weightBytes },
    hasTokenizer: tokenizerFiles !== null,
    pythonFile,
    fromQuantised: expert.tensors.some((tensor) => !Object.hasOwn(FLOAT_DTYPE_BYTES, tensor.dtype)),
  };

  let weightFiles: readonly string[] = [];
  await writeFolderAtomically(out, options.overwrite ?? false, async (folder) => {
    const sources = expert.tensors.map((tensor) => ({
      name: tensor.name,
      dtype,
      shape: tensor.shape,
      read: () => readAs(tensor, dtype),
    }));
    weightFiles = await writeShardedSafetensors(folder, sources, options.maxShardBytes ?? DEFAULT_MAX_SHARD_BYTES, options);
    for (const [name, content] of small) await writeFile(join(folder, name), content);
    const card = typeof options.card === "function" ? await options.card(folder) : options.card;
    await writeFile(join(folder, CARD_FILE_NAME), modelCard(card, options.plan, output));
  });
  return { dtype, parameters, weightBytes, files: [...weightFiles, ...small.keys(), CARD_FILE_NAME] };
}

async function readAs(tensor: ExpertTensor, dtype: FloatDType): Promise<Uint8Array> {
  if (tensor.dtype === dtype && tensor.readBytes !== null) return tensor.readBytes();
  const values = await tensor.readFloat32();
  if (dtype === "F16") {
    const over = values.find((value) => Math.abs(value) > MAX_F16 && Number.isFinite(value));
    if (over !== undefined) {
      throw new CusprunError("OUTPUT_DTYPE", {
        where: `tensor '${tensor.name}'`,
        found: `the value ${over}`,
        expected: `values within ±${MAX_F16}, the range of F16`,
        remedy: "Write with --dtype bf16, whose range is that of F32",
      });
    }
  }
  return narrowFromFloat32(values, dtype);
}

/** The dtype under the key that the config uses: `torch_dtype` until transformers 4.55, which newer ones read too, or `dtype`. */
function dtypeKeys(configJson: Readonly<Record<string, unknown>>, dtype: FloatDType): Record<string, string> {
  const used = ["torch_dtype", "dtype"].filter((key) => key in configJson);
  return Object.fromEntries((used.length > 0 ? used : ["torch_dtype"]).map((key) => [key, TORCH_DTYPES[dtype]]));
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
