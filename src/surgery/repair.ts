/**
 * @file Repair: with the dense and the pruned hidden states side by side, each layer's output matrices are fitted anew, in order, on
 * what the pruned model really feeds them, towards the residual stream that the dense model has there. No gradient, no epochs; shapes do
 * not change. Source: architecture, "Repair".
 *
 * Expert + documents → a safetensors file with the fitted matrices, written layer by layer.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { FAMILIES, blockTensorName } from "../checkpoint/families.ts";
import type { ModelConfig } from "../checkpoint/model-config.ts";
import type { SafetensorsFile } from "../checkpoint/safetensors-read.ts";
import { writeSafetensors } from "../checkpoint/safetensors-write.ts";
import type { TokenDocument } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { writeFileAtomically } from "../files.ts";
import type { JobOptions } from "../progress.ts";
import { makeBatches } from "../scoring/batches.ts";
import type { Batch } from "../scoring/batches.ts";
import type { FitRole } from "../scoring/block-fit.ts";
import { embedBatches } from "../scoring/embedding.ts";
import { LayerProgram } from "../scoring/layer-program.ts";
import type { WeightSource } from "../scoring/layer-program.ts";
import type { LayerPlan, PrunePlan } from "../selection/plan.ts";
import type { Expert, ExpertTensor } from "./expert.ts";
import { Products } from "./products.ts";
import { NormalEquations, fitMatrix } from "./repair-fit.ts";
import type { Fit } from "./repair-fit.ts";

/** Name and version of the file's layout, in its metadata. */
export const REPAIR_FORMAT = "cusprun-repair-1";

/** One document in this many chooses the ridge's strength; the others are fitted. */
const HELD_BACK_EVERY = 5;

/** What repair did to one matrix. */
export interface RepairedMatrix {
  readonly layer: number;
  readonly role: FitRole;
  /** Ridge strength λ, or null where the matrix was left as it was. */
  readonly strength: number | null;
  /** Squared error of the residual stream on documents that were not fitted, after repair as a share of before. */
  readonly errorShare: number;
}

/** Repair in short, for reports. */
export interface RepairSummary {
  /** Documents that were fitted on. */
  readonly documents: number;
  /** Output matrices that were fitted anew, and all that were tried. */
  readonly fitted: number;
  readonly tried: number;
}

/** Whether repair can be done: not behind a norm between a sublayer and the residual stream. */
export function canRepair({ family }: ModelConfig): boolean {
  return !FAMILIES[family].requiredRoles.some((role) => role === "postAttentionNorm" || role === "postFfnNorm");
}

/**
 * Fits the output matrices of an expert and writes them to `out`, under their names and in f32; beside each, as
 * `repair.{layer}.{role}` [2], the strength (NaN where the matrix was left as it was) and the share of the error that remains.
 * @param expert the cut model; the checkpoint is the one it was cut from.
 * @param documents at least two.
 * @throws CusprunError `REPAIR_UNSUPPORTED`; what reading the checkpoint and writing files throw.
 */
export async function repairExpert(
  checkpoint: Checkpoint,
  expert: Expert,
  plan: PrunePlan,
  documents: readonly TokenDocument[],
  out: string,
  options: JobOptions,
): Promise<void> {
  checkRepair(checkpoint.config);
  const fitsAttention = plan.layers.some((layerPlan) => rolesToFit(layerPlan).includes("o"));
  const run = await RepairRun.create(checkpoint, expert, documents, fitsAttention, options);
  const shapes = new Map(expert.tensors.map(({ name, shape }) => [name, shape]));
  const family = FAMILIES[expert.config.family];
  const tensors = plan.layers.flatMap((layerPlan) =>
    rolesToFit(layerPlan).flatMap((role) => {
      const { layer } = layerPlan;
      const name = blockTensorName(family, layer, role);
      const result = async (): Promise<LayerRepair> => (await run.layer(layer, rolesToFit(layerPlan))).get(role)!;
      return [
        { name, dtype: "F32" as const, shape: shapes.get(name)!, read: async () => asBytes((await result()).matrix) },
        { name: reportName(layer, role), dtype: "F32" as const, shape: [2], read: async () => asBytes((await result()).report) },
      ];
    }),
  );
  try {
    await writeFileAtomically(out, (temporary) => writeSafetensors(temporary, tensors, { format: REPAIR_FORMAT }));
  } finally {
    await run.close();
  }
}

/**
 * Refuses before any work what `canRepair` denies.
 * @throws CusprunError `REPAIR_UNSUPPORTED`.
 */
