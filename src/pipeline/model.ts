/**
 * @file The model of a step: the opened checkpoint, its tokenizer, and which optional tensors it has.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { resolveModel } from "../checkpoint/resolve.ts";
import { familyNamed, modelTensorName } from "../families/index.ts";
import type { BlockRole } from "../families/roles.ts";
import { createTokenizer, type Tokenizer } from "../corpora/tokenizer.ts";
import { CusprunError } from "../errors.ts";
import type { JobOptions } from "../progress.ts";
import { checkDevice } from "../model/sessions.ts";
import { presentOptionalRoles } from "../checkpoint/optional-roles.ts";

/** Optional tensors, which selection and surgery need to count parameters. */
export interface ModelExtras {
  /** The family's optional block tensors that this checkpoint has (biases). */
  readonly optionalRoles: readonly BlockRole[];
  /** Whether the checkpoint holds an output head, even where its config ties it to the embedding. */
  readonly separateHead: boolean;
}

/**
 * Opens a model by folder, file, Hugging Face id or catalog name, and closes it after the work.
 * @throws CusprunError the errors of `checkDevice`, `resolveModel`, `openCheckpoint` and of the work.
 */
export async function withModel<T>(model: string, job: JobOptions, work: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  await checkDevice(job.device);
  const checkpoint = await openCheckpoint(await resolveModel(model, job));
  try {
    return await work(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/**
 * The tokenizer of a model.
 * @throws CusprunError `TOKENIZER_MISSING`, and the errors of `createTokenizer`.
 */
export async function openTokenizer(checkpoint: Checkpoint): Promise<Tokenizer> {
  const files = await checkpoint.readTokenizerFiles();
  if (files === null) {
    throw new CusprunError("TOKENIZER_MISSING", {
      where: checkpoint.path,
      found: "no tokenizer",
      expected: "a tokenizer.json, or a GGUF file that holds its tokenizer",
      remedy: "Put the model's tokenizer.json and tokenizer_config.json next to its weights",
    });
  }
  return createTokenizer(files, checkpoint.path, checkpoint.config.vocabSize);
}

/** The optional tensors that a checkpoint has. */
export function modelExtras(checkpoint: Checkpoint): ModelExtras {
  return {
    optionalRoles: presentOptionalRoles(checkpoint),
    separateHead: checkpoint.tensors.has(modelTensorName(familyNamed(checkpoint.config.family), "outputHead")),
  };
}
