/**
 * @file Writing as a step: checkpoint + plan → the expert's folder, which is measured before it is moved to its place,
 * with the figures in its card.
 */

import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Checkpoint, TokenizerFiles } from "../checkpoint/checkpoint.ts";
import { DIMENSIONS, type Corpus, type Dimension } from "../corpora/corpus.ts";
import { presetNames } from "../corpora/presets.ts";
import { CusprunError } from "../errors.ts";
import { fillExpertFolder, type FormatWriter, type PlannedPart } from "../export/expert-folder.ts";
import { checkGgufExport } from "../export/gguf/export-gguf.ts";
import { leftOutTokenizerKeys } from "../export/gguf/carried-tokenizer.ts";
import { ggufWriter, type WrittenGgufPart } from "../export/gguf/part.ts";
import type { GgufFileType } from "../export/gguf/types.ts";
import { huggingFaceWriter, removedParameters, type WrittenWeights } from "../export/hugging-face/write-hugging-face.ts";
import type { CardCorpus, ModelCardInput } from "../export/model-card.ts";
import { onnxWriter, type WrittenOnnxPart } from "../export/onnx/part.ts";
import type { OnnxType } from "../export/onnx/types.ts";
import { isUnlistedExpert } from "../export/unlisted-expert.ts";
import { withOutputFolder, type OutputPlace } from "../output-place.ts";
import type { JobOptions } from "../progress.ts";
import type { ProtectedPath } from "../protected-paths.ts";
import type { PlannedCut, PrunePlan } from "../selection/plan.ts";
import type { Expert } from "../surgery/expert.ts";
import { checkUnchanged } from "../checkpoint/identity.ts";
import { expertCheckpoint } from "../surgery/expert-checkpoint.ts";
import { expertTokenizerFiles, plannedTokenIds } from "../surgery/expert-tokenizer.ts";
import type { RepairSummary } from "../surgery/repair.ts";
import { elementCount, type FloatDType } from "../tensor.ts";
import { type BaseModel, describeBaseModel } from "./base-model.ts";
import { defined } from "./defined.ts";
import type { PerplexityByDimension } from "./measure-step.ts";
import { cusprunVersion } from "./version.ts";

/** Formats that an expert can be written in. */
export const EXPERT_FORMATS = ["hf", "gguf", "onnx"] as const;

/** The name of a format: a Hugging Face folder, a GGUF file, or an ONNX folder for transformers.js. */
export type ExpertFormat = (typeof EXPERT_FORMATS)[number];

/** An expert in one format, as it was written. */
export type ExpertPart = WrittenWeights | WrittenGgufPart | WrittenOnnxPart;

/** Where and how an expert is written. */
export interface WriteOptions {
  /** Folder that becomes the expert. */
  readonly out: string;
  /** Replace an output of an earlier run. Default false. */
  readonly overwrite?: boolean;
  /**
   * Formats in the folder; default `hf`. Never `onnx` alone: cusprun cannot read it, and so cannot measure the expert.
   */
  readonly formats?: readonly ExpertFormat[];
  /** Of the safetensors; default: that of the input, or BF16 if the input is quantised. */
  readonly dtype?: FloatDType;
  /**
   * How a GGUF file stores its tensors; default: as the input if that is a GGUF file, otherwise the type of most
   * values.
   */
  readonly type?: GgufFileType;
  /** How an ONNX model stores its matrices; default f32. */
  readonly onnxType?: OnnxType;
  /** Largest weight file in bytes; default 5 GB. */
  readonly maxShardBytes?: number;
}

/** An expert that is ready to be written. */
export interface ReadyExpert {
  readonly plan: PrunePlan;
  readonly expert: Expert;
  /** The result of repair; null if the weights are those that the cut left. */
  readonly repair: RepairSummary | null;
}

/** An expert, as it was written. */
export interface WrittenExpert {
  readonly parameters: number;
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
  /** One per format. */
  readonly parts: readonly ExpertPart[];
  readonly repair: RepairSummary | null;
  /** What was left out of the files, in words. */
  readonly notes: readonly string[];
  /** The expert's perplexities, if they were measured. */
  readonly figures: PerplexityByDimension;
}

