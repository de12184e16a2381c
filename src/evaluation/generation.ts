/**
 * @file Prompts → the model's continuations, decoded greedily: the most likely token each time, the first of equally
 * likely ones. The model is written once as an ONNX decoder with a cache of keys and values (`writeOnnxFolder`, f32)
 * into a temporary folder, so that a step costs one token instead of the whole text before it.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { ModelConfig } from "../checkpoint/config/model-config.ts";
import type { Tokenizer } from "../corpora/tokenizer.ts";
import { onnxModelPath, writeOnnxFolder } from "../export/onnx/export-onnx.ts";
import { type JobOptions, pause } from "../progress.ts";
import { type Feed, GraphSession } from "../model/sessions.ts";
import { withTemporaryFolder } from "../temporary-files.ts";
import { indexOfLargest } from "./index-of-largest.ts";

/** Most prompts that are continued together: enough to share the cost of reading the weights. */
const MAX_ROWS = 16;
/**
 * Most bytes of a batch's keys and values at their full length, unless one prompt alone needs more; a step holds them
 * twice.
 */
const MAX_CACHE_BYTES = 2 ** 29;

/** A prompt to continue, and the end of its continuation. */
export interface Prompt {
  /** [T], at least one. If the model has too few positions, the beginning is left out. */
  readonly tokens: Int32Array;
  /** Most tokens that are generated. */
  readonly maxTokens: number;
  /** Whether the text is complete, so that more of it would change nothing. Called after every token. */
  readonly isDone: (text: string) => boolean;
}

/**
 * Continues every prompt.
 * @returns the continuations, without the token that ended them.
 * @throws CusprunError the errors of `writeOnnxFolder` and `withTemporaryFolder`.
 */
export async function continuePrompts(
  checkpoint: Checkpoint,
  tokenizer: Tokenizer,
  prompts: readonly Prompt[],
  stage: string,
  options: JobOptions,
): Promise<readonly string[]> {
  const texts: string[] = prompts.map(() => "");
  if (prompts.length === 0) return texts;
  await withTemporaryFolder(async (folder) => {
    await writeOnnxFolder(checkpoint, folder, { ...options, type: "f32" });
    const session = await GraphSession.create(onnxModelPath(folder, "f32"));
    try {
      let done = 0;
      for (const indices of batchPrompts(prompts, checkpoint.config)) {
        const batch = new GeneratedBatch(
          session,
          checkpoint.config,
          tokenizer,
          indices.map((index) => prompts[index]!),
        );
        while (!batch.isDone) {
          await pause(options.signal);
          await batch.step();
          options.onProgress?.({ stage, done: done + batch.doneCount, total: prompts.length, unit: "prompts" });
        }
        for (const [row, text] of batch.texts.entries()) texts[indices[row]!] = text;
        done += indices.length;
      }
    } finally {
      await session.close();
    }
  });
  return texts;
}

/** Groups prompts of similar length, longest first. */
function batchPrompts(prompts: readonly Prompt[], config: ModelConfig): readonly (readonly number[])[] {
  const tokenBytes = config.layerSizes.reduce(
    (sum, { numKeyValueHeads }) => sum + 2 * numKeyValueHeads * config.headDim * Float32Array.BYTES_PER_ELEMENT,
    0,
  );
  const order = prompts
    .map((_, index) => index)
    .toSorted((a, b) => prompts[b]!.tokens.length - prompts[a]!.tokens.length || a - b);
  const batches: number[][] = [];
  let longest = 0;
  for (const index of order) {
    const { tokens, maxTokens } = prompts[index]!;
    longest = Math.max(longest, tokens.length + maxTokens);
    const batch = batches.at(-1);
    if (batch !== undefined && batch.length < MAX_ROWS && (batch.length + 1) * longest * tokenBytes <= MAX_CACHE_BYTES) {
      batch.push(index);
    } else {
      batches.push([index]);
      longest = tokens.length + maxTokens;
    }
  }
  return batches;
}

