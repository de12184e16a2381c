/** @file The calibration corpora beside the project (../shared/data), as `CorpusSpecs` name them. */

import { join } from "node:path";

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
