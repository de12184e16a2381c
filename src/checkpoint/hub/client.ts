/**
 * @file The hub's API for one repository, a model's or a dataset's: commit, list of files, download to the shared
 * cache.
 */

import { datasetInfo, downloadFile, listFiles, modelInfo } from "@huggingface/hub";
import { CusprunError } from "../../errors.ts";
import { showValue } from "../../json.ts";
import type { JobOptions } from "../../progress.ts";
import { asWriteError } from "../../system-errors.ts";
import { exists } from "../../folders.ts";
import type { HubRepoCache } from "./cache.ts";
import { downloadBlob } from "./download.ts";
import { checkToken, endpointFromEnvironment, type HubToken, tokenFromEnvironment } from "./environment.ts";
import { asHubError, HUB_ERROR_CODE_HEADER, HUB_ERROR_MESSAGE_HEADER, type HubRefusal, NO_REFUSAL } from "./errors.ts";
import type { HubFile } from "./files.ts";
import { type HubRepo, isCommit } from "./id.ts";

/** Options of a download. */
export interface DownloadOptions extends JobOptions {
  /** Branch, tag or commit; overrides `@revision` in the name. Default: `main`. */
  readonly revision?: string;
  /** Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly cacheDir?: string;
  /** URL of the hub. Default: HF_ENDPOINT, else the public hub. */
  readonly endpoint?: string;
  /** Access token. Default: HF_TOKEN, else the login by `hf auth login`. */
  readonly token?: string;
  /** Time limit for the start of a response. Default: 30 s. */
  readonly answerTimeoutMs?: number;
}

const PUBLIC_HUB = "https://huggingface.co";
const DEFAULT_ANSWER_TIMEOUT_MS = 30_000;
/** Progress is reported once per this many bytes, not once per network packet. */
const PROGRESS_STEP_BYTES = 2 ** 20;
/** Contents are named by git's SHA-1 or by SHA-256; checked because the name becomes a path. */
const ETAG = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** A path in a repository, which becomes a path in the cache: relative, and without `.` and `..`. */
const FILE_PATH = /^(?!\.{1,2}(?:\/|$))[^/\\:\0]+(?:\/(?!\.{1,2}(?:\/|$))[^/\\:\0]+)*$/;
/** Limit for the files of a repository: a listing without end must not fill the memory. */
const MAX_LISTED_FILES = 200_000;

/** The hub's API for one repository. */
export class HubClient {
  readonly #repo: HubRepo;
  readonly #job: JobOptions;
  readonly #hubUrl: string;
  readonly #token: HubToken | null;
  readonly #api: { readonly hubUrl: string; readonly fetch: typeof fetch };
  /** What the hub said in its last error response. */
  #refusal: HubRefusal = NO_REFUSAL;

  private constructor(repo: HubRepo, options: DownloadOptions, token: HubToken | null) {
    this.#repo = repo;
    this.#job = options;
    this.#hubUrl = options.endpoint?.replace(/\/+$/, "") ?? endpointFromEnvironment() ?? PUBLIC_HUB;
    this.#token = token;
    this.#api = { hubUrl: this.#hubUrl, fetch: this.#fetch(options.answerTimeoutMs ?? DEFAULT_ANSWER_TIMEOUT_MS) };
    if (token !== null && this.#hubUrl === PUBLIC_HUB && !token.value.startsWith("hf_")) {
      throw new CusprunError("HUB_FORBIDDEN", {
        where: token.source,
        found: "a value that is not an access token of the hub",
        expected: "a token that starts with hf_",
        remedy: "Log in with `hf auth login`, or correct or unset HF_TOKEN",
      });
    }
  }

  /**
   * Prepares requests; makes none.
   * @throws CusprunError `HUB_FORBIDDEN` for an unusable access token.
   */
  static async create(repo: HubRepo, options: DownloadOptions): Promise<HubClient> {
    const token = options.token === undefined ? await tokenFromEnvironment() : checkToken(options.token, "token");
    return new HubClient(repo, options, token);
  }

