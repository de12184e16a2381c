/**
 * @file GGUF files that exist for one test.
 */

import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GgufHeader, readGgufHeader } from "../../src/checkpoint/gguf/header.ts";
import { CusprunError } from "../../src/errors.ts";

/** Runs a test with a file of these bytes, then removes it. */
export async function withFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "cusprun-gguf-"));
  try {
    const path = join(folder, "model.gguf");
    await writeFile(path, bytes);
    return await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The header of a file. */
export async function readHeaderOf(path: string): Promise<GgufHeader> {
  const file = await open(path);
  try {
    return await readGgufHeader(file, path);
  } finally {
    await file.close();
  }
}

/** The header of a file of these bytes. */
export async function readHeader(bytes: Uint8Array): Promise<GgufHeader> {
  return withFile(bytes, readHeaderOf);
}

/** The CusprunError that a promise rejects with; fails on any other outcome. */
export async function errorOf(promise: Promise<unknown>): Promise<CusprunError> {
  const outcome: unknown = await promise.then(
    () => new Error("nothing was thrown"),
    (error: unknown) => error,
  );
  if (outcome instanceof CusprunError) return outcome;
  throw outcome;
}

/** Waits for a reader that may succeed or refuse its input; any other error is a defect, and is thrown. */
export async function allowRefusal(promise: Promise<unknown>): Promise<void> {
  await promise.catch((error: unknown) => {
    if (!(error instanceof CusprunError)) throw error;
  });
}
