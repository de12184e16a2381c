/**
 * @file The shared settings of Hugging Face's tools: access tokens and where they are sent, words for "offline", the
 * cache's folder. Expected values: huggingface_hub 2.4, `constants.py`, `utils/_auth.py` and `utils/_headers.py`.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hubCacheFolder, offlineVariable, tokenFromEnvironment } from "../../../src/checkpoint/hub/environment.ts";
import { downloadModel } from "../../../src/checkpoint/hub/hub.ts";
import { clearHubEnvironment, startHub, TOKEN } from "../../support/hub-server.ts";
import { errorOf } from "../../support/temporary-gguf.ts";
import { withFolder } from "../../support/temporary-folder.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const files = new Map([
  ["config.json", text("{}")],
  ["model.safetensors", text("weights")],
]);

beforeEach(() => {
  clearHubEnvironment();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** Runs a test with HF_HOME as an empty folder. */
async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  await withFolder(async (home) => {
    vi.stubEnv("HF_TOKEN_PATH", undefined);
    vi.stubEnv("HF_HOME", home);
    await use(home);
  });
}

describe("the access token", () => {
  test("is that of HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the login, in this order", async () => {
    await withHome(async (home) => {
      expect(await tokenFromEnvironment()).toBeNull();
      await writeFile(join(home, "token"), "  hf_login\r\n");
      expect(await tokenFromEnvironment()).toEqual({ value: "hf_login", source: join(home, "token") });
      vi.stubEnv("HUGGING_FACE_HUB_TOKEN", "hf_old");
      expect(await tokenFromEnvironment()).toEqual({ value: "hf_old", source: "HUGGING_FACE_HUB_TOKEN" });
      vi.stubEnv("HF_TOKEN", "hf_new\n");
      expect(await tokenFromEnvironment()).toEqual({ value: "hf_new", source: "HF_TOKEN" });
      vi.stubEnv("HF_TOKEN", " ");
      expect((await tokenFromEnvironment())?.value).toBe("hf_login"); // as in huggingface_hub
      vi.stubEnv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes");
      expect(await tokenFromEnvironment()).toBeNull();
    });
  });

  test("of the login is in HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME or ~/.cache", async () => {
    await withFolder(async (folder) => {
      const sourceOf = async (path: string): Promise<string | undefined> => {
        await mkdir(join(path, ".."), { recursive: true });
        await writeFile(path, "hf_x");
        return (await tokenFromEnvironment())?.source;
      };
      vi.stubEnv("HF_TOKEN_PATH", undefined);
      vi.stubEnv("HOME", folder);
      const places = [
        [undefined, join(folder, ".cache/huggingface/token")],
        ["XDG_CACHE_HOME", join(folder, "xdg/huggingface/token")],
        ["HF_HOME", join(folder, "home/token")],
        ["HF_TOKEN_PATH", join(folder, "secret")],
      ] as const;
      for (const [variable, path] of places) {
        const values = { XDG_CACHE_HOME: join(folder, "xdg"), HF_HOME: "~/home", HF_TOKEN_PATH: "${HOME}/secret" };
        if (variable !== undefined) vi.stubEnv(variable, values[variable]);
        expect(await sourceOf(path)).toBe(path);
      }
    });
  });

  test("that cannot be one, or cannot be read: an error that names its place, not the token", async () => {
    vi.stubEnv("HF_TOKEN", "hf_ secret");
    const error = await errorOf(tokenFromEnvironment());
    expect([error.code, error.message]).toEqual(["HUB_FORBIDDEN", expect.stringMatching(/^HF_TOKEN: found a value with spaces/)]);
    expect(error.message).not.toContain("secret");
    vi.stubEnv("HF_TOKEN", undefined);
    await withHome(async (home) => {
      await mkdir(join(home, "token"));
      const unreadable = await errorOf(tokenFromEnvironment());
      expect([unreadable.code, unreadable.message]).toEqual([
        "HUB_FORBIDDEN",
        expect.stringContaining(`${join(home, "token")}: found a folder (EISDIR)`),
      ]);
    });
  });

  test("of the public hub starts with hf_; that of a mirror may be anything", async () => {
    vi.stubEnv("HF_TOKEN", "secret");
    const error = await errorOf(downloadModel("tiny/model", { endpoint: "https://huggingface.co/" }));
    expect([error.code, error.message]).toEqual(["HUB_FORBIDDEN", expect.stringMatching(/HF_TOKEN: .*starts with hf_/)]);
    const mirror = await startHub(files);
    await withFolder(async (cacheDir) => {
      await downloadModel("tiny/model", { endpoint: mirror.url, cacheDir });
    });
    expect(new Set(mirror.authorizations)).toEqual(new Set(["Bearer secret"]));
    await mirror.close();
  });

  test("opens a private model after `hf auth login`; without it, the error names both ways", async () => {
    const hub = await startHub(files, { isPrivate: true });
    await withHome(async (home) => {
      const error = await errorOf(downloadModel("tiny/model", { endpoint: hub.url }));
      expect([error.code, error.message]).toEqual(["HUB_NOT_FOUND", expect.stringMatching(/`hf auth login` or set HF_TOKEN/)]);
      await writeFile(join(home, "token"), `${TOKEN}\n`);
      expect(await downloadModel("tiny/model", { endpoint: hub.url })).toContain(join(home, "hub/models--tiny--model/snapshots"));
      await writeFile(join(home, "token"), "hf_expired");
      const expired = await errorOf(downloadModel("tiny/model", { endpoint: hub.url }));
      expect(expired.message).toContain(`does not accept, from ${join(home, "token")}`);
    });
    await hub.close();
  });

  test("is sent to the hub's own origin only: not after a redirect, not to another page's host", async () => {
    const other = await startHub(new Map());
    for (const isListing of [false, true]) {
      const hub = await startHub(isListing ? new Map() : files, { isPrivate: true, elsewhere: other.url });
      await withFolder(async (cacheDir) => {
        await errorOf(downloadModel("tiny/model", { endpoint: hub.url, cacheDir, token: TOKEN }));
      });
      expect(new Set(hub.authorizations)).toEqual(new Set([`Bearer ${TOKEN}`]));
      await hub.close();
    }
    expect(other.requests.length).toBeGreaterThan(0);
    expect(new Set(other.authorizations)).toEqual(new Set([null]));
    await other.close();
  });
});

