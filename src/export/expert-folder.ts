/**
 * @file Writes the folder of an expert: the files of each format, the plan and the model card. It is written completely
 * or not at all.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { withOutputFolder, type OutputPlace } from "../output-place.ts";
import type { JobOptions } from "../progress.ts";
import { formatPlan } from "../selection/plan-file.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { WRITTEN_FILES_NAME } from "../written-files.ts";
import { CARD_FILE_NAME, isUnlistedExpert, PLAN_FILE_NAME } from "./unlisted-expert.ts";
import { modelCard, type ModelCardInput, type WrittenPart } from "./model-card.ts";

/** A tensor that will be written. */
export interface PlannedTensor {
  /** Tensors of the same kind are made alike: their pieces take the same time for each byte. */
  readonly kind: string;
  readonly bytes: number;
  /** Its bytes, in pieces. */
  pieces(): AsyncIterable<Uint8Array | readonly Uint8Array[]>;
}

/** What a writer will write. */
export interface PlannedPart extends Pick<WrittenPart, "label"> {
  /** Bytes of the expert's weights, as `WrittenPart` will report them. */
  readonly bytes: number;
  readonly tensors: readonly PlannedTensor[];
}

/** A writer of an expert in one format. */
export interface FormatWriter<Part extends WrittenPart = WrittenPart> {
  /** What `write` will write. Reads no weights. */
  plan(): Promise<PlannedPart>;
  /** Writes to a folder that is shared with other writers. */
  write(folder: string, job: JobOptions): Promise<Part>;
}

/** Options of `writeExpertFolder`. */
export interface ExpertFolderOptions extends JobOptions {
  /** Replace an output of an earlier run. Default false. */
  readonly overwrite?: boolean;
  /** The plan that the expert was pruned with. */
  readonly plan: PrunePlan;
  /**
   * The contents of the model card, or a function that returns them. The function receives the temporary folder,
   * complete except for the card, so that the card can include measurements of the written model.
   */
  readonly card: ModelCardInput | ((folder: string) => Promise<ModelCardInput>);
}

/**
 * Writes the folder of an expert.
 * @param config config of the expert.
 * @param writers one per format, in the order of writing.
 * @returns the result of each writer, and the names of all files.
 * @throws CusprunError `OUTPUT_EXISTS`, `OUTPUT_UNWRITABLE`, `DISK_FULL`; what the writers throw.
 */
export async function writeExpertFolder<Part extends WrittenPart>(
  out: string,
  config: ModelConfig,
  writers: readonly FormatWriter<Part>[],
  options: ExpertFolderOptions,
): Promise<{ readonly parts: readonly Part[]; readonly files: readonly string[] }> {
  const { overwrite = false, ...rest } = options;
  return withOutputFolder(out, { overwrite, recognises: isUnlistedExpert }, (place) =>
    fillExpertFolder(place, config, writers, rest),
  );
}

/** Writes the folder of an expert to a reserved place, as `writeExpertFolder`. */
export async function fillExpertFolder<Part extends WrittenPart>(
  place: OutputPlace,
  config: ModelConfig,
  writers: readonly FormatWriter<Part>[],
  { plan, card, ...job }: Omit<ExpertFolderOptions, "overwrite">,
): Promise<{ readonly parts: readonly Part[]; readonly files: readonly string[] }> {
  const parts: Part[] = [];
  await place.write(async (folder) => {
    for (const writer of writers) parts.push(await writer.write(folder, job));
    // cusprun's own files are written last, so that no copied file can replace them.
    await writeFile(join(folder, PLAN_FILE_NAME), formatPlan(plan));
    const input = typeof card === "function" ? await card(folder) : card;
    await writeFile(join(folder, CARD_FILE_NAME), modelCard(input, plan, { config, parts }));
  });
  const files = [...parts.flatMap((part) => part.files), PLAN_FILE_NAME, CARD_FILE_NAME, WRITTEN_FILES_NAME];
  return { parts, files };
}
