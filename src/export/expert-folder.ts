/**
 * @file Writes the folder of an expert: the files of each format, the plan and the model card. It is written completely
 * or not at all.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { writeFolderAtomically } from "../files.ts";
import type { JobOptions } from "../progress.ts";
import { formatPlan } from "../selection/plan-file.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { modelCard, type ModelCardInput, type WrittenPart } from "./model-card.ts";

/** File name of the plan in an expert's folder. */
export const PLAN_FILE_NAME = "cusprun-plan.json";

/** File name of the model card, by the hub's convention. */
const CARD_FILE_NAME = "README.md";

/** A writer of an expert in one format. */
export interface FormatWriter<Part extends WrittenPart = WrittenPart> {
  /** Writes to a folder that is shared with other writers. */
  write(folder: string, job: JobOptions): Promise<Part>;
}

/** Options of `writeExpertFolder`. */
export interface ExpertFolderOptions extends JobOptions {
  /** Replace a non-empty folder. Default false. */
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
  const { overwrite = false, plan, card, ...job } = options;
  const parts: Part[] = [];
  await writeFolderAtomically(out, overwrite, async (folder) => {
    for (const writer of writers) parts.push(await writer.write(folder, job));
    // cusprun's own files are written last, so that no copied file can replace them.
    await writeFile(join(folder, PLAN_FILE_NAME), formatPlan(plan));
    const input = typeof card === "function" ? await card(folder) : card;
    await writeFile(join(folder, CARD_FILE_NAME), modelCard(input, plan, { config, parts }));
  });
  return { parts, files: [...parts.flatMap(({ files }) => files), PLAN_FILE_NAME, CARD_FILE_NAME] };
}
