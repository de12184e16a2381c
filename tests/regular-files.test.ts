/**
 * @file Only regular files are opened: pipes, sockets, devices, folders and links to nothing are refused at once.
 */

import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeModel } from "../src/checkpoint/inspect.ts";
import { openRegularFile, readFolder, readHead, readRegularFile, statPath } from "../src/regular-files.ts";
import { errorOf } from "./support/temporary-gguf.ts";
import { withFolder } from "./support/temporary-folder.ts";
import { tinyModel, writeTinyCheckpoint } from "./support/tiny-models.ts";

const CODE = "MODEL_FILE_MISSING";

/** Makes one of each kind of file at a path, and removes what has to be removed. */
const KINDS: readonly (readonly [kind: string, found: RegExp, make: (path: string) => Promise<(() => void) | void>])[] = [
  ["pipe", /found a pipe/, async (path) => void execFileSync("mkfifo", [path])],
  ["folder", /found a folder/, async (path) => void (await mkdir(path))],
  ["device", /found a device/, (path) => symlink("/dev/zero", path)],
  ["link to nothing", /found a link to \/nonexistent\/x, which does not exist/, (path) => symlink("/nonexistent/x", path)],
  ["link to itself", /found links that lead in a circle \(ELOOP\)/, (path) => symlink(path, path)],
  [
    "socket",
    /found a socket/,
    async (path) => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return () => void server.close();
    },
  ],
];

describe.each(KINDS)("a %s", (_, found, make) => {
  test("is not opened as a file", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "file");
      const remove = await make(path);
      for (const read of [
        (): Promise<unknown> => openRegularFile(path, CODE, "a file"),
        (): Promise<unknown> => readRegularFile(path, CODE, "a file", 100),
        (): Promise<unknown> => readHead(path, 4, CODE, "a file"),
      ]) {
        const error = await errorOf(read());
        expect([error.code, error.message]).toEqual([CODE, expect.stringMatching(found)]);
        expect(error.message).toContain(`${path}: `);
      }
      remove?.();
    });
  });

  // `inspect` looks at each of them when it opens the folder.
  test.each(["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"])("as %s", async (name) => {
    await withFolder(async (folder) => {
      const model = join(folder, "m");
      await writeTinyCheckpoint(model, tinyModel("llama"));
      execFileSync("rm", ["-f", join(model, name)]);
      const remove = await make(join(model, name));
      const error = await errorOf(describeModel(model));
      expect([error.code, error.message]).toEqual([CODE, expect.stringMatching(found)]);
      remove?.();
    });
  });
});

test("a regular file, also behind a link; a missing one is null where it may be missing", async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "a"), "abcdef");
    await symlink("a", join(folder, "b"));
    for (const name of ["a", "b"]) {
      expect(Buffer.from((await readRegularFile(join(folder, name), CODE, "a file", 6))!).toString()).toBe("abcdef");
      expect(Buffer.from((await readHead(join(folder, name), 2, CODE, "a file"))!).toString()).toBe("ab");
    }
    expect((await errorOf(readRegularFile(join(folder, "a"), CODE, "a file", 5))).message).toMatch(
      /found 6 bytes, expected at most 5/,
    );
    expect([
      await readRegularFile(join(folder, "no"), CODE, "a file", 6),
      await readHead(join(folder, "no"), 2, CODE, "a file"),
      await statPath(join(folder, "a", "below"), CODE, "a file"),
    ]).toEqual([null, null, null]);
    expect((await errorOf(openRegularFile(join(folder, "no"), CODE, "a file"))).message).toMatch(
      /no such file or folder \(ENOENT\)/,
    );
    expect((await errorOf(readFolder(join(folder, "a"), CODE, "a folder"))).message).toMatch(/a file where a folder is expected/);
  });
});