describe("offline", () => {
  test.each(["1", "true", "True", "TRUE", "yes", "YES", "on", "On"])("%s counts as true, in both variables", (word) => {
    vi.stubEnv("TRANSFORMERS_OFFLINE", word);
    expect(offlineVariable()).toBe("TRANSFORMERS_OFFLINE");
    vi.stubEnv("HF_HUB_OFFLINE", word);
    expect(offlineVariable()).toBe("HF_HUB_OFFLINE");
  });

  test.each(["0", "false", "no", "off", "2", "y", " 1"])("%j does not, and hides TRANSFORMERS_OFFLINE", (word) => {
    vi.stubEnv("HF_HUB_OFFLINE", word);
    vi.stubEnv("TRANSFORMERS_OFFLINE", "1");
    expect(offlineVariable()).toBeNull();
  });
});

test("the cache's folder: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub", () => {
  expect(hubCacheFolder()).toBe(join(homedir(), ".cache/huggingface/hub"));
  vi.stubEnv("HF_HOME", "/home");
  expect(hubCacheFolder()).toBe("/home/hub");
  vi.stubEnv("HUGGINGFACE_HUB_CACHE", "/old");
  expect(hubCacheFolder()).toBe("/old");
  vi.stubEnv("HF_HUB_CACHE", "~/cache");
  expect(hubCacheFolder()).toBe(join(homedir(), "cache"));
});
