/** @file The calibration corpora beside the project (../shared/data), as `CorpusSpecs` name them; and an expert on their held-out documents. */

import { join } from "node:path";
import { measureExpert } from "../dist/pipeline/measure-step.js";

/** A corpus of one file. @param name without `.jsonl`. */
export function corpus(name) {
  return [join(import.meta.dirname, "../../shared/data/calibration", `${name}.jsonl`)];
}

/** The place that most is measured at. */
export const EN_MEDICAL_MULTIPLE_CHOICE = {
  language: corpus("language-en"),
  domain: corpus("domain-medical"),
  task: corpus("task-multiple-choice"),
};

/** Perplexities of an expert that keeps every token, in the order of the corpora, on their held-out documents. @param folder of the expert. */
export async function heldOutPerplexities(folder, corpora) {
  const measured = await measureExpert(folder, corpora, null, {});
  return corpora.map(({ dimension }) => measured[dimension].perplexity);
}
