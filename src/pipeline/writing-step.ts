/**
 * @file Writing as a step: checkpoint + plan → the expert's folder, measured before it stands in its place, with the figures in its card.
 */

import { realpath, stat } from "node:fs/promises";
import { basename, relative, resolve } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { DIMENSIONS, type Corpus, type Dimension } from "../corpora/corpus.ts";
import { presetNames } from "../corpora/presets.ts";
import { CusprunError } from "../errors.ts";
import { type FormatWriter, writeExpertFolder } from "../export/expert-folder.ts";
import { checkGgufExport } from "../export/gguf/export-gguf.ts";
import { ggufWriter, type WrittenGgufPart } from "../export/gguf/part.ts";
import type { GgufFileType } from "../export/gguf/types.ts";
import { huggingFaceWriter, removedParameters, type WrittenWeights } from "../export/hugging-face/write-hugging-face.ts";
import type { CardCorpus, ModelCardInput } from "../export/model-card.ts";
import { onnxWriter, type WrittenOnnxPart } from "../export/onnx/part.ts";
import type { OnnxType } from "../export/onnx/types.ts";
import { checkOutputFolder } from "../files.ts";
import type { JobOptions } from "../progress.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { cutExpert, type Expert } from "../surgery/expert.ts";
import { expertCheckpoint } from "../surgery/expert-checkpoint.ts";
import { expertTokenizerFiles } from "../surgery/expert-tokenizer.ts";
import type { RepairSummary } from "../surgery/repair.ts";
import { elementCount, type FloatDType } from "../tensor.ts";
import { type BaseModel, describeBaseModel } from "./base-model.ts";
import { defined } from "./defined.ts";
import type { PerplexityByDimension } from "./measure-step.ts";
import { cusprunVersion } from "./version.ts";

/** Formats that an expert is written in. */
export const EXPERT_FORMATS = ["hf", "gguf", "onnx"] as const;

/** The name of a format: a Hugging Face folder, a GGUF file, or an ONNX folder for transformers.js. */
export type ExpertFormat = (typeof EXPERT_FORMATS)[number];

/** What was written in one format. */
export type ExpertPart = WrittenWeights | WrittenGgufPart | WrittenOnnxPart;

/** Where and how an expert is written. */
export interface WriteOptions {
  /** Folder that becomes the expert. */
  readonly out: string;
  /** Replace a folder that holds something. Default false. */
  readonly overwrite?: boolean;
  /** What the folder holds; default `hf`. Never `onnx` alone, which cusprun cannot read and so not measure. */
  readonly formats?: readonly ExpertFormat[];
  /** Of the safetensors; default: that of the input, BF16 where the input is quantised. */
  readonly dtype?: FloatDType;
  /** How a GGUF stores its tensors; default: as the input does where it is one, otherwise the type of most values. */
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
  /** What repair did; null where the weights are those that the cut left. */
  readonly repair: RepairSummary | null;
}

/** What was written. */
export interface WrittenExpert {
  readonly parameters: number;
  /** Names of the files, in the order of writing. */
  readonly files: readonly string[];
  /** One per format. */
  readonly parts: readonly ExpertPart[];
  readonly repair: RepairSummary | null;
  /** The expert's perplexities, where they were measured. */
  readonly figures: PerplexityByDimension;
}

/** What the card can say of the corpora: those that were read, or only the labels in the plan. */
export interface CardFigures {
  readonly corpora: readonly Corpus[] | null;
  readonly dense: PerplexityByDimension;
  /** Measures the expert in the folder given, which is complete but for its card. */
  readonly measure: (folder: string) => Promise<PerplexityByDimension>;
}

/**
 * Checks before any work that an expert may be written.
 * @throws CusprunError `USAGE` for the name of a file and for ONNX alone; `OUTPUT_EXISTS` where the folder holds something, or the model that is to be read.
 */
