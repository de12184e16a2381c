/**
 * @file An expert's folder: what each format's writer puts there, the plan and the model card. It appears complete or not at all.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import { writeFolderAtomically } from "../files.ts";
import type { JobOptions } from "../progress.ts";
import { formatPlan } from "../selection/plan-file.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { modelCard, type ModelCardInput, type WrittenPart } from "./model-card.ts";

/** The plan's name in an expert's folder. */
export const PLAN_FILE_NAME = "cusprun-plan.json";

/** The model card's name, by the hub's convention. */
const CARD_FILE_NAME = "README.md";

/** Writes an expert in one format. */
export interface FormatWriter<Part extends WrittenPart = WrittenPart> {
  /** Writes into a folder that others write into as well. */
  write(folder: string, job: JobOptions): Promise<Part>;
}

/** What a folder is written from. */
export interface ExpertFolderOptions extends JobOptions {
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

/**
 * Writes the folder.
 * @param config of the expert.
 * @param writers in the order of writing.
 * @returns what each of them wrote, and the names of all files.
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
    // Our own files come last, so that no carried-over file can take their names.
    await writeFile(join(folder, PLAN_FILE_NAME), formatPlan(plan));
    const input = typeof card === "function" ? await card(folder) : card;
    await writeFile(join(folder, CARD_FILE_NAME), modelCard(input, plan, { config, parts }));
  });
  return { parts, files: [...parts.flatMap(({ files }) => files), PLAN_FILE_NAME, CARD_FILE_NAME] };
}
