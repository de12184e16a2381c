/**
 * @file The hidden states of batches between two layers: in memory, or in a scratch file if they do not fit.
 */

import { open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { cusprunCacheDir } from "../checkpoint/hub/catalog.ts";
import { CusprunError } from "../errors.ts";
import { makeFolders } from "../folders.ts";
import { asWriteError, describeSystemCode, systemCodeOf } from "../system-errors.ts";
import { sweepTemporaries, temporaryPath } from "../temporary-files.ts";

/** Hidden states of every batch, [B, T, D] in f32 each, zeros at first. Close them when done, also after an error. */
export interface HiddenStates {
  /** Number of values of each batch. */
  readonly sizes: readonly number[];
  /**
   * The states of a batch. The array may be changed and passed to `set`; it is valid until the next call of any method.
   * @param size number of values, from the first. Default: all.
   */
  get(batch: number, size?: number): Promise<Float32Array<ArrayBuffer>>;
  /** Copies the states of a batch, at most of the size given when they were opened. */
  set(batch: number, states: Float32Array<ArrayBuffer>): Promise<void>;
  /** Releases memory and disk. May be called twice. */
  close(): Promise<void>;
}

/** Largest read or write in bytes: systems refuse 2 GiB. */
const MAX_TRANSFER_BYTES = 2 ** 30;

/** Folder of the scratch files, in the user's cache: `tmpdir()` is memory on many systems. */
export function scratchFolder(): string {
  return join(cusprunCacheDir(), "scratch");
}

/**
 * Room for the hidden states of batches.
 * @param sizes number of values of each batch.
 * @param spills whether they live in a scratch file. Its name is removed once it is open, so that nothing is left
 * behind, however the process ends; where the system does not allow that, the next run removes what a killed one left.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`, here and in `set`; `SCRATCH_LOST` in `get`.
 */
export async function openHiddenStates(sizes: readonly number[], spills: boolean): Promise<HiddenStates> {
  if (!spills) return new MemoryStates(sizes);
  const folder = scratchFolder();
  const path = temporaryPath(folder);
  return orScratchError(folder, async () => {
    await makeFolders(folder);
    await sweepTemporaries(folder);
    const handle = await open(path, "wx+", 0o600);
    const isUnlinked = await rm(path).then(
      () => true,
      () => false,
    );
    const states = new FileStates(handle, isUnlinked ? null : path, sizes);
    try {
      await states.clear();
      return states;
    } catch (error) {
      await states.close();
      throw error;
    }
  });
}

class MemoryStates implements HiddenStates {
  readonly sizes: readonly number[];
  #states: readonly Float32Array<ArrayBuffer>[];

  constructor(sizes: readonly number[]) {
    this.sizes = sizes;
    this.#states = sizes.map((size) => new Float32Array(size));
  }

  get(batch: number, size?: number): Promise<Float32Array<ArrayBuffer>> {
    return Promise.resolve(this.#states[batch]!.subarray(0, size));
  }

  set(batch: number, states: Float32Array<ArrayBuffer>): Promise<void> {
    this.#states[batch]!.set(states);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#states = [];
    return Promise.resolve();
  }
}

class FileStates implements HiddenStates {
  readonly sizes: readonly number[];
  readonly #handle: FileHandle;
  /** Path of the file, if the system does not remove the name of an open file; else null. */
  readonly #path: string | null;
  /** First byte of each batch, followed by the end of the last (exclusive). */
  readonly #starts: readonly number[];
  /** Room for the largest batch. */
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #isOpen = true;

  constructor(handle: FileHandle, path: string | null, sizes: readonly number[]) {
    this.#handle = handle;
    this.#path = path;
    this.sizes = sizes;
    const starts = [0];
    for (const size of sizes) starts.push(starts.at(-1)! + size * Float32Array.BYTES_PER_ELEMENT);
    this.#starts = starts;
    this.#buffer = new Uint8Array(sizes.reduce((most, size) => Math.max(most, size), 0) * Float32Array.BYTES_PER_ELEMENT);
  }

  /** Sets the file's length. It is full of zeros, which take no room on the disk. */
  async clear(): Promise<void> {
    await this.#handle.truncate(this.#starts.at(-1));
  }

  async get(batch: number, size = Number.POSITIVE_INFINITY): Promise<Float32Array<ArrayBuffer>> {
    const [start, end] = [this.#starts[batch]!, this.#starts[batch + 1]!];
    const bytes = this.#buffer.subarray(0, Math.min(end - start, size * Float32Array.BYTES_PER_ELEMENT));
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(bytes.length - done, MAX_TRANSFER_BYTES);
      const reading = this.#handle.read(bytes, done, length, start + done);
      const { bytesRead } = await reading.catch((error: unknown) => {
        throw lost(describeSystemCode(systemCodeOf(error) ?? "EIO"), error);
      });
      if (bytesRead === 0) throw lost(`${done} of ${bytes.length} bytes of a batch`);
      done += bytesRead;
    }
    return new Float32Array(bytes.buffer, 0, bytes.length / Float32Array.BYTES_PER_ELEMENT);
  }

  async set(batch: number, states: Float32Array<ArrayBuffer>): Promise<void> {
    const [start, end] = [this.#starts[batch]!, this.#starts[batch + 1]!];
    if (states.byteLength > end - start) throw new RangeError(`${states.byteLength} bytes for a batch of ${end - start}`);
    const bytes = new Uint8Array(states.buffer, states.byteOffset, states.byteLength);
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(bytes.length - done, MAX_TRANSFER_BYTES);
      const writing = (): Promise<{ bytesWritten: number }> => this.#handle.write(bytes, done, length, start + done);
      done += (await orScratchError(scratchFolder(), writing)).bytesWritten;
    }
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
    if (this.#path !== null) await rm(this.#path, { force: true });
  }
}

/** Gives the system's errors a code and a remedy. */
async function orScratchError<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asWriteError(error, folder, "CUSPRUN_CACHE");
  }
}

function lost(found: string, cause?: unknown): CusprunError {
  return new CusprunError(
    "SCRATCH_LOST",
    {
      where: scratchFolder(),
      found,
      expected: "the hidden states that were written",
      remedy: "Check the disk, or set CUSPRUN_CACHE to a folder on another one, and run again",
    },
    { cause },
  );
}