export function checkRepair(config: ModelConfig): void {
  if (canRepair(config)) return;
  throw new CusprunError("REPAIR_UNSUPPORTED", {
    where: "repair",
    found: `a ${config.family} model, which norms what its sublayers write`,
    expected: "a family whose output matrices write to the residual stream as they are",
    remedy: "Pass --no-repair, or no corpora to 'cusprun apply'",
  });
}

/**
 * An expert whose repaired matrices come from a file that `repairExpert` wrote; those that the fit left as they were stay as they are stored.
 * The file must stay open while tensors are read.
 * @param report what `readRepairReport` reads from the file.
 */
export function withRepair(expert: Expert, repair: SafetensorsFile, report: readonly RepairedMatrix[]): Expert {
  const family = FAMILIES[expert.config.family];
  const fitted = report.filter(({ strength }) => strength !== null);
  const names = new Set(fitted.map(({ layer, role }) => blockTensorName(family, layer, role)));
  return {
    ...expert,
    tensors: expert.tensors.map((tensor): ExpertTensor => {
      if (!names.has(tensor.name)) return tensor;
      return { ...tensor, readFloat32: (rows) => repair.readFloat32(tensor.name, rows), readBytes: null, rowsAsStored: null };
    }),
  };
}

/** What repair did, read from its file. */
export async function readRepairReport(repair: SafetensorsFile): Promise<readonly RepairedMatrix[]> {
  const matrices: RepairedMatrix[] = [];
  for (const name of repair.tensors.keys()) {
    const match = /^repair\.(\d+)\.(o|down)$/.exec(name);
    if (match === null) continue;
    const [strength, errorShare] = (await repair.readFloat32(name)) as unknown as [number, number];
    matrices.push({
      layer: Number(match[1]),
      role: match[2] as FitRole,
      strength: Number.isNaN(strength) ? null : strength,
      errorShare,
    });
  }
  return matrices;
}

function reportName(layer: number, role: FitRole): string {
  return `repair.${layer}.${role}`;
}

/** `down` in every layer, since errors come in from the layers before; `o` where the attention was cut, before `down`. */
function rolesToFit({ cuts }: LayerPlan): readonly FitRole[] {
  const attentionIsCut = Object.entries(cuts).some(([kind, cut]) => !FFN_CUTS.has(kind) && cut.removed.length > 0);
  return attentionIsCut ? ["o", "down"] : ["down"];
}

const FFN_CUTS: ReadonlySet<string> = new Set(["ffn", "matrix:gate", "matrix:up", "matrix:down"]);

/** One fitted matrix, [D, n], and its report. */
interface LayerRepair {
  readonly matrix: Float32Array<ArrayBuffer>;
  readonly report: Float32Array<ArrayBuffer>;
}

/** The two models side by side, one layer further whenever the next layer's matrices are asked for. */
class RepairRun {
  readonly #batches: readonly Batch[];
  /** Batches from this number on are held back. */
  readonly #firstHeldBack: number;
  readonly #dense: LayerProgram;
  readonly #pruned: LayerProgram;
  readonly #fits: Readonly<Record<FitRole, LayerProgram>>;
  readonly #products: Products;
  readonly #options: JobOptions;
  readonly #layerCount: number;
  readonly #denseStates: Float32Array<ArrayBuffer>[];
  readonly #prunedStates: Float32Array<ArrayBuffer>[];
  #current: { readonly layer: number; readonly repairs: ReadonlyMap<FitRole, LayerRepair> } | null = null;

