/**
 * @file Repair: with the dense and the pruned hidden states side by side, each layer's matrices are fitted again, in
 * order, to the inputs that they have in the pruned model, so that its residual stream follows the dense one again. No
 * gradient, no epochs; shapes do not change. Source: docs/architecture.md, "Repair".
 *
 * Expert + documents → a safetensors file with the fitted matrices, written layer by layer.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged } from "../checkpoint/identity.ts";
import { blockTensorName, familyNamed } from "../families/index.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors/read.ts";
import { inOnePiece, writeSafetensors } from "../checkpoint/safetensors/write.ts";
import { CusprunError } from "../errors.ts";
import type { KeptStates } from "../model/kept-states.ts";
import type { LayeredJobOptions } from "../model/layer-journal.ts";
import { keptLayers, type PrunePlan } from "../selection/plan.ts";
import type { Expert, ExpertTensor } from "./expert.ts";
import type { RepairDocuments } from "./repair-documents.ts";
import { RepairRun } from "./repair-run.ts";
import { FITTED_MATRICES, REPAIR_STEPS, stepsOf } from "./repair-steps.ts";
import type { RepairStep } from "./repair-steps.ts";

/** Name and version of the file's layout, in its metadata. */
export const REPAIR_FORMAT = "cusprun-repair-3";

/** The result of one step of repair on a layer. */
export interface RepairedMatrix {
  readonly layer: number;
  readonly step: RepairStep;
  /** Ridge strength λ, or null if the matrices were left unchanged. */
  readonly strength: number | null;
  /**
   * Squared error after repair as a share of that before it: of the residual stream, or of the sublayer's input, on
   * documents that were not fitted on.
   */
  readonly errorShare: number;
}

/** A summary of a repair, for reports. */
export interface RepairSummary {
  /** Documents that were fitted on. */
  readonly documents: number;
  /** Number of steps that changed matrices, and of all steps tried. */
  readonly fitted: number;
  readonly tried: number;
}

/** Options of a repair. */
export interface RepairOptions extends LayeredJobOptions {
  /** The dense model's states of the same documents, if scoring has kept them. They are left open. */
  readonly kept?: KeptStates;
}

/**
 * Fits the matrices of an expert and writes them to `out`, under their names and in f32; for each step also, as
 * `repair.{layer}.{step}` [2], the strength (NaN if its matrices were left unchanged) and the share of the error that
 * remains; and for every layer, as `importance.{layer}.{step}` [columns], the mean square of the step's input in the
 * repaired model.
 * @param expert the cut model; `checkpoint` is the one that it was cut from.
 * @param documents at least two, one of them held back and one not.
 * @throws CusprunError `REPAIR_UNSUPPORTED`; `MODEL_OVERFLOW`; `MODEL_CHANGED`; errors of reading the checkpoint and of
 *   writing files.
 */
export async function repairExpert(
  checkpoint: Checkpoint,
  expert: Expert,
  plan: PrunePlan,
  documents: RepairDocuments,
  out: string,
  options: RepairOptions,
): Promise<void> {
  checkRepair(plan);
  const run = await RepairRun.create(checkpoint, expert, documents, options.kept ?? null, options);
  const shapes = new Map(expert.tensors.map(({ name, shape }) => [name, shape]));
  const family = familyNamed(expert.config.family);
  const tensors = plan.layers.flatMap(({ layer }) => {
    const steps = stepsOf(plan, layer);
    const result = (): ReturnType<RepairRun["layer"]> => run.layer(layer, steps);
    const importances = REPAIR_STEPS.map((step) => ({
      name: importanceName(layer, step),
      dtype: "F32" as const,
      shape: [shapes.get(blockTensorName(family, layer, FITTED_MATRICES[step][0]!))![1]!],
      pieces: inOnePiece(async () => (await result()).importances.get(step)!),
    }));
    const fitted = steps.flatMap((step) => [
      ...FITTED_MATRICES[step].map((role) => {
        const name = blockTensorName(family, layer, role);
        const pieces = inOnePiece(async () => (await result()).matrices.get(role)!);
        return { name, dtype: "F32" as const, shape: shapes.get(name)!, pieces };
      }),
      {
        name: reportName(layer, step),
        dtype: "F32" as const,
        shape: [2],
        pieces: inOnePiece(async () => (await result()).reports.get(step)!),
      },
    ]);
    return [...fitted, ...importances];
  });
  try {
    const beforeReplacing = (): Promise<void> => checkUnchanged(checkpoint);
    await writeSafetensors(out, tensors, { format: REPAIR_FORMAT }, { beforeReplacing });
  } finally {
    await run.close();
  }
}

/**
 * Refuses a plan that removes whole layers, before any work.
 * @throws CusprunError `REPAIR_UNSUPPORTED`.
 */
export function checkRepair(plan: PrunePlan): void {
  const dropped = plan.layers.length - keptLayers(plan).length;
  if (dropped === 0) return;
  throw new CusprunError("REPAIR_UNSUPPORTED", {
    where: "repair",
    found: `a plan that removes ${dropped} whole layers`,
    expected: "a plan that keeps every layer, since each is fitted to the same layer of the dense model",
    remedy: "Pass --no-repair, or no corpora to 'cusprun apply'",
  });
}

/**
 * An expert whose repaired matrices are read from a file that `repairExpert` wrote; those that the fit left unchanged
 * are read as they are stored in the checkpoint. The importances of the columns of all its blocks' matrices are in the
 * file too. The file must stay open while tensors are read.
 * @param report the file's report, from `readRepairReport`.
 */
export function withRepair(expert: Expert, repair: SafetensorsFile, report: readonly RepairedMatrix[]): Expert {
  const family = familyNamed(expert.config.family);
  const fitted = report.filter(({ strength }) => strength !== null);
  const names = new Set(
    fitted.flatMap(({ layer, step }) => FITTED_MATRICES[step].map((role) => blockTensorName(family, layer, role))),
  );
  const importances = new Map(
    expert.config.layerSizes.flatMap((_, layer) =>
      REPAIR_STEPS.flatMap((step) =>
        FITTED_MATRICES[step].map((role) => [blockTensorName(family, layer, role), importanceName(layer, step)] as const),
      ),
    ),
  );
  return {
    ...expert,
    tensors: expert.tensors.map((tensor): ExpertTensor => {
      const importance = importances.get(tensor.name);
      const known: ExpertTensor =
        importance === undefined ? tensor : { ...tensor, readImportance: () => repair.readFloat32(importance) };
      if (!names.has(tensor.name)) return known;
      return { ...known, readFloat32: (rows) => repair.readFloat32(tensor.name, rows), readBytes: null, rowsAsStored: null };
    }),
  };
}

/** The steps of a repair, read from its file. */
export async function readRepairReport(repair: SafetensorsFile): Promise<readonly RepairedMatrix[]> {
  const matrices: RepairedMatrix[] = [];
  for (const name of repair.tensors.keys()) {
    const match = /^repair\.(\d+)\.(\w+)$/.exec(name);
    if (match === null) continue;
    const [strength, errorShare] = (await repair.readFloat32(name)) as unknown as [number, number];
    matrices.push({
      layer: Number(match[1]),
      step: match[2] as RepairStep,
      strength: Number.isNaN(strength) ? null : strength,
      errorShare,
    });
  }
  return matrices;
}

function reportName(layer: number, step: RepairStep): string {
  return `repair.${layer}.${step}`;
}

function importanceName(layer: number, step: RepairStep): string {
  return `importance.${layer}.${step}`;
}
