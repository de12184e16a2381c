/**
 * @file The paths that a run reads or keeps, which its output must not replace.
 */

import { getHFHubCachePath } from "@huggingface/hub";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import { DIMENSIONS } from "../corpora/corpus.ts";
import type { CorpusSpecs } from "../corpora/load.ts";
import { presetNames } from "../corpora/presets.ts";
import type { ProtectedPath } from "../protected-paths.ts";

/** What a run is given, as the user wrote it. */
export interface RunInputs {
  readonly model?: string;
  readonly against?: string;
  readonly corpora?: CorpusSpecs;
  readonly vocabularyCorpus?: readonly string[];
  readonly tasks?: readonly string[];
  readonly plan?: string;
  readonly scores?: string;
  readonly work?: string;
}

/** The paths among a run's inputs, and the folders of the user and of the program itself. */
export function protectedInputs(inputs: RunInputs): readonly ProtectedPath[] {
  const { model, against, corpora = {}, vocabularyCorpus = [], tasks = [], plan, scores, work } = inputs;
  const specs = DIMENSIONS.flatMap((dimension) => {
    const presets = presetNames(dimension);
    return (corpora[dimension] ?? []).filter((spec) => !presets.includes(spec));
  });
  const named = (paths: readonly (string | undefined)[], what: string): ProtectedPath[] =>
    paths.flatMap((path) => (path === undefined ? [] : [{ path, what }]));
  return [
    ...named([model, against], "the model"),
    ...named([...specs, ...vocabularyCorpus].flatMap(corpusPaths), "a corpus"),
    ...named(tasks, "an evaluation file"),
    ...named([plan], "the plan"),
    ...named([scores], "the scores"),
    ...(work === undefined ? [] : [{ path: work, what: "the work folder", holdsOutputs: true }]),
    { path: cusprunCacheDir(), what: "cusprun's cache" },
    { path: getHFHubCachePath(), what: "the cache of models from the hub" },
    { path: process.cwd(), what: "the current folder", holdsOutputs: true, mayBeFilled: true },
  ];
}

/** The paths of an opened model and of its own work folder. */
export function openedInputs(checkpoint: Checkpoint, workFolder: string | null): readonly ProtectedPath[] {
  const model = { path: checkpoint.path, what: "the model" };
  return workFolder === null ? [model] : [model, { path: workFolder, what: "the work folder" }];
}

/** A corpus may be named with a field: FILE#FIELD. */
function corpusPaths(spec: string): string[] {
  return spec.includes("#") ? [spec, spec.slice(0, spec.lastIndexOf("#"))] : [spec];
}