export async function checkExpertFolder(
  { out, overwrite = false, formats = [] }: WriteOptions,
  checkpoint: Checkpoint | null,
): Promise<void> {
  if (formats.length > 0 && formats.every((format) => format === "onnx")) {
    throw new CusprunError("USAGE", {
      where: "formats",
      found: "onnx alone",
      expected: "hf or gguf with it: an expert's folder can be measured, verified and exported again",
      remedy: "Write --formats hf,onnx",
    });
  }
  if (/\.gguf$/i.test(out)) {
    throw new CusprunError("USAGE", {
      where: `out '${out}'`,
      found: "the name of a GGUF file",
      expected: "a folder, which holds the GGUF with its plan and its card",
      remedy: `Write --out ${out.replace(/\.gguf$/i, "")} --formats gguf`,
    });
  }
  await checkOutputFolder(out, overwrite);
  if (checkpoint === null) return;
  const model = await realpath(checkpoint.path);
  const target = await realpath(out).catch(() => resolve(out));
  // Replacing a folder above the model would delete what is being read.
  if (model === target || !/^\.\.([/\\]|$)/.test(relative(target, model))) {
    throw new CusprunError("OUTPUT_EXISTS", {
      where: out,
      found: "the model itself in it",
      expected: "a folder apart from the model",
      remedy: "Choose another --out",
    });
  }
}

/**
 * Refuses before any work what the formats cannot hold.
 * @param plan one of the sizes that the expert will have; which units go does not count.
 * @throws CusprunError what `checkGgufExport` throws.
 */
export async function checkExpertFormats({ formats = [] }: WriteOptions, checkpoint: Checkpoint, plan: PrunePlan): Promise<void> {
  if (!formats.includes("gguf")) return;
  // With the whole vocabulary: what a tokenizer is made of does not depend on how many tokens stay.
  const { vocabulary: _, ...units } = plan;
  const view = expertCheckpoint(checkpoint, units, cutExpert(checkpoint, units));
  const [first, ...others] = view.config.layerSizes;
  // A rehearsed plan may cut all layers alike where the real one will not.
  const isUnlike = plan.layout === "ragged" && first !== undefined && others.length > 0;
  const layerSizes = isUnlike ? [{ ...first, intermediateSize: first.intermediateSize + 1 }, ...others] : view.config.layerSizes;
  await checkGgufExport({ ...view, config: { ...view.config, layerSizes } });
}

/**
 * Writes an expert.
 * @param model what the user called the model.
 * @returns what was written, and the expert's figures.
 * @throws CusprunError what `writeExpertFolder` and the formats' writers throw.
 */
export async function writeExpert(
  model: string,
  checkpoint: Checkpoint,
  { plan, expert, repair }: ReadyExpert,
  options: WriteOptions,
  figures: CardFigures,
  job: JobOptions,
): Promise<WrittenExpert> {
  const base = await describeBaseModel(model, checkpoint);
  let measured: PerplexityByDimension = {};
  const card = async (folder: string): Promise<ModelCardInput> => {
    measured = await figures.measure(folder);
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
  const { out, overwrite } = options;
  const writers = await writersOf(checkpoint, { plan, expert, repair }, base, options);
  const { parts, files } = await writeExpertFolder(out, expert.config, writers, {
    ...job,
    ...defined({ overwrite }),
    plan,
    card,
  });
  const parameters = expert.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { parameters, files, parts, repair, figures: measured };
}

/** A writer for each format that was asked for; what a format cannot hold is refused here, before anything is written. */
async function writersOf(
  checkpoint: Checkpoint,
  { plan, expert }: ReadyExpert,
  { license }: BaseModel,
  { out, formats = ["hf"], dtype, maxShardBytes, type, onnxType }: WriteOptions,
): Promise<FormatWriter<ExpertPart>[]> {
  const tokenizer = await expertTokenizerFiles(checkpoint, plan);
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

/** Where a corpus' documents come from, without line numbers and without the folders of this machine. */
function sourcesOf({ calibration, heldOut }: Corpus): string[] {
  const names = [...calibration, ...heldOut].map(({ source }) => source.replace(/:\d+$/, ""));
  return [...new Set(names.map((name) => (name.startsWith("preset ") ? name : basename(name))))];
}

/** Language presets are named by their ISO 639-1 codes; what else the user may have called a corpus is no code. */
function languagesOf({ corpora }: PrunePlan): string[] {
  const codes = presetNames("language");
  return (corpora.language ?? "").split(" + ").filter((name) => codes.includes(name));
}