/** What the card reports of the corpora. */
export interface CardFigures {
  /** The corpora that were read; null if only the plan's labels are known. */
  readonly corpora: readonly Corpus[] | null;
  readonly dense: PerplexityByDimension;
  /** Measures the expert in a folder that is complete except for its card. */
  readonly measure: (folder: string) => Promise<PerplexityByDimension>;
}

/**
 * Reserves an expert's place while `work` runs.
 * @param inputs what must not be replaced.
 * @throws CusprunError before any work: `USAGE` for the name of a file and for ONNX alone, and the errors of
 *   `withOutputFolder`.
 */
export async function withExpertFolder<T>(
  { out, overwrite = false, formats = [] }: WriteOptions,
  inputs: readonly ProtectedPath[],
  work: (place: OutputPlace) => Promise<T>,
): Promise<T> {
  if (formats.length > 0 && formats.every((format) => format === "onnx")) {
    throw new CusprunError("USAGE", {
      where: "formats",
      found: "onnx alone",
      expected: "hf or gguf as well: only they can be measured, verified and exported again",
      remedy: "Write --formats hf,onnx",
    });
  }
  if (/\.gguf$/i.test(out)) {
    throw new CusprunError("USAGE", {
      where: `out '${out}'`,
      found: "the name of a GGUF file",
      expected: "a folder, which will hold the GGUF file, its plan and its card",
      remedy: `Write --out ${out.replace(/\.gguf$/i, "")} --formats gguf`,
    });
  }
  return withOutputFolder(out, { overwrite, inputs, recognises: isUnlistedExpert }, work);
}

/**
 * Refuses before any work what the formats cannot hold.
 * @param plan a cut to the sizes that the expert will have; the units and tokens themselves do not matter.
 * @param expert the checkpoint after this cut.
 * @throws CusprunError the errors of `checkGgufExport`.
 */
export async function checkExpertFormats(
  { formats = [] }: WriteOptions,
  checkpoint: Checkpoint,
  plan: PlannedCut,
  expert: Expert,
): Promise<void> {
  if (!formats.includes("gguf")) return;
  await checkGgufExport(expertCheckpoint(checkpoint, plan, expert), {
    // A rehearsed plan may cut all layers to the same sizes although the real one will not.
    layersDiffer: plan.layout === "ragged" && expert.config.layerSizes.length > 1,
    // Whether a tokenizer can be written does not depend on how many tokens are kept.
    tokenizerOf: checkpoint,
  });
}

/**
 * Writes an expert.
 * @param model the model's name as the user wrote it.
 * @param place from `withExpertFolder`, with the same options.
 * @throws CusprunError `MODEL_CHANGED`; the errors of `fillExpertFolder` and of the formats' writers.
 */
export async function writeExpert(
  model: string,
  checkpoint: Checkpoint,
  { plan, expert, repair }: ReadyExpert,
  place: OutputPlace,
  options: WriteOptions,
  figures: CardFigures,
  job: JobOptions,
): Promise<WrittenExpert> {
  const base = await describeBaseModel(model, checkpoint);
  let measured: PerplexityByDimension = {};
  const card = async (folder: string): Promise<ModelCardInput> => {
    measured = await figures.measure(folder);
    await checkUnchanged(checkpoint);
    return {
      title: basename(resolve(options.out)),
      baseModelName: base.name,
      baseModelId: base.hubId,
      license: base.license,
      languages: languagesOf(plan),
      corpora: DIMENSIONS.flatMap((dimension) => cardCorpus(dimension, plan, figures, measured)),
      denseConfig: checkpoint.config,
      repair,
      version: cusprunVersion(),
    };
  };
  const tokenizer = await expertTokenizerFiles(checkpoint, plan);
  const writers = await writersOf(checkpoint, { plan, expert, repair }, tokenizer, base, options);
  const { parts, files } = await fillExpertFolder(place, expert.config, writers, { ...job, plan, card });
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const leftOut = [...expert.leftOut, ...(tokenizer?.leftOut ?? []), ...leftOutOfGguf(checkpoint, plan, options)];
  const notes =
    leftOut.length === 0 ? [] : [`left out, since they name tokens that the expert does not have: ${leftOut.join(", ")}`];
  return { parameters, files, parts, repair, notes, figures: measured };
}

