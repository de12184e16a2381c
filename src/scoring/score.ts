/**
 * @file Scoring: a checkpoint and the corpora of the dimensions in, a file of relevances out. One forward pass for all
 * dimensions; a document that is in several corpora runs once. Each layer is written when it is done.
 */

import { createHash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged, identifyModel } from "../checkpoint/identity.ts";
import { inOnePiece, writeSafetensors } from "../checkpoint/safetensors/write.ts";
import type { Corpus, Dimension, TokenDocument } from "../corpora/corpus.ts";
import { makeBatches, type Batch } from "../model/batches.ts";
import type { MapChange } from "../model/block-energies.ts";
import { OUTPUT_GRAM_ENERGIES } from "../model/block-energies.ts";
import type { BlockShape } from "../model/block-shape.ts";
import { checkpointFingerprint, documentFingerprint, vocabularyFingerprint } from "./fingerprint.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import type { KeptStates } from "../model/kept-states.ts";
import { type LayeredJobOptions, type LayerJournal, NO_JOURNAL, resumeStates, type StepResult } from "../model/layer-journal.ts";
import { LayerProgram } from "../model/layer-program.ts";
import { LayerScores, OutputGram, energiesFor, type Reference } from "./layer-scorer.ts";
import { modelOverflow } from "./overflow.ts";
import { planMemory, type MemoryPlan } from "../model/memory-plan.ts";
import type { RelevanceKind } from "../model/units.ts";
import { planScoresTensors, planVocabularyTensors, vocabularyValues } from "./scores-file.ts";
import { SCORES_FORMAT_VERSION, scoresMetadata } from "./scores-header.ts";
import { scoreTokens, type VocabularyFacts } from "./token-relevance.ts";

/** Options of a scoring run. */
export interface ScoreOptions extends LayeredJobOptions {
  /** The kinds to score. Default: `["ffn"]`. */
  readonly kinds?: readonly RelevanceKind[];
  /** How relevances of rotary pairs and of rows of q and k are computed. Default: `first-order`. */
  readonly mapChange?: MapChange;
  /** If given, tokens are scored too: facts about them, for the dimensions of the corpora in their order. */
  readonly vocabulary?: VocabularyFacts | null;
  /** If given, receives the hidden states after every layer, for repair. */
  readonly keep?: KeptStates;
}

/** The kinds that are scored by default. */
export const DEFAULT_KINDS: readonly RelevanceKind[] = ["ffn"];

/** A document and the dimensions that calibrate on it. */
interface SharedDocument {
  readonly document: TokenDocument;
  readonly dimensions: Dimension[];
}

/**
 * SHA-256 (hex) of everything that the scores depend on. It is known before scoring, and written into the file.
 * @throws CusprunError the errors of `identifyModel`.
 */
