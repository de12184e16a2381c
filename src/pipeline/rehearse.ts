/**
 * @file The rehearsal of a run: everything that the model and the formats decide is settled, and the selection is tried
 * on made-up relevances, so that impossible requests are refused before anything expensive.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Dimension } from "../corpora/corpus.ts";
import { outputDType } from "../export/hugging-face/write-hugging-face.ts";
import { METHODS, type MethodName } from "../selection/methods/index.ts";
import type { PrunePlan } from "../selection/plan.ts";
import { cutExpert } from "../surgery/expert.ts";
import { checkRepair } from "../surgery/repair.ts";
import type { FloatDType } from "../tensor.ts";
import { modelExtras, type ModelExtras } from "./model.ts";
import { preferredSnap } from "./preferred-snap.ts";
import { dropsLayers, rehearseSelection, type SelectionChoice } from "./selection-step.ts";
import { checkExpertFormats, type WriteOptions } from "./writing-step.ts";

/** The options of a run that a rehearsal depends on, apart from its selection. */
export interface RehearsalOptions extends WriteOptions {
  readonly method?: MethodName;
  readonly repair?: boolean;
}

/** The settled options of a run, and the rehearsed plan. */
export interface RehearsedPrune {
  /** The choice, with everything that the model and the formats decide. */
  readonly selection: SelectionChoice;
  readonly extras: ModelExtras & { readonly dtype: FloatDType };
  readonly repairing: boolean;
  /** Sizes of the layers that are repaired, as far as they are known; null if nothing is repaired. */
  readonly repaired: Pick<ModelConfig, "layerSizes"> | null;
  /** A plan with the sizes that the expert will have; its units are made up. */
  readonly plan: PrunePlan;
}

/**
 * Settles what a run will do with an opened model, and tries it on made-up relevances.
 * @param choice with the method's defaults.
 * @throws CusprunError the errors of `checkRepair`, `rehearseSelection`, `cutExpert` and `checkExpertFormats`.
 */
export async function rehearsePrune(
  checkpoint: Checkpoint,
  dimensions: readonly Dimension[],
  choice: SelectionChoice,
  options: RehearsalOptions,
): Promise<RehearsedPrune> {
  const { config } = checkpoint;
  const extras = { ...modelExtras(checkpoint), dtype: options.dtype ?? outputDType(checkpoint.tensors.values()) };
  const snap = choice.snap ?? preferredSnap(checkpoint, options);
  const selection = { ...choice, ...(snap !== null && { snap }) };
  const repairing = options.repair ?? repairsByDefault(choice, options.method);
  const plan = await rehearseSelection(config, dimensions, selection, extras);
  if (repairing) checkRepair(plan);
  const expert = cutExpert(checkpoint, plan);
  await checkExpertFormats(options, checkpoint, plan, expert);
  // In a ragged layout the sizes are not known yet: a layer may keep all of its units.
  const sizes = plan.layout === "uniform" ? expert.config : config;
  return { selection, extras, repairing, repaired: repairing ? sizes : null, plan };
}

/** The paper's rows and columns and whole layers are not repaired; other units as the method decides. */
function repairsByDefault(choice: SelectionChoice, method: MethodName = "cusprun"): boolean {
  return METHODS[method].defaults.repair && choice.granularity !== "matrix" && !dropsLayers(choice);
}
