/**
 * @file Relevances as selection reads them: scores per document → one relevance per unit and dimension, layer by layer.
 * Source: docs/architecture.md, "Relevance".
 */

import type { Dimension } from "../corpora/corpus.ts";
import { CusprunError } from "../errors.ts";
import { pause } from "../progress.ts";
import type { JobOptions } from "../progress.ts";
import type { RelevanceScores } from "../scoring/relevance.ts";
import { aggregateRelevance } from "./aggregate.ts";
import type { Aggregate } from "./aggregate.ts";
import { relevanceKindOf } from "./plan.ts";
import type { CutKind } from "./plan.ts";

/** Relevances of one layer: per kind and dimension, [U]. */
export type LayerRelevance = ReadonlyMap<CutKind, readonly Float64Array[]>;

/** Which relevances are read, and how those of several documents become one. */
export interface RelevanceRequest {
  readonly kinds: readonly CutKind[];
  readonly dimensions: readonly Dimension[];
  readonly aggregate: Aggregate;
  /** Whether relevances are shares of the residual stream's norm; otherwise they are norms themselves. */
  readonly asShare: boolean;
}

/**
 * Aggregated relevance of every unit, one entry per layer; each scored kind of a layer is read once.
 * @throws CusprunError `SCORES_LACK` for a relevance that is not finite; the reason of the signal, if it aborts.
 */
export async function readRelevance(
  scores: RelevanceScores,
  request: RelevanceRequest,
  job: JobOptions,
): Promise<LayerRelevance[]> {
  const layerCount = scores.config.numHiddenLayers;
  const layers: LayerRelevance[] = [];
  for (let layer = 0; layer < layerCount; layer++) {
    layers.push(await readLayer(scores, layer, request));
    job.onProgress?.({ stage: "selecting", done: layer + 1, total: layerCount, unit: "layers" });
    await pause(job.signal);
  }
  return layers;
}

async function readLayer(
  scores: RelevanceScores,
  layer: number,
  { kinds, dimensions, aggregate, asShare }: RelevanceRequest,
): Promise<LayerRelevance> {
  const documents = dimensions.map((dimension) =>
    scores.documents.flatMap((document, i) => (document.dimensions.includes(dimension) ? [i] : [])),
  );
  const bySource = new Map<string, readonly Float64Array[]>();
  const byKind = new Map<CutKind, readonly Float64Array[]>();
  for (const kind of kinds) {
    const source = relevanceKindOf(kind);
    let values = bySource.get(source);
    if (values === undefined) {
      const relevance = await scores.read(layer, source);
      const reference = asShare ? await scores.readReference(layer, source) : null;
      const unitCount = relevance.length / scores.documents.length;
      values = documents.map((chosen) => aggregateRelevance(relevance, reference, chosen, unitCount, aggregate));
      if (values.some((perUnit) => !perUnit.every(Number.isFinite))) {
        throw new CusprunError("SCORES_LACK", {
          where: `scores: layer ${layer}, ${source}`,
          found: "a relevance that is not a finite number",
          expected: "finite relevances",
          remedy: "Score again; if the error comes back, the model overflows on one of the documents",
        });
      }
      bySource.set(source, values);
    }
    byKind.set(kind, values);
  }
  return byKind;
}
