/**
 * @file Downloads from a local server with the hub's API: selected files, cache layout, resuming, errors, aborts.
 */

import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { downloadModel, type DownloadOptions } from "../../../src/checkpoint/hub/hub.ts";
import { type HubFile, selectHubFiles } from "../../../src/checkpoint/hub/files.ts";
import { parseHubModelId } from "../../../src/checkpoint/hub/id.ts";
import type { ErrorCode } from "../../../src/errors.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import { clearHubEnvironment, COMMIT, etagOf, type HubServer, startHub } from "../../support/hub-server.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";

const weights = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const files = new Map<string, Uint8Array>([
  [".gitattributes", text("x")],
  ["README.md", text("# tiny")],
  ["config.json", text('{"model_type":"llama"}')],
  ["generation_config.json", text("{}")],
  ["model.safetensors", weights],
  ["onnx/model.onnx", text("no")],
  ["pytorch_model.bin", text("no")],
  ["tiny-q8_0.gguf", text("GGUF")],
  ["tokenizer.json", text("{}")],
  ["vocab.json", text("")],
]);
const wanted = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "vocab.json"];
const blob = etagOf("model.safetensors", weights);

let hub: HubServer;

beforeEach(async () => {
  clearHubEnvironment();
  hub = await startHub(files);
});

afterEach(async () => {
  await hub.close();
  vi.unstubAllEnvs();
});

/** Whether a file contains exactly these bytes; vitest's own comparison of megabytes takes seconds. */
async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  return Buffer.compare(await readFile(path), bytes) === 0;
}

/** Runs a test with an empty cache, and options that use it. */
async function withCache(
  use: (options: DownloadOptions & { readonly cacheDir: string }, root: string) => Promise<void>,
): Promise<void> {
  await withFolder((cacheDir) => use({ cacheDir, endpoint: hub.url }, join(cacheDir, "models--tiny--model")));
}

describe("a model", () => {
  test("is stored in the shared cache's layout, without unnecessary files", async () => {
    await withCache(async (options, root) => {
      const events: ProgressEvent[] = [];
      const folder = await downloadModel("tiny/model", { ...options, onProgress: (event) => events.push(event) });
      expect(folder).toBe(join(root, "snapshots", COMMIT));
      expect((await readdir(folder)).toSorted()).toEqual(wanted);
      for (const name of wanted) expect(await holds(join(folder, name), files.get(name)!)).toBe(true);
      expect(await readlink(join(folder, "model.safetensors"))).toBe(join("..", "..", "blobs", blob));
      expect(await readFile(join(root, "refs/main"), "utf8")).toBe(COMMIT);
      expect((await readdir(join(root, "blobs"))).some((name) => name.endsWith(".incomplete"))).toBe(false);
      const total = wanted.reduce((sum, name) => sum + files.get(name)!.length, 0);
      expect(events.at(-1)).toEqual({ stage: "downloading", done: total, total, unit: "bytes" });
      expect(hub.requests.filter((request) => /README|onnx|\.bin|gguf/.test(request))).toEqual([]);
    });
  });

  test("is not downloaded again, and a cached commit needs no request", async () => {
    await withCache(async (options) => {
      const folder = await downloadModel("tiny/model", options);
      hub.requests.length = 0;
      expect(await downloadModel("tiny/model", options)).toBe(folder);
      expect(hub.requests.filter((request) => request.includes("/resolve/"))).toEqual([]);
      hub.requests.length = 0;
      expect(await downloadModel(`tiny/model@${COMMIT}`, options)).toBe(folder);
      expect(hub.requests).toEqual([]);
    });
  });

  test("as a single GGUF file", async () => {
    await withCache(async (options, root) => {
      expect(await downloadModel("tiny/model/tiny-q8_0.gguf", options)).toBe(join(root, "snapshots", COMMIT, "tiny-q8_0.gguf"));
      expect(await readdir(join(root, "blobs"))).toHaveLength(1);
    });
  });

  test("as a GGUF file in several parts, with all of them; offline only if all are there", async () => {
    const names = ["q4/m-00001-of-00002.gguf", "q4/m-00002-of-00002.gguf"];
    const parts = await startHub(new Map([...names, "q8/m-00001-of-00002.gguf"].map((name) => [name, text(name)])));
    await withFolder(async (cacheDir) => {
      const options = { cacheDir, endpoint: parts.url };
      const path = await downloadModel(`tiny/model/${names[1]!}`, options);
      const folder = join(cacheDir, "models--tiny--model/snapshots", COMMIT);
      expect([path, (await readdir(join(folder, "q4"))).toSorted()]).toEqual([
        join(folder, names[1]!),
        ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"],
      ]);
      const error = await errorOf(downloadModel("tiny/model/q8/m-00001-of-00002.gguf", options));
      expect([error.code, error.message]).toEqual(["HUB_NOT_FOUND", expect.stringMatching(/1 of 2 parts of q8/)]);
      vi.stubEnv("HF_HUB_OFFLINE", "on");
      expect(await downloadModel(`tiny/model/${names[1]!}`, options)).toBe(path);
      await rm(join(folder, names[0]!));
      expect((await errorOf(downloadModel(`tiny/model/${names[1]!}`, options))).code).toBe("HUB_UNREACHABLE");
    });
    await parts.close();
  });

  test("environment: HF_ENDPOINT and HF_HUB_CACHE", async () => {
    await withFolder(async (cacheDir) => {
      vi.stubEnv("HF_ENDPOINT", `${hub.url}/`);
      vi.stubEnv("HF_HUB_CACHE", cacheDir);
      expect(await downloadModel("tiny/model")).toBe(join(cacheDir, "models--tiny--model/snapshots", COMMIT));
    });
  });

  test("on a moved branch: downloads only changed files", async () => {
    await withCache(async (options, root) => {
      await downloadModel("tiny/model", options);
      hub.commit = "a".repeat(40);
      hub.requests.length = 0;
      expect(await downloadModel("tiny/model", options)).toBe(join(root, "snapshots", hub.commit));
      expect(hub.requests.filter((request) => request.includes("/resolve/"))).toEqual([]);
      expect(await readFile(join(root, "refs/main"), "utf8")).toBe(hub.commit);
    });
  });
});