  /**
   * The commit of a branch, tag or commit.
   * @throws CusprunError `HUB_NOT_FOUND`, `HUB_FORBIDDEN`, `HUB_UNREACHABLE`, `HUB_RESPONSE`.
   */
  async commitOf(revision: string): Promise<string> {
    const { type, name } = this.#repo;
    const { sha }: { readonly sha: unknown } = await this.#ask(() =>
      type === "dataset"
        ? datasetInfo({ ...this.#api, name, revision, additionalFields: ["sha"] })
        : modelInfo({ ...this.#api, name, revision, additionalFields: ["sha"] }),
    );
    if (typeof sha === "string" && isCommit(sha)) return sha;
    throw this.#badResponse(`commit ${showValue(sha)}`, "40 hex digits");
  }

  /**
   * All files of a commit.
   * @throws CusprunError as `commitOf`.
   */
  async listFiles(commit: string): Promise<readonly HubFile[]> {
    return this.#ask(async () => {
      const files: HubFile[] = [];
      for await (const entry of listFiles({ ...this.#api, repo: this.#repo, revision: commit, recursive: true })) {
        if (entry.type !== "file") continue;
        const { path, size, oid: gitOid = "" } = entry;
        const etag = entry.lfs?.oid ?? gitOid;
        if (!ETAG.test(etag) || !ETAG.test(gitOid) || !Number.isSafeInteger(size) || size < 0 || !FILE_PATH.test(path)) {
          const found = `file ${showValue(path)} with size ${showValue(size)} and hash ${showValue(etag)}`;
          throw this.#badResponse(found, "a path in the repository, a size and a hash");
        }
        files.push({ path, byteLength: size, etag, gitOid });
        if (files.length > MAX_LISTED_FILES)
          throw this.#badResponse(`more than ${MAX_LISTED_FILES} files`, `at most ${MAX_LISTED_FILES}`);
      }
      return files;
    });
  }

  /**
   * Downloads files of a commit to the cache, skipping those that it already contains.
   * @throws CusprunError as `commitOf`; `DOWNLOAD_FAILED`, `CHECKSUM`, `DISK_FULL`, `OUTPUT_UNWRITABLE`.
   */
  async fetchFiles(files: readonly HubFile[], commit: string, cache: HubRepoCache): Promise<void> {
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
        throw this.#asHubError(asWriteError(error, blobPath, "HF_HOME"), `${this.#repo.name}: ${file.path}`);
      }
      finished += file.byteLength;
      report(finished);
    }
  }

  /** A file's bytes from an offset, by plain HTTP ranges: the hub's Xet protocol cannot resume a partial file. */
  async #openRange(file: HubFile, commit: string, startByte: number): Promise<ReadableStream<Uint8Array>> {
    const blob = await downloadFile({ ...this.#api, repo: this.#repo, path: file.path, revision: commit, xet: false });
    if (blob === null) throw this.#badResponse(`no file ${file.path}`, "the listed file");
    if (blob.size !== file.byteLength)
      throw this.#badResponse(`${file.path} of ${blob.size} bytes`, `${file.byteLength} bytes, as listed`);
    return blob.slice(startByte).stream() as ReadableStream<Uint8Array>;
  }

  async #ask<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    try {
      return await request();
    } catch (error) {
      throw this.#asHubError(error, this.#repo.name);
    }
  }

  /** @throws the signal's reason after an abort. */
  #asHubError(error: unknown, where: string): CusprunError {
    this.#job.signal?.throwIfAborted();
    return asHubError(error, where, this.#repo.type, { ...this.#refusal, tokenSource: this.#token?.source ?? null });
  }

  /**
   * `fetch` with a time limit for the start of the response, which aborts with the job, records what the hub says in an
   * error response, and sends the access token to the hub's own origin only: neither to another that a response links
   * to, nor, by the rules of fetch, to one that it redirects to.
   */
  #fetch(timeoutMs: number): typeof fetch {
    return async (input, init) => {
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(new Error(`no response in ${timeoutMs / 1000} s`)), timeoutMs);
      const signals = this.#job.signal === undefined ? [timeout.signal] : [timeout.signal, this.#job.signal];
      const headers = new Headers(init?.headers);
      const url = input instanceof Request ? input.url : String(input);
      if (this.#token !== null && isSameOrigin(url, this.#hubUrl)) headers.set("authorization", `Bearer ${this.#token.value}`);
      try {
        const response = await fetch(input, { ...init, headers, signal: AbortSignal.any(signals) });
        this.#refusal = response.ok
          ? NO_REFUSAL
          : { code: response.headers.get(HUB_ERROR_CODE_HEADER), message: response.headers.get(HUB_ERROR_MESSAGE_HEADER) };
        return response;
      } finally {
        clearTimeout(timer);
      }
    };
  }

  #badResponse(found: string, expected: string): CusprunError {
    return new CusprunError("HUB_RESPONSE", {
      where: this.#repo.name,
      found,
      expected,
      remedy: "Check HF_ENDPOINT, or try again later",
    });
  }
}

function isSameOrigin(url: string, other: string): boolean {
  return URL.canParse(url) && URL.canParse(other) && new URL(url).origin === new URL(other).origin;
}