  private constructor(
    checkpoint: Checkpoint,
    pruned: WeightSource,
    batches: readonly Batch[],
    firstHeldBack: number,
    states: readonly Float32Array<ArrayBuffer>[],
    products: Products,
    fitsAttention: boolean,
    options: JobOptions,
  ) {
    this.#batches = batches;
    this.#firstHeldBack = firstHeldBack;
    this.#dense = new LayerProgram(checkpoint, batches, { attentionStream: fitsAttention });
    this.#pruned = new LayerProgram(pruned, batches, {});
    this.#fits = {
      o: new LayerProgram(pruned, batches, { fit: "o" }),
      down: new LayerProgram(pruned, batches, { fit: "down" }),
    };
    this.#products = products;
    this.#options = options;
    this.#layerCount = checkpoint.config.numHiddenLayers;
    this.#denseStates = [...states];
    this.#prunedStates = [...states];
  }

  static async create(
    checkpoint: Checkpoint,
    expert: Expert,
    documents: readonly TokenDocument[],
    fitsAttention: boolean,
    options: JobOptions,
  ): Promise<RepairRun> {
    const isHeldBack = (index: number): boolean =>
      index % HELD_BACK_EVERY === HELD_BACK_EVERY - 1 || (documents.length <= HELD_BACK_EVERY && index === documents.length - 1);
    const training = makeBatches(documents.filter((_, index) => !isHeldBack(index)));
    const batches = [...training, ...makeBatches(documents.filter((_, index) => isHeldBack(index)))];
    const states = await embedBatches(checkpoint, batches, options);
    const products = await Products.create();
    return new RepairRun(checkpoint, asWeightSource(expert), batches, training.length, states, products, fitsAttention, options);
  }

  /** Fits a layer's matrices; layers are to be asked for in order, each any number of times. */
  async layer(layer: number, roles: readonly FitRole[]): Promise<ReadonlyMap<FitRole, LayerRepair>> {
    if (this.#current?.layer !== layer) this.#current = { layer, repairs: await this.#repairLayer(layer, roles) };
    return this.#current.repairs;
  }

  async close(): Promise<void> {
    for (const program of [this.#dense, this.#pruned, this.#fits.o, this.#fits.down]) await program.close();
    await this.#products.close();
  }

  async #repairLayer(layer: number, roles: readonly FitRole[]): Promise<ReadonlyMap<FitRole, LayerRepair>> {
    const attentionStreams: Float32Array<ArrayBuffer>[] = [];
    await this.#dense.runLayer(
      layer,
      await this.#dense.readWeights(layer),
      this.#denseStates,
      () => ({}),
      (_batch, outputs, number) => {
        const { attentionStream } = outputs;
        if (attentionStream !== undefined) attentionStreams[number] = attentionStream;
      },
      this.#options,
    );
    const { shape, weights } = await this.#pruned.readWeights(layer);
    const repaired = new Map(weights);
    const repairs = new Map<FitRole, LayerRepair>();
    for (const role of roles) {
      const targets = role === "o" ? attentionStreams : this.#denseStates;
      const [training, heldBack] = await this.#normalEquations(layer, role, { shape, weights: repaired }, targets);
      const { data, shape: matrixShape } = repaired.get(role)!;
      const [D, n] = matrixShape as [number, number];
      const fit = await fitMatrix(this.#products, training, heldBack, transpose(data as Float32Array, D, n));
      const matrix = Float32Array.from(transpose(fit.weights, n, D));
      repaired.set(role, { data: matrix, shape: matrixShape });
      repairs.set(role, { matrix, report: reportOf(fit) });
    }
    await this.#pruned.runLayer(
      layer,
      { shape, weights: repaired },
      this.#prunedStates,
      () => ({}),
      () => undefined,
      this.#options,
    );
    this.#options.onProgress?.({ stage: "repairing", done: layer + 1, total: this.#layerCount, unit: "layers" });
    return repairs;
  }

  /** Sums over the training and over the held-back documents. */
  async #normalEquations(
    layer: number,
    role: FitRole,
    block: Parameters<LayerProgram["runLayer"]>[1],
    targets: readonly Float32Array<ArrayBuffer>[],
  ): Promise<readonly [NormalEquations, NormalEquations]> {
    const [D, n] = block.weights.get(role)!.shape as [number, number];
    const [training, heldBack] = [new NormalEquations(n, D), new NormalEquations(n, D)];
    const feeds = (number: number): ReturnType<Parameters<LayerProgram["runLayer"]>[3]> => {
      const { documents, length } = this.#batches[number]!;
      return { target: { data: targets[number]!, shape: [documents.length, length, D] } };
    };
    await this.#fits[role].runLayer(
      layer,
      block,
      this.#prunedStates,
      feeds,
      (_batch, { gram, cross, targetEnergy }, number) => {
        const equations = number < this.#firstHeldBack ? training : heldBack;
        equations.add({ gram: gram!, cross: cross!, targetEnergy: targetEnergy! });
      },
      this.#options,
    );
    return [training, heldBack];
  }
}

function asWeightSource({ config, tensors }: Expert): WeightSource {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return { config, tensors: byName, readFloat32: (name) => byName.get(name)!.readFloat32() };
}

function reportOf({ strength, errorBefore, errorAfter }: Fit): Float32Array<ArrayBuffer> {
  return Float32Array.of(strength ?? Number.NaN, errorBefore === 0 ? 1 : errorAfter / errorBefore);
}

/** [rows, columns] → [columns, rows], in f64. */
function transpose(values: Float32Array | Float64Array, rows: number, columns: number): Float64Array<ArrayBuffer> {
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}

function asBytes(values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