describe("a broken download", () => {
  test("resumes by itself where it stopped", async () => {
    await withCache(async (options) => {
      hub.breakOffAfter.push(1000, 100_000);
      const folder = await downloadModel("tiny/model", options);
      expect(await holds(join(folder, "model.safetensors"), weights)).toBe(true);
      const ranges = hub.requests.filter((request) => request.endsWith("-2999999")).map((request) => request.split(" ").at(-1));
      expect(ranges).toEqual(["bytes=1000-2999999", "bytes=101000-2999999"]);
    });
  });

  test("is resumed by the next run", async () => {
    await withCache(async (options, root) => {
      await mkdir(join(root, "blobs"), { recursive: true });
      await writeFile(join(root, "blobs", `${blob}.incomplete`), weights.subarray(0, 123_456));
      const folder = await downloadModel("tiny/model", options);
      expect(await holds(join(folder, "model.safetensors"), weights)).toBe(true);
      expect(hub.requests).toContainEqual(expect.stringContaining("bytes=123456-2999999"));
    });
  });

  test("that is corrupt is rejected and removed", async () => {
    await withCache(async (options, root) => {
      await mkdir(join(root, "blobs"), { recursive: true });
      await writeFile(join(root, "blobs", `${blob}.incomplete`), new Uint8Array(100));
      const error = await errorOf(downloadModel("tiny/model", options));
      expect([error.code, error.message]).toEqual([
        "CHECKSUM",
        expect.stringMatching(/model\.safetensors: found content with the hash .*expected .*according to the hub/),
      ]);
      expect((await readdir(join(root, "blobs"))).filter((name) => name.startsWith(blob))).toEqual([]);
    });
  });

  test("an abort throws its reason and keeps the part for the next run", async () => {
    await withCache(async (options, root) => {
      const abort = new AbortController();
      const onProgress = ({ done }: ProgressEvent): void => {
        if (done > 1_000_000) abort.abort(new Error("stop"));
      };
      await expect(downloadModel("tiny/model", { ...options, onProgress, signal: abort.signal })).rejects.toThrow("stop");
      expect((await lstat(join(root, "blobs", `${blob}.incomplete`))).isFile()).toBe(true);
      const folder = await downloadModel("tiny/model", options);
      expect(await holds(join(folder, "model.safetensors"), weights)).toBe(true);
    });
  });

  test("an unwritable cache", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "file"), "");
      const error = await errorOf(downloadModel("tiny/model", { cacheDir: join(folder, "file"), endpoint: hub.url }));
      expect([error.code, error.message]).toEqual(["OUTPUT_UNWRITABLE", expect.stringContaining("Set HF_HOME")]);
    });
  });
});

