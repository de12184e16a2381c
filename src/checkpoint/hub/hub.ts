/**
 * @file The name of a model on the hub → its local path; downloads missing files. Uses the hub's API through
 * `@huggingface/hub` and the environment variables HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HUB_CACHE and HF_HOME.
 */

import { join } from "node:path";
import { downloadFile, listFiles, modelInfo } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";
import type { JobOptions } from "../../progress.ts";
import { asWriteError } from "../../system-errors.ts";
import { exists, HubRepoCache } from "./cache.ts";
import { downloadBlob } from "./download.ts";
import { asHubError, HUB_ERROR_CODE_HEADER, isUnreachable } from "./errors.ts";
import { type HubFile, selectHubFiles } from "./files.ts";
import { type HubModelId, parseHubModelId } from "./id.ts";

/** Options of a download. */
export interface DownloadOptions extends JobOptions {
  /** Branch, tag or commit; overrides `@revision` in the name. Default: `main`. */
  readonly revision?: string;
  /** Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly cacheDir?: string;
  /** URL of the hub. Default: HF_ENDPOINT, else the public hub. */
  readonly endpoint?: string;
  /** Access token. Default: HF_TOKEN. */
  readonly token?: string;
  /** Time limit for the start of a response. Default: 30 s. */
  readonly answerTimeoutMs?: number;
}

const DEFAULT_REVISION = "main";
const DEFAULT_ANSWER_TIMEOUT_MS = 30_000;
/** Progress is reported once per this many bytes, not once per network packet. */
const PROGRESS_STEP_BYTES = 2 ** 20;
/** Contents are named by git's SHA-1 or by SHA-256; checked because the name becomes a path. */
const ETAG = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const COMMIT = /^[0-9a-f]{40}$/;

/**
 * Downloads a model's config, tokenizer and safetensors, or one GGUF file, to the cache shared by all Hugging Face
 * tools, skipping files that it already contains. An aborted or failed download is kept as `*.incomplete` and resumed
 * by the next run. If the hub cannot be reached, a complete copy in the cache is used.
 * @param name `owner/name[/file.gguf][@revision]`.
 * @returns the path of the model's folder, or of the GGUF file.
 * @throws CusprunError `MODEL_NAME`, `HUB_NOT_FOUND`, `HUB_FORBIDDEN`, `HUB_UNREACHABLE`, `HUB_RESPONSE`,
 * `MODEL_FILE_MISSING`, `DOWNLOAD_FAILED`, `CHECKSUM`, `DISK_FULL`, `OUTPUT_UNWRITABLE`; the signal's reason on abort.
 */
export async function downloadModel(name: string, options: DownloadOptions = {}): Promise<string> {
  const id = parseHubModelId(name);
  if (id === null) throw invalidName(name);
  const revision = options.revision ?? id.revision ?? DEFAULT_REVISION;
  if (parseHubModelId(`${id.repo}@${revision}`) === null) throw invalidName(`${id.repo}@${revision}`);
  const cache = new HubRepoCache(id.repo, options.cacheDir);
  const isOffline = process.env["HF_HUB_OFFLINE"] === "1";
  const cached = await cache.findComplete(id, revision);
  // A commit never changes; a branch may have moved.
  if (cached !== null && (isOffline || COMMIT.test(revision))) return cached;
  if (isOffline) {
    throw new CusprunError("HUB_UNREACHABLE", {
      where: name,
      found: "HF_HUB_OFFLINE=1 and no complete copy in the cache",
      expected: "a connection or a complete copy",
      remedy: "Unset HF_HUB_OFFLINE, or pass the path of a local model",
    });
  }
  const hub = new Hub(id, options);
  try {
    return await hub.download(revision, cache);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (cached !== null && isUnreachable(error)) return cached;
    throw error;
  }
}

/** The hub's API for one model. */
class Hub {
  readonly #id: HubModelId;
  readonly #job: JobOptions;
  readonly #api: { readonly hubUrl?: string; readonly accessToken?: string; readonly fetch: typeof fetch };
  /** The hub's own code in its last error response. */
  #refusalCode: string | null = null;

