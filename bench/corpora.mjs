/**
 * @file The calibration corpora in ../shared/data (next to the repository, not part of it) as `CorpusSpecs`, and the
 * perplexity of an expert on their held-out documents.
 */

import { join } from "node:path";
import { measureExpert } from "cusprun/internals";

/** A corpus of one file. @param name without `.jsonl`. */
export function corpus(name) {
  return [join(import.meta.dirname, "../../shared/data/calibration", `${name}.jsonl`)];
}

/** The expert that most benchmarks measure. */
export const EN_MEDICAL_MULTIPLE_CHOICE = {
  language: corpus("language-en"),
  domain: corpus("domain-medical"),
  task: corpus("task-multiple-choice"),
};

/**
 * Perplexities of an expert that keeps every token, on the held-out documents of the corpora, in their order.
 * @param folder of the expert.
 */
export async function heldOutPerplexities(folder, corpora) {
  const measured = await measureExpert(folder, corpora, null, null, {});
  return corpora.map(({ dimension }) => measured[dimension].perplexity);
}