describe("errors", () => {
  const cases: readonly [string, string, ErrorCode, RegExp, string?][] = [
    [
      "an unknown model",
      "tiny/unknown",
      "HUB_NOT_FOUND",
      /tiny\/unknown: found no such model \(HTTP 401 RepoNotFound\).*HF_TOKEN/,
    ],
    ["an unknown revision", "tiny/model@v9", "HUB_NOT_FOUND", /found no such revision.*Correct the part after @/],
    [
      "an unknown GGUF file",
      "tiny/model/other.gguf",
      "HUB_NOT_FOUND",
      /no file other\.gguf, expected one of its GGUF files: tiny-q8_0\.gguf/,
    ],
    ["a gated model", "tiny/gated", "HUB_FORBIDDEN", /a gated or private model \(HTTP 401 GatedRepo\).*Accept the model's terms/],
    ["a gated model with a token", "tiny/gated", "HUB_FORBIDDEN", /HTTP 403 GatedRepo/, "hf_test"],
    ["a token with a space", "tiny/model", "HUB_FORBIDDEN", /token: found a value with spaces/, "hf_ secret"],
    ["an expired token", "tiny/model", "HUB_FORBIDDEN", /does not accept, from token \(HTTP 401\).*hf auth login/, "hf_expired"],
    ["a response that is not JSON", "tiny/broken", "HUB_RESPONSE", /an unexpected response.*HF_ENDPOINT/],
    ["a server error", "tiny/down", "HUB_RESPONSE", /HTTP 503/],
    ["a silent server", "tiny/silent", "HUB_UNREACHABLE", /no response in 0\.2 s/],
    ["no name", "model", "MODEL_NAME", /found "model", expected owner\/name/],
    ["a name that leaves the cache", "../../x", "MODEL_NAME", /owner\/name/],
  ];

  test.each(cases)("%s", async (_, name, code, message, token) => {
    await withCache(async (options) => {
      const error = await errorOf(
        downloadModel(name, { ...options, answerTimeoutMs: 200, ...(token !== undefined && { token }) }),
      );
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
      expect(error.message).not.toContain("secret");
    });
  });

  test("an unreachable hub: the cached copy, or an error", async () => {
    await withCache(async (options) => {
      const folder = await downloadModel("tiny/model", options);
      await hub.close();
      expect(await downloadModel("tiny/model", options)).toBe(folder);
      const error = await errorOf(downloadModel("tiny/model/tiny-q8_0.gguf", options));
      expect([error.code, error.message]).toEqual([
        "HUB_UNREACHABLE",
        expect.stringMatching(/ECONNREFUSED.*Check the connection/),
      ]);
      hub = await startHub(files);
    });
  });

  test("HF_HUB_OFFLINE prevents requests", async () => {
    await withCache(async (options) => {
      vi.stubEnv("HF_HUB_OFFLINE", "1");
      const error = await errorOf(downloadModel("tiny/model", options));
      expect([error.code, error.message]).toEqual(["HUB_UNREACHABLE", expect.stringContaining("Unset HF_HUB_OFFLINE")]);
      expect(hub.requests).toEqual([]);
    });
  });
});

describe("selecting files", () => {
  const list = (...paths: string[]): HubFile[] =>
    paths.map((path) => ({ path, byteLength: 1, etag: "0".repeat(40), gitOid: "0".repeat(40) }));
  const id = parseHubModelId("a/b")!;

  test("shards and their index if there is no single file; never both", () => {
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const index = "model.safetensors.index.json";
    const pathsOf = (...paths: string[]): string[] => selectHubFiles(list(...paths), id).map(({ path }) => path);
    expect(pathsOf(...shards, "config.json", index, "consolidated.safetensors", "sub/tokenizer.json")).toEqual([
      "config.json",
      index,
      ...shards,
    ]);
    expect(pathsOf(...shards, "config.json", "model.safetensors")).toEqual(["config.json", "model.safetensors"]);
  });

  test.each([
    [["config.json", "pytorch_model.bin"], /no safetensors weights.*Choose a repository with the model's safetensors/],
    [["config.json", "m-q4.gguf"], /Pass one of its GGUF files, e\.g\. a\/b\/m-q4\.gguf/],
    [["model.safetensors"], /no config\.json/],
  ])("%j is rejected before any download", (paths, message) => {
    expect(() => selectHubFiles(list(...paths), id)).toThrow(message);
  });
});

test.each([
  ["a/b", { repo: "a/b", ggufFile: null, revision: null }],
  ["a/b@v1.0", { repo: "a/b", ggufFile: null, revision: "v1.0" }],
  ["a/b/c-Q4_K_M.gguf", { repo: "a/b", ggufFile: "c-Q4_K_M.gguf", revision: null }],
  ["a/b/sub/c.gguf@refs/pr/1", { repo: "a/b", ggufFile: "sub/c.gguf", revision: "refs/pr/1" }],
  ["a", null],
  ["a/b/c", null],
  ["a/b@", null],
  ["a/b@../x", null],
  ["a/b@x/./y", null],
  ["a/../b.gguf", null],
  ["/a/b", null],
  ["./a/b", null],
  ["a b/c", null],
])("the name %j", (name, expected) => {
  expect(parseHubModelId(name)).toEqual(expected);
});
