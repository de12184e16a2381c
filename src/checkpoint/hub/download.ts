/**
 * @file Downloads one file from the hub to the cache: resumes a partial download, and checks the content against the
 * hub's hash.
 */

import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { HubApiError } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";
import { systemCodeOf } from "../../system-errors.ts";
import { exists } from "../../folders.ts";
import type { HubFile } from "./files.ts";

/** Number of consecutive attempts without progress before a download fails. */
const MAX_FRUITLESS_ATTEMPTS = 4;
/** Wait before the first retry; it doubles with each further one. */
const FIRST_RETRY_WAIT_MS = 250;

/** Opens a stream of a file's bytes from an offset. */
export type OpenRange = (startByte: number) => Promise<ReadableStream<Uint8Array>>;

/**
 * Downloads a file to `blobPath` via `{blobPath}.incomplete`, which is kept on abort or failure so that the next run
 * can resume.
 * @param onBytes receives the number of bytes downloaded so far.
 * @throws CusprunError `DOWNLOAD_FAILED`, `CHECKSUM`; what `openRange` throws; the signal's reason on abort.
 */
export async function downloadBlob(
  file: HubFile,
  blobPath: string,
  openRange: OpenRange,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(dirname(blobPath), { recursive: true });
  const incomplete = `${blobPath}.incomplete`;
  const hash = startHash(file);
  const state = { done: await hashExisting(incomplete, hash, file, signal) };
  onBytes(state.done);
  for (let fruitless = 0; ;) {
    const before = state.done;
    try {
      await appendRange(incomplete, state, file, openRange, hash, onBytes, signal);
      break;
    } catch (error) {
      signal?.throwIfAborted();
      fruitless = state.done > before ? 0 : fruitless + 1;
      if (error instanceof CusprunError && error.code === "CHECKSUM") await rm(incomplete, { force: true });
      if (isFinal(error) || fruitless === MAX_FRUITLESS_ATTEMPTS) throw error;
      await setTimeout(FIRST_RETRY_WAIT_MS * 2 ** fruitless, undefined, signal === undefined ? {} : { signal });
    }
  }
  const digest = hash.digest("hex");
  if (digest !== file.etag) {
    await rm(incomplete, { force: true });
    throw damaged(file, `content with the hash ${digest}`, file.etag);
  }
  await rename(incomplete, blobPath).catch(async (error: unknown) => {
    if (!(await exists(blobPath))) throw error; // another process finished the same content first
  });
}

/** SHA-256 for LFS files; for others git's SHA-1 of `blob {size}\0` and the content. */
function startHash(file: HubFile): Hash {
  return file.etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${file.byteLength}\0`);
}

async function hashExisting(path: string, hash: Hash, file: HubFile, signal: AbortSignal | undefined): Promise<number> {
  const size = await sizeOf(path);
  if (size > file.byteLength) {
    await rm(path, { force: true });
    return 0;
  }
  if (size > 0) for await (const chunk of createReadStream(path, { end: size - 1, signal })) hash.update(chunk as Uint8Array);
  return size;
}

/** Downloads the bytes from `state.done`, advancing it; all bytes before it are written and hashed. */
async function appendRange(
  path: string,
  state: { done: number },
  file: HubFile,
  openRange: OpenRange,
  hash: Hash,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Written at explicit positions: two processes with the same download write the same bytes at the same offsets.
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    if (state.done === file.byteLength) return;
    for await (const chunk of await openRange(state.done)) {
      signal?.throwIfAborted();
      if (state.done + chunk.byteLength > file.byteLength) throw damaged(file, "a longer response", `${file.byteLength} bytes`);
      let written = 0;
      while (written < chunk.byteLength) {
        written += (await handle.write(chunk, written, chunk.byteLength - written, state.done + written)).bytesWritten;
      }
      hash.update(chunk);
      state.done += chunk.byteLength;
      onBytes(state.done);
    }
  } finally {
    await handle.close();
  }
  if (state.done < file.byteLength) {
    throw new CusprunError("DOWNLOAD_FAILED", {
      where: file.path,
      found: `the end of the response at byte ${state.done}`,
      expected: `${file.byteLength} bytes`,
      remedy: "Run again; the download resumes where it stopped",
    });
  }
}

async function sizeOf(path: string): Promise<number> {
  const handle = await open(path, "r").catch(() => null);
  if (handle === null) return 0;
  try {
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

/**
 * Whether retrying is pointless: for a refusal, a wrong response or an error of the file system, but not for a broken
 * connection.
 */
function isFinal(error: unknown): boolean {
  if (error instanceof CusprunError) return error.code !== "DOWNLOAD_FAILED" && error.code !== "HUB_UNREACHABLE";
  if (error instanceof HubApiError) return error.statusCode < 500;
  return systemCodeOf(error) !== null;
}

function damaged(file: HubFile, found: string, expected: string): CusprunError {
  return new CusprunError("CHECKSUM", {
    where: file.path,
    found,
    expected: `${expected}, according to the hub`,
    remedy: "Run again; the damaged download was removed",
  });
}