export async function scoresFingerprint(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  options: ScoreOptions = {},
): Promise<string> {
  const { kinds = DEFAULT_KINDS, mapChange = "first-order", vocabulary } = options;
  const documents = shareDocuments(corpora).map(({ document, dimensions }) => [documentFingerprint(document), dimensions]);
  const tokens = vocabulary ? vocabularyFingerprint(vocabulary) : null;
  const model = await checkpointFingerprint(checkpoint, options);
  const parts = [SCORES_FORMAT_VERSION, model, documents, kinds.toSorted(), mapChange, tokens];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/**
 * Scores every unit of the requested kinds on the calibration documents of all corpora, and writes the relevances to
 * `out` (format: docs/scores-file.md).
 * @throws CusprunError `MEMORY_LIMIT`; `MODEL_OVERFLOW`; the errors of `identifyModel`, `checkUnchanged`, of reading
 *   the checkpoint, of writing files and of `openHiddenStates`.
 */
export async function scoreCorpora(
  checkpoint: Checkpoint,
  corpora: readonly Corpus[],
  out: string,
  options: ScoreOptions = {},
): Promise<void> {
  const { kinds = DEFAULT_KINDS, mapChange = "first-order", vocabulary = null } = options;
  const { config } = checkpoint;
  const shared = shareDocuments(corpora);
  const documents = shared.map(({ document }) => document);
  const metadata = scoresMetadata({
    fingerprint: await scoresFingerprint(checkpoint, corpora, options),
    model: await identifyModel(checkpoint, options),
    config,
    kinds,
    mapChange,
    corpora: Object.fromEntries(corpora.map(({ dimension, label }) => [dimension, label])),
    documents: shared.map(({ document, dimensions }) => ({
      source: document.source,
      tokenCount: document.tokens.length,
      dimensions,
    })),
    vocabulary: vocabulary !== null,
  });
  const lengths = documents.map(({ tokens }) => tokens.length);
  const memory = planMemory(
    { stage: "scoring", config, lengths, kinds, mapChange, vocabulary: vocabulary !== null },
    options.memoryLimit,
  );
  const scorer = new Scorer(checkpoint, documents, kinds, mapChange, memory, options);
  const tensors = planScoresTensors(config, kinds, documents.length).map(({ layer, content, name, shape }) => ({
    name,
    shape,
    dtype: "F32" as const,
    pieces: inOnePiece(async () => {
      const scores = await scorer.layer(layer);
      return scores[content.type === "relevance" ? content.kind : referenceName(content.reference)]!;
    }),
  }));
  const dimensions = corpora.map(({ dimension }) => dimension);
  // The layers' tensors are written before these: by then the hidden states after the last layer are there.
  const tokenTensors = (vocabulary === null ? [] : planVocabularyTensors(config, dimensions)).map(({ name, shape }, index) => ({
    name,
    shape,
    dtype: "F32" as const,
    pieces: inOnePiece(async () => (await scorer.tokens(vocabulary!, shared))[index]!),
  }));
  try {
    await writeSafetensors(out, [...tensors, ...tokenTensors], metadata, { beforeReplacing: () => checkUnchanged(checkpoint) });
  } finally {
    await scorer.close();
  }
}

/** Every calibration document once, with the dimensions that it belongs to. */
function shareDocuments(corpora: readonly Corpus[]): readonly SharedDocument[] {
  const shared = new Map<string, SharedDocument>();
  for (const { dimension, calibration } of corpora) {
    for (const document of calibration) {
      const key = documentFingerprint(document);
      const known = shared.get(key);
      if (known === undefined) shared.set(key, { document, dimensions: [dimension] });
      else if (!known.dimensions.includes(dimension)) known.dimensions.push(dimension);
    }
  }
  return [...shared.values()];
}

/** Name of a reference in the result of a layer, where the kinds' relevances have the kinds' names. */
function referenceName(reference: Reference): string {
  return `reference ${reference}`;
}

/** Advances the layer program by a layer whenever the next layer's scores are requested. */
class Scorer {
  readonly #checkpoint: Checkpoint;
  readonly #documents: readonly TokenDocument[];
  readonly #kinds: readonly RelevanceKind[];
  readonly #options: LayeredJobOptions;
  readonly #journal: LayerJournal;
  readonly #batches: readonly Batch[];
  readonly #spills: boolean;
  readonly #program: LayerProgram;
  /** Null if no states are kept. */
  #keep: KeptStates | null;
  #states: HiddenStates | null = null;
  /** By block shape. */
  readonly #grams = new Map<string, OutputGram>();
  #current: { readonly layer: number; readonly scores: StepResult } | null = null;
  /** Of all documents. */
  readonly #tokenCount: number;
  #tokens: readonly Float32Array<ArrayBuffer>[] | null = null;
  #tokensDone = 0;

  constructor(
    checkpoint: Checkpoint,
    documents: readonly TokenDocument[],
    kinds: readonly RelevanceKind[],
    mapChange: MapChange,
    { batchTokens, spills }: MemoryPlan,
    options: ScoreOptions,
  ) {
    this.#checkpoint = checkpoint;
    this.#documents = documents;
    this.#kinds = kinds;
    this.#options = options;
    this.#journal = options.journal ?? NO_JOURNAL;
    this.#batches = makeBatches(documents, batchTokens);
    this.#spills = spills;
    this.#keep = options.keep ?? null;
    this.#tokenCount = documents.reduce((sum, { tokens }) => sum + tokens.length, 0);
    this.#program = new LayerProgram(checkpoint, this.#batches, {
      part: "block",
      energies: { outputs: energiesFor(kinds), mapChange },
    });
  }

  /** Relevances and references of a layer. Layers must be requested in order, each any number of times. */
  async layer(layer: number): Promise<StepResult> {
    this.#states ??= await this.#begin();
    while (this.#current === null || this.#current.layer < layer) {
      const next = (this.#current?.layer ?? -1) + 1;
      const scores = await this.#journal.step(
        next,
        () => this.#run(next),
        () => [this.#states!],
      );
      this.#current = { layer: next, scores };
    }
    return this.#current.scores;
  }

  async #begin(): Promise<HiddenStates> {
    const { states, done } = await resumeStates(this.#checkpoint, this.#batches, this.#spills, this.#options);
    this.#tokensDone = Math.min(done, this.#checkpoint.config.numHiddenLayers) * this.#tokenCount;
    // What an earlier run has done is not there to be kept.
    if (done > 0) this.#keep = null;
    this.#keep?.begin(this.#batches, states);
    return states;
  }

  /** Values of the vocabulary's tensors, after the last layer. */
  async tokens(facts: VocabularyFacts, shared: readonly SharedDocument[]): Promise<readonly Float32Array<ArrayBuffer>[]> {
    this.#tokens ??= await this.#scoreTokens(facts, shared);
    return this.#tokens;
  }

  async #scoreTokens(facts: VocabularyFacts, shared: readonly SharedDocument[]): Promise<readonly Float32Array<ArrayBuffer>[]> {
    const { vocabSize, numHiddenLayers } = this.#checkpoint.config;
    await this.layer(numHiddenLayers - 1);
    const relevance = await scoreTokens(
      this.#checkpoint,
      facts,
      this.#documents,
      this.#batches,
      this.#states!,
      (document) => shared[document]!.dimensions,
      this.#options,
    );
    this.#options.onProgress?.({ stage: "scoring", done: this.#tokensDone, total: this.#tokensDone, unit: "layer tokens" });
    return vocabularyValues(vocabSize, relevance);
  }

  async close(): Promise<void> {
    if (this.#keep === null) await this.#states?.close();
    await this.#program.close();
    for (const gram of this.#grams.values()) await gram.close();
  }

  async #run(layer: number): Promise<StepResult> {
    const { config } = this.#checkpoint;
    const from = this.#states!;
    const to = this.#keep === null ? from : await this.#keep.openNext(config.hiddenSize);
    const block = await this.#program.readWeights(layer);
    const scores = new LayerScores(block.shape, this.#kinds, this.#documents.length, block.weights);
    const needsGram = energiesFor(this.#kinds).some((energy) => OUTPUT_GRAM_ENERGIES.includes(energy));
    const feeds = needsGram ? { outputGram: await (await this.#gram(block.shape)).compute(block.weights) } : {};
    const total = config.numHiddenLayers * this.#tokenCount;
    await this.#program.runLayer(
      layer,
      block,
      from,
      to,
      () => feeds,
      (batch, energies) => {
        scores.add(batch, energies);
        for (const index of batch.documents) this.#tokensDone += this.#documents[index]!.tokens.length;
        this.#options.onProgress?.({ stage: "scoring", done: this.#tokensDone, total, unit: "layer tokens" });
      },
      this.#options,
    );
    this.#states = to;
    scores.checkFinite((content, document) =>
      modelOverflow(
        `${this.#checkpoint.path}: layer ${layer}`,
        `a relevance (${content}) that is not finite`,
        this.#documents[document]!.source,
      ),
    );
    const references = [...scores.references].map(([reference, values]) => [referenceName(reference), values] as const);
    return Object.fromEntries([...scores.relevances, ...references]);
  }

  async #gram(shape: BlockShape): Promise<OutputGram> {
    const key = JSON.stringify(shape);
    let gram = this.#grams.get(key);
    if (gram === undefined) this.#grams.set(key, (gram = await OutputGram.create(shape)));
    return gram;
  }
}