  constructor(id: HubModelId, options: DownloadOptions) {
    const hubUrl = options.endpoint ?? (process.env["HF_ENDPOINT"] || undefined);
    const token = options.token ?? (process.env["HF_TOKEN"] || undefined);
    if (token !== undefined && !token.startsWith("hf_")) {
      throw new CusprunError("HUB_FORBIDDEN", {
        where: "HF_TOKEN",
        found: "a value that is not an access token",
        expected: "a token that starts with hf_",
        remedy: "Correct or unset HF_TOKEN",
      });
    }
    this.#id = id;
    this.#job = options;
    this.#api = {
      ...(hubUrl !== undefined && { hubUrl: hubUrl.replace(/\/+$/, "") }),
      ...(token !== undefined && { accessToken: token }),
      fetch: this.#fetchWithTimeout(options.answerTimeoutMs ?? DEFAULT_ANSWER_TIMEOUT_MS),
    };
  }

  async download(revision: string, cache: HubRepoCache): Promise<string> {
    const commit = await this.#ask(() => this.#commitOf(revision));
    const files = selectHubFiles(await this.#ask(() => this.#list(commit)), this.#id);
    await this.#fetchFiles(files, commit, cache);
    const folder = cache.snapshotPath(commit);
    await cache.writeRef(revision, commit);
    return this.#id.ggufFile === null ? folder : join(folder, this.#id.ggufFile);
  }

  async #commitOf(revision: string): Promise<string> {
    const { sha } = await modelInfo({ ...this.#api, name: this.#id.repo, revision, additionalFields: ["sha"] });
    if (COMMIT.test(sha)) return sha;
    throw this.#badResponse(`commit ${JSON.stringify(sha)}`, "40 hex digits");
  }

  async #list(commit: string): Promise<HubFile[]> {
    const files: HubFile[] = [];
    for await (const entry of listFiles({ ...this.#api, repo: this.#id.repo, revision: commit, recursive: true })) {
      const etag = entry.lfs?.oid ?? entry.oid ?? "";
      if (entry.type !== "file") continue;
      if (!ETAG.test(etag) || !Number.isSafeInteger(entry.size) || entry.size < 0) {
        throw this.#badResponse(
          `file ${JSON.stringify(entry.path)} with size ${entry.size} and hash ${JSON.stringify(etag)}`,
          "a valid size and hash",
        );
      }
      files.push({ path: entry.path, byteLength: entry.size, etag });
    }
    return files;
  }

  async #fetchFiles(files: readonly HubFile[], commit: string, cache: HubRepoCache): Promise<void> {
    const total = files.reduce((sum, file) => sum + file.byteLength, 0);
    let reported = -1;
    let finished = 0;
    const report = (done: number): void => {
      if (reported >= 0 && done < total && done - reported < PROGRESS_STEP_BYTES) return;
      reported = done;
      this.#job.onProgress?.({ stage: "downloading", done, total, unit: "bytes" });
    };
    for (const file of files) {
      this.#job.signal?.throwIfAborted();
      const blobPath = cache.blobPath(file.etag);
      try {
        if (!(await exists(blobPath))) {
          const openRange = (startByte: number): Promise<ReadableStream<Uint8Array>> => this.#openRange(file, commit, startByte);
          await downloadBlob(file, blobPath, openRange, (done) => report(finished + done), this.#job.signal);
        }
        await cache.link(commit, file.path, file.etag);
      } catch (error) {
        this.#job.signal?.throwIfAborted();
        throw asHubError(asWriteError(error, blobPath, "HF_HOME"), `${this.#id.repo}: ${file.path}`, this.#refusalCode);
      }
      finished += file.byteLength;
      report(finished);
    }
  }

  /** A file's bytes from an offset, by plain HTTP ranges: the hub's Xet protocol cannot resume a partial file. */
  async #openRange(file: HubFile, commit: string, startByte: number): Promise<ReadableStream<Uint8Array>> {
    const blob = await downloadFile({ ...this.#api, repo: this.#id.repo, path: file.path, revision: commit, xet: false });
    if (blob === null) throw this.#badResponse(`no file ${file.path}`, "the listed file");
    if (blob.size !== file.byteLength)
      throw this.#badResponse(`${file.path} of ${blob.size} bytes`, `${file.byteLength} bytes, as listed`);
    return blob.slice(startByte).stream() as ReadableStream<Uint8Array>;
  }

  async #ask<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    try {
      return await request();
    } catch (error) {
      this.#job.signal?.throwIfAborted();
      throw asHubError(error, this.#id.repo, this.#refusalCode);
    }
  }

  /** `fetch` with a time limit for the start of the response; aborts with the job and records the hub's error code. */
  #fetchWithTimeout(timeoutMs: number): typeof fetch {
    return async (input, init) => {
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(new Error(`no response in ${timeoutMs / 1000} s`)), timeoutMs);
      const signals = this.#job.signal === undefined ? [timeout.signal] : [timeout.signal, this.#job.signal];
      try {
        const response = await fetch(input, { ...init, signal: AbortSignal.any(signals) });
        this.#refusalCode = response.ok ? null : response.headers.get(HUB_ERROR_CODE_HEADER);
        return response;
      } finally {
        clearTimeout(timer);
      }
    };
  }

  #badResponse(found: string, expected: string): CusprunError {
    return new CusprunError("HUB_RESPONSE", {
      where: this.#id.repo,
      found,
      expected,
      remedy: "Check HF_ENDPOINT, or try again later",
    });
  }
}

function invalidName(name: string): CusprunError {
  return new CusprunError("MODEL_NAME", {
    where: "model",
    found: JSON.stringify(name.slice(0, 200)),
    expected: "owner/name, owner/name/file.gguf or owner/name@revision",
    remedy: "Use the name shown on the model's page on the hub",
  });
}
