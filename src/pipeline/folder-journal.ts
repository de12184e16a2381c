/**
 * @file A layer journal in a folder: the results of the steps that are done, the hidden states after the last of them,
 * and an index with the digests of both. A save counts once the index is replaced; the earlier states are then removed.
 * Only the index is written through to the disk: files that a power cut damages are noticed by their digests, and the
 * work is done again.
 */

import { createHash } from "node:crypto";
import { open, readdir, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkUnchanged } from "../checkpoint/identity.ts";
import { makeFolders } from "../folders.ts";
import { isJsonObject } from "../json.ts";
import type { Batch } from "../model/batches.ts";
import type { HiddenStates } from "../model/hidden-states.ts";
import type { LayerJournal, StepResult } from "../model/layer-journal.ts";
import { removeFolder } from "./partial-folders.ts";
import { digestOf, readRecord, writeRecord } from "./work-records.ts";

/** No more work than this is done twice, or one step if it takes longer. */
const MOST_LOST_MS = 10_000;

const INDEX_FILE = "index.json";

/** Bytes that are read at a time to check a digest, and most that are written at a time: systems refuse 2 GiB. */
const READ_BYTES = 2 ** 22;
const WRITE_BYTES = 2 ** 30;

type Values = StepResult[string];

/** An array in a file of results, where they follow one another. */
interface SavedArray {
  readonly step: number;
  readonly name: string;
  readonly type: "F32" | "F64";
  readonly length: number;
}

interface SavedFile {
  readonly name: string;
  /** SHA-256 (hex). */
  readonly digest: string;
}

/** What the index says. */
interface SavedIndex {
  readonly key: string;
  /** Digest of the batches. */
  readonly batches: string;
  /** Number of steps that are done. */
  readonly steps: number;
  readonly states: SavedFile;
  readonly results: readonly (SavedFile & { readonly arrays: readonly SavedArray[] })[];
}

/** The index of a folder; null if there is none, or one of another key. */
export async function readIndex(folder: string, key: string): Promise<SavedIndex | null> {
  const index = await readRecord(join(folder, INDEX_FILE));
  return isJsonObject(index) && index["key"] === key ? (index as unknown as SavedIndex) : null;
}

/** The journal of one piece of work. Close it when done, also after an error. */
export class FolderJournal implements LayerJournal {
  readonly #folder: string;
  readonly #key: string;
  readonly #checkpoint: Checkpoint;
  #batches = "";
  /** What is saved; null if nothing is. */
  #saved: SavedIndex | null = null;
  /** Files that an earlier run has saved. They stay open, so that nobody can take them away. */
  readonly #handles = new Map<string, FileHandle>();
  /** Results since the last save, by step. */
  #pending = new Map<number, StepResult>();
  /** The hidden states, if they have changed since the last save. */
  #moved: readonly HiddenStates[] | null = null;
  #savedAtMs = 0;
  /** Saving is given up once it fails. */
  #isOff = false;

  /**
   * @param folder is made at the first save.
   * @param key of the work.
   * @param checkpoint must not have changed when something is saved.
   */
  constructor(folder: string, key: string, checkpoint: Checkpoint) {
    this.#folder = folder;
    this.#key = key;
    this.#checkpoint = checkpoint;
  }

