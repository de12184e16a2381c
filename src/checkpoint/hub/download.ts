/**
 * @file One file of the hub → the cache: resumed where a part of it is there, and checked against the hub's own hash.
 */

import { createHash, type Hash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { HubApiError } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";
import { exists } from "./cache.ts";
import type { HubFile } from "./files.ts";

/** Attempts without a byte of progress before a download is given up, and the wait before the first further one; it doubles. */
const MAX_FRUITLESS_ATTEMPTS = 4;
const FIRST_RETRY_WAIT_MS = 250;

/** How a file's bytes are got: a stream of them from an offset on. */
export type OpenRange = (startByte: number) => Promise<ReadableStream<Uint8Array>>;

/**
 * Downloads a file to `blobPath`, through `{blobPath}.incomplete`, which an abort or a failure leaves for the next run to resume.
 * @param onBytes told how many bytes of the file are there.
 * @throws CusprunError `DOWNLOAD_FAILED`, `CHECKSUM`; what `openRange` throws; the signal's reason.
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

/** SHA-256 of an LFS file; of any other, git's SHA-1 over `blob {size}\0` and the content. */
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

/** Fetches what is missing behind `state.done`, and moves it along; bytes before it are written and hashed. */
async function appendRange(
  path: string,
  state: { done: number },
  file: HubFile,
  openRange: OpenRange,
  hash: Hash,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Written at explicit positions: two processes with the same download write the same bytes to the same places.
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    if (state.done === file.byteLength) return;
    for await (const chunk of await openRange(state.done)) {
      signal?.throwIfAborted();
      if (state.done + chunk.byteLength > file.byteLength) throw damaged(file, "a longer answer", `${file.byteLength} bytes`);
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
      found: `the end of the answer at byte ${state.done}`,
      expected: `${file.byteLength} bytes`,
      remedy: "Run again; what is already there is kept and the download goes on from it",
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

/** Whether trying again cannot help: a refusal, a wrong answer, a full disk. A broken connection can. */
function isFinal(error: unknown): boolean {
  if (error instanceof CusprunError) return error.code !== "DOWNLOAD_FAILED" && error.code !== "HUB_UNREACHABLE";
  if (error instanceof HubApiError) return error.statusCode < 500;
  const systemCode = (error as NodeJS.ErrnoException | null)?.code;
  return systemCode === "ENOSPC" || systemCode === "EDQUOT" || systemCode === "EACCES" || systemCode === "EROFS";
}

function damaged(file: HubFile, found: string, expected: string): CusprunError {
  return new CusprunError("CHECKSUM", {
    where: file.path,
    found,
    expected: `${expected}, as the hub says`,
    remedy: "Run again; the damaged download was removed",
  });
}