/** Prompts that are continued together, padded on the left. */
class GeneratedBatch {
  readonly #session: GraphSession;
  readonly #config: ModelConfig;
  readonly #tokenizer: Tokenizer;
  readonly #prompts: readonly Prompt[];
  readonly #written: number[][];
  /** Tokens that each row may write. */
  readonly #limits: readonly number[];
  readonly #isDone: boolean[];
  readonly texts: string[];
  /** [B, T] of the next step. */
  #ids: readonly (readonly number[])[];
  /** [B, tokens so far]: 0 for padding. */
  #mask: number[][];
  #cache: Readonly<Record<string, Feed>>;

  constructor(session: GraphSession, config: ModelConfig, tokenizer: Tokenizer, prompts: readonly Prompt[]) {
    this.#session = session;
    this.#config = config;
    this.#tokenizer = tokenizer;
    this.#prompts = prompts;
    this.#written = prompts.map(() => []);
    const rows = prompts.map(({ tokens, maxTokens }) => tokens.slice(-Math.max(1, config.maxPositionEmbeddings - maxTokens)));
    // The last token that is written is never read.
    this.#limits = rows.map((row, index) => Math.min(prompts[index]!.maxTokens, config.maxPositionEmbeddings - row.length + 1));
    this.#isDone = this.#limits.map((limit) => limit <= 0);
    this.texts = prompts.map(() => "");
    const length = Math.max(...rows.map((row) => row.length));
    this.#ids = rows.map((row) => Array.from({ length }, (_, index) => row[index - (length - row.length)] ?? 0));
    this.#mask = rows.map((row) => Array.from({ length }, (_, index) => (index < length - row.length ? 0 : 1)));
    this.#cache = emptyCache(config, prompts.length);
  }

  get isDone(): boolean {
    return this.doneCount === this.#isDone.length;
  }

  get doneCount(): number {
    return this.#isDone.filter(Boolean).length;
  }

  async step(): Promise<void> {
    const { logits, ...present } = await this.#session.run({
      input_ids: integers(this.#ids),
      attention_mask: integers(this.#mask),
      num_logits_to_keep: { data: BigInt64Array.of(1n), shape: [] },
      ...this.#cache,
    });
    const seen = this.#mask[0]!.length;
    this.#cache = Object.fromEntries(
      Object.entries(present).map(([name, data]): [string, Feed] => {
        const heads = this.#config.layerSizes[Number(name.split(".")[1])]!.numKeyValueHeads;
        return [
          name.replace("present", "past_key_values"),
          { data, shape: [this.#ids.length, heads, seen, this.#config.headDim] },
        ];
      }),
    );
    const { vocabSize: V } = this.#config;
    this.#ids = this.#ids.map((_, row) => [this.#take(row, indexOfLargest(logits!.subarray(row * V, (row + 1) * V)))]);
    for (const row of this.#mask) row.push(1);
  }

  /** Adds a token to a row, unless the row is done; returns the row's next input. */
  #take(row: number, token: number): number {
    if (this.#isDone[row]!) return 0;
    if (this.#config.eosTokenIds.includes(token)) {
      this.#isDone[row] = true;
      return 0;
    }
    const written = this.#written[row]!;
    written.push(token);
    const text = this.#textOf(row);
    this.texts[row] = text;
    this.#isDone[row] = written.length >= this.#limits[row]! || this.#prompts[row]!.isDone(text);
    return token;
  }

  /** Decoded together with the prompt's last token, since tokenizers strip the space before a text's first word. */
  #textOf(row: number): string {
    const last = this.#prompts[row]!.tokens.slice(-1);
    const before = this.#tokenizer.decode(last);
    return this.#tokenizer.decode(Int32Array.of(...last, ...this.#written[row]!)).slice(before.length);
  }
}

function emptyCache(config: ModelConfig, rows: number): Readonly<Record<string, Feed>> {
  const empty = (layer: number): Feed => ({
    data: new Float32Array(0),
    shape: [rows, config.layerSizes[layer]!.numKeyValueHeads, 0, config.headDim],
  });
  return Object.fromEntries(
    config.layerSizes.flatMap((_, layer) =>
      ["key", "value"].map((part): [string, Feed] => [`past_key_values.${layer}.${part}`, empty(layer)]),
    ),
  );
}

function integers(rows: readonly (readonly number[])[]): Feed {
  return { data: BigInt64Array.from(rows.flat(), BigInt), shape: [rows.length, rows[0]!.length] };
}