  async resume(batches: readonly Batch[]): Promise<number> {
    this.#batches = digestOf(batches.map(({ documents, length }) => [documents, length]));
    const index = await readIndex(this.#folder, this.#key);
    if (index !== null && index.batches === this.#batches && (await this.#openAll(index))) {
      await this.#removeAllBut(index);
      this.#saved = index;
    } else {
      await this.close();
      await removeFolder(this.#folder);
    }
    this.#savedAtMs = performance.now();
    return this.#saved?.steps ?? 0;
  }

  async restore(states: readonly HiddenStates[]): Promise<void> {
    const handle = this.#handles.get(this.#saved!.states.name)!;
    let position = 0;
    for (const each of states) {
      for (const [batch, size] of each.sizes.entries()) {
        const values = new Float32Array(size);
        await readAt(handle, values, position);
        await each.set(batch, values);
        position += values.byteLength;
      }
    }
  }

  async step<R extends StepResult>(
    number: number,
    make: () => Promise<R>,
    states: (() => readonly HiddenStates[]) | null,
  ): Promise<R> {
    if (number < (this.#saved?.steps ?? 0)) return (await this.#read(number)) as R;
    const startedAtMs = performance.now();
    const result = await make();
    if (this.#isOff) return result;
    this.#pending.set(number, result);
    if (states !== null) this.#moved = states();
    const nowMs = performance.now();
    // With another step that takes as long as this one, too much could be lost.
    if (nowMs - this.#savedAtMs + (nowMs - startedAtMs) > MOST_LOST_MS) {
      await checkUnchanged(this.#checkpoint);
      await this.#save(number + 1).catch(() => this.#giveUp());
      this.#savedAtMs = performance.now();
    }
    return result;
  }

  /** Closes the files. May be called twice. */
  async close(): Promise<void> {
    for (const handle of this.#handles.values()) await handle.close();
    this.#handles.clear();
  }

  /** Opens all files of an index. @returns false if one is missing or damaged. */
  async #openAll({ states, results }: SavedIndex): Promise<boolean> {
    try {
      for (const { name, digest } of [states, ...results]) {
        const handle = await open(join(this.#folder, name));
        this.#handles.set(name, handle);
        if ((await digestOfFile(handle)) !== digest) return false;
      }
      return true;
    } catch {
      return false;
    }
  }

  async #read(wanted: number): Promise<StepResult> {
    const result: Record<string, Values> = {};
    for (const file of this.#saved!.results) {
      let position = 0;
      for (const { step, name, type, length } of file.arrays) {
        const Type = type === "F32" ? Float32Array : Float64Array;
        if (step === wanted) {
          result[name] = new Type(length);
          await readAt(this.#handles.get(file.name)!, result[name], position);
        }
        position += length * Type.BYTES_PER_ELEMENT;
      }
    }
    return result;
  }

  async #save(steps: number): Promise<void> {
    const { results = [], states: earlier } = this.#saved ?? {};
    if (this.#saved === null) await makeFolders(this.#folder);
    const arrays = [...this.#pending].flatMap(([step, result]) =>
      Object.entries(result).map(([name, values]) => ({ step, name, values })),
    );
    const added = arrays.length === 0 ? [] : [await this.#saveResults(`${steps}.results`, arrays)];
    const states = this.#moved === null ? earlier! : await this.#write(`${steps}.states`, batchesOf(this.#moved));
    const index: SavedIndex = { key: this.#key, batches: this.#batches, steps, states, results: [...results, ...added] };
    await writeRecord(join(this.#folder, INDEX_FILE), index);
    this.#saved = index;
    this.#pending = new Map();
    this.#moved = null;
    await this.#removeAllBut(index);
  }

  async #saveResults(
    name: string,
    arrays: readonly { readonly step: number; readonly name: string; readonly values: Values }[],
  ): Promise<SavedIndex["results"][number]> {
    const file = await this.#write(
      name,
      arrays.map(({ values }) => values),
    );
    return {
      ...file,
      arrays: arrays.map(({ step, name, values }) => ({
        step,
        name,
        type: values instanceof Float32Array ? "F32" : "F64",
        length: values.length,
      })),
    };
  }

  /** Writes arrays one after the other. */
  async #write(name: string, arrays: Iterable<Values> | AsyncIterable<Values>): Promise<SavedFile> {
    const hash = createHash("sha256");
    const handle = await open(join(this.#folder, name), "w");
    try {
      for await (const values of arrays) {
        const bytes = bytesOf(values);
        hash.update(bytes);
        for (let done = 0; done < bytes.length;)
          done += (await handle.write(bytes, done, Math.min(bytes.length - done, WRITE_BYTES))).bytesWritten;
      }
    } finally {
      await handle.close();
    }
    return { name, digest: hash.digest("hex") };
  }

  /** Removes the files that an index does not name: earlier states, and what a kill has left. */
  async #removeAllBut({ states, results }: SavedIndex): Promise<void> {
    const named = new Set([INDEX_FILE, states.name, ...results.map(({ name }) => name)]);
    for (const name of await readdir(this.#folder)) if (!named.has(name)) await rm(join(this.#folder, name), { force: true });
  }

  /** The disk may be full, or another process may have taken the folder over: the work goes on without it. */
  async #giveUp(): Promise<void> {
    this.#isOff = true;
    this.#pending.clear();
    this.#moved = null;
    await removeFolder(this.#folder);
  }
}

async function* batchesOf(states: readonly HiddenStates[]): AsyncGenerator<Values> {
  for (const each of states) for (const batch of each.sizes.keys()) yield await each.get(batch);
}

async function digestOfFile(handle: FileHandle): Promise<string> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(READ_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/** Fills an array. @throws RangeError if the file, whose digest was right, is too short. */
async function readAt(handle: FileHandle, values: Values, position: number): Promise<void> {
  const bytes = bytesOf(values);
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, WRITE_BYTES);
    const { bytesRead } = await handle.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw new RangeError(`${position + done} bytes of partial results instead of more`);
    done += bytesRead;
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Values): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