/**
 * What will be written of an expert, one entry per format. Reads no weights.
 * @throws CusprunError what the formats cannot hold.
 */
export async function planParts(
  model: string,
  checkpoint: Checkpoint,
  { plan, expert }: Pick<ReadyExpert, "plan" | "expert">,
  options: WriteOptions,
): Promise<readonly PlannedPart[]> {
  const base = await describeBaseModel(model, checkpoint);
  const tokenizer = await expertTokenizerFiles(checkpoint, plan);
  const writers = await writersOf(checkpoint, { plan, expert, repair: null }, tokenizer, base, options);
  return Promise.all(writers.map((writer) => writer.plan()));
}

/** Keys of the GGUF file that name removed tokens. */
function leftOutOfGguf({ gguf }: Checkpoint, plan: PrunePlan, { out, formats = [] }: WriteOptions): string[] {
  if (gguf === undefined || !formats.includes("gguf")) return [];
  const keys = leftOutTokenizerKeys({ metadata: gguf.metadata, tokenIds: plannedTokenIds(plan) });
  return keys.map((key) => `${basename(resolve(out))}.gguf: ${key}`);
}

/** A writer for each requested format; what a format cannot hold is refused here, before anything is written. */
async function writersOf(
  checkpoint: Checkpoint,
  { plan, expert }: ReadyExpert,
  tokenizer: TokenizerFiles | null,
  { license }: BaseModel,
  { out, formats = ["hf"], dtype, maxShardBytes, type, onnxType }: WriteOptions,
): Promise<FormatWriter<ExpertPart>[]> {
  const bytesBefore = checkpoint.gguf === undefined ? null : (await stat(checkpoint.path)).size;
  const makers: Readonly<Record<ExpertFormat, () => FormatWriter<ExpertPart>>> = {
    hf: () => huggingFaceWriter(expert, tokenizer, removedParameters(plan), defined({ dtype, maxShardBytes })),
    gguf: () =>
      ggufWriter(expertCheckpoint(checkpoint, plan, expert), {
        name: basename(resolve(out)),
        license,
        bytesBefore,
        ...defined({ type }),
      }),
    onnx: () => onnxWriter(expertCheckpoint(checkpoint, plan, expert), onnxType),
  };
  return EXPERT_FORMATS.filter((format) => formats.includes(format)).map((format) => makers[format]());
}

function cardCorpus(
  dimension: Dimension,
  plan: PrunePlan,
  { corpora, dense }: CardFigures,
  expert: PerplexityByDimension,
): CardCorpus[] {
  const label = plan.corpora[dimension];
  if (label === undefined) return [];
  const corpus = corpora?.find((candidate) => candidate.dimension === dimension);
  const figure = plan.vocabulary === undefined ? "perplexity" : "bitsPerByte";
  const [before, after] = [dense[dimension]?.[figure], expert[dimension]?.[figure]];
  return [
    {
      dimension,
      label,
      sources: corpus === undefined ? [] : sourcesOf(corpus),
      calibrationDocuments: corpus?.calibration.length ?? null,
      heldOutDocuments: corpus?.heldOut.length ?? null,
      quality: before === undefined || after === undefined ? null : { before, after },
    },
  ];
}

/** The sources of a corpus' documents, without line numbers and without the folders of this machine. */
function sourcesOf({ calibration, heldOut }: Corpus): string[] {
  const names = [...calibration, ...heldOut].map(({ source }) => source.replace(/:\d+$/, ""));
  return [...new Set(names.map((name) => (name.startsWith("preset ") ? name : basename(name))))];
}

/** The corpora that are language presets: these are named by their ISO 639-1 codes, other corpora are not. */
function languagesOf({ corpora }: PrunePlan): string[] {
  const codes = presetNames("language");
  return (corpora.language ?? "").split(" + ").filter((name) => codes.includes(name));
}
