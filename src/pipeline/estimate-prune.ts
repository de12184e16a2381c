/**
 * @file What a run will take: the same checks and plans as before a run, and nothing after them.
 */

import { removeFolders } from "../folders.ts";
import type { PruneEstimate } from "../report/report.ts";
import { jobOptions } from "./job-options.ts";
import { type PruneOptions, withPreparedPrune } from "./prepare-prune.ts";
import { planStages } from "./prune-stages.ts";

/**
 * Estimates what `pruneModel` will take with the same options: the time of each stage on this machine, its memory and
 * the size of what comes out. Everything that it would refuse before its first stage is refused. Nothing is written,
 * and what earlier runs left in the work folder is only read; a model that has to be downloaded is.
 * @throws CusprunError as `pruneModel` before its first stage.
 * @example
 * ```ts
 * import { estimatePrune } from "cusprun";
 *
 * const { seconds, stages, memory, written } = await estimatePrune({
 *   model: "smollm2",
 *   corpora: { language: ["en"] },
 *   selection: { budget: "20%", layout: "uniform" },
 *   out: "experts/smollm2-en",
 * });
 * console.log(seconds, stages, memory.stages, written);
 * ```
 */
export async function estimatePrune(options: PruneOptions): Promise<PruneEstimate> {
  return withPreparedPrune(options, async (prepared) => {
    try {
      const { stages, parts } = await planStages(prepared, false, jobOptions(options));
      return {
        model: options.model,
        out: options.out,
        stages,
        seconds: stages.reduce((sum, { seconds }) => sum + seconds, 0),
        memory: prepared.memory,
        written: parts.map(({ label, bytes }) => ({ label, bytes })),
      };
    } finally {
      await removeFolders(prepared.madeFolders);
    }
  });
}
