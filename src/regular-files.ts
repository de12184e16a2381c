/**
 * @file Opens files for reading, but only regular ones: a pipe or a device may never end, and opening a pipe may wait
 * for ever. Every file that a user names, or that a model's folder contains, is opened here.
 */

import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { CusprunError, type ErrorCode } from "./errors.ts";
import { asReadError, systemCodeOf } from "./system-errors.ts";

/** Opening a pipe without it waits until somebody writes to the pipe; it has no effect on regular files. */
const NO_WAIT = constants.O_NONBLOCK ?? 0;

/**
 * Opens a regular file for reading; follows links.
 * @param code of the errors.
 * @param expected for example "a safetensors file".
 * @param kindCode of the error for what is not a regular file; default `code`.
 * @throws CusprunError with `code` or `kindCode`.
 */
export async function openRegularFile(
  path: string,
  code: ErrorCode,
  expected: string,
  kindCode: ErrorCode = code,
): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // Before it is opened: opening some devices has effects of its own.
    checkRegular(await stat(path), path, kindCode, expected);
    handle = await open(path, constants.O_RDONLY | NO_WAIT);
    checkRegular(await handle.stat(), path, kindCode, expected);
    return handle;
  } catch (error) {
    await handle?.close();
    throw (await asDanglingLink(error, code, path, expected)) ?? asReadError(error, code, path, expected);
  }
}

/**
 * Reads the first bytes of a regular file; follows links.
 * @returns at most `byteCount` bytes; null if there is no such file; a link to nothing is an error.
 * @throws CusprunError with `code`.
 */
export async function readHead(path: string, byteCount: number, code: ErrorCode, expected: string): Promise<Uint8Array | null> {
  if ((await statPath(path, code, expected)) === null) return null;
  const handle = await openRegularFile(path, code, expected);
  try {
    return await readStart(handle, byteCount);
  } catch (error) {
    throw asReadError(error, code, path, expected);
  } finally {
    await handle.close();
  }
}

/** The first bytes of an open file, at most `byteCount`. @throws the system's error. */
export async function readStart(handle: FileHandle, byteCount: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteCount);
  const { bytesRead } = await handle.read(bytes, 0, byteCount, 0);
  return bytes.subarray(0, bytesRead);
}

/**
 * Reads a regular file; follows links.
 * @param maxBytes a larger file is refused.
 * @returns null if there is no such file; a link to nothing is an error.
 * @throws CusprunError with `code`.
 */
export async function readRegularFile(
  path: string,
  code: ErrorCode,
  expected: string,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  let handle: FileHandle;
  try {
    handle = await openRegularFile(path, code, expected);
  } catch (error) {
    if (error instanceof CusprunError && systemCodeOf(error.cause) === "ENOENT" && !(await isLink(path))) return null;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) {
      const remedy = "Check that it is the right file";
      throw new CusprunError(code, { where: path, found: `${size} bytes`, expected: `at most ${maxBytes} bytes`, remedy });
    }
    return new Uint8Array(await handle.readFile());
  } catch (error) {
    throw asReadError(error, code, path, expected);
  } finally {
    await handle.close();
  }
}

/**
 * What is at a path, following links; null if nothing is, not even a link.
 * @throws CusprunError with `code` if that cannot be found out, or for a link to nothing.
 */
export async function statPath(path: string, code: ErrorCode, expected: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    const dangling = await asDanglingLink(error, code, path, expected);
    if (dangling !== null) throw dangling;
    const systemCode = systemCodeOf(error);
    if (systemCode === "ENOENT" || systemCode === "ENOTDIR") return null;
    throw asReadError(error, code, path, expected);
  }
}

/**
 * Names of the entries of a folder.
 * @throws CusprunError with `code`.
 */
export async function readFolder(path: string, code: ErrorCode, expected: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    throw (await asDanglingLink(error, code, path, expected)) ?? asReadError(error, code, path, expected);
  }
}

function checkRegular(found: Stats, path: string, code: ErrorCode, expected: string): void {
  if (found.isFile()) return;
  const remedy = found.isFIFO() ? "Write its contents to a file, and pass that" : "Pass a file, or correct the path";
  throw new CusprunError(code, { where: path, found: kindOf(found), expected, remedy });
}

/** What a path that is not a regular file is, in words. */
function kindOf(found: Stats): string {
  if (found.isDirectory()) return "a folder";
  if (found.isFIFO()) return "a pipe";
  if (found.isSocket()) return "a socket";
  return found.isBlockDevice() || found.isCharacterDevice() ? "a device" : "something that is not a file";
}

/** The error for a link whose target does not exist; null for any other error. */
async function asDanglingLink(cause: unknown, code: ErrorCode, path: string, expected: string): Promise<CusprunError | null> {
  if (systemCodeOf(cause) !== "ENOENT" || !(await isLink(path))) return null;
  const target = await readlink(path).catch(() => "nothing");
  return new CusprunError(
    code,
    {
      where: path,
      found: `a link to ${target}, which does not exist`,
      expected,
      remedy: "Restore the link's target, or remove the link",
    },
    { cause },
  );
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}
