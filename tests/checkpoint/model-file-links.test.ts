/** @file Files of a model that are links: the hub's cache consists of them, others may lead to anything. */

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readModelFile } from "../../src/checkpoint/json-files.ts";
import { withFolder } from "../support/temporary-folder.ts";

const NAME = "chat_template.jinja";

test("a link to a file elsewhere is refused; one within the folder, and one of the hub's cache, is followed", async () => {
  await withFolder(async (folder) => {
    const model = join(folder, "model");
    const snapshot = join(folder, "hub", "models--a--b", "snapshots", "0123");
    const blobs = join(folder, "hub", "models--a--b", "blobs");
    for (const path of [model, snapshot, blobs]) await mkdir(path, { recursive: true });
    await writeFile(join(folder, "secret"), "secret");
    await writeFile(join(blobs, "4567"), "of the hub");
    await writeFile(join(model, "other.jinja"), "its own");

    expect(await readModelFile(model, NAME)).toBeNull();
    await symlink(join(folder, "secret"), join(model, NAME));
    const refusal = { code: "MODEL_FILE_LINK", message: expect.stringContaining(join(model, NAME)) };
    await expect(readModelFile(model, NAME)).rejects.toThrow(expect.objectContaining(refusal));
    // Into another model's blobs, and up from a folder that only looks like the cache.
    await symlink(join("..", "hub", "models--a--b", "blobs", "4567"), join(model, "merges.txt"));
    await expect(readModelFile(model, "merges.txt")).rejects.toThrow(expect.objectContaining({ code: "MODEL_FILE_LINK" }));

    await symlink("other.jinja", join(model, "vocab.json"));
    expect(Buffer.from((await readModelFile(model, "vocab.json"))!).toString()).toBe("its own");
    await symlink(join("..", "..", "blobs", "4567"), join(snapshot, NAME));
    expect(Buffer.from((await readModelFile(snapshot, NAME))!).toString()).toBe("of the hub");
    // The folder itself may be a link.
    await symlink(snapshot, join(folder, "linked"));
    expect(Buffer.from((await readModelFile(join(folder, "linked"), NAME))!).toString()).toBe("of the hub");
    await symlink(join(folder, "secret"), join(snapshot, "merges.txt"));
    await expect(readModelFile(snapshot, "merges.txt")).rejects.toThrow(expect.objectContaining({ code: "MODEL_FILE_LINK" }));
  });
});
