/** @file Outputs that are files, and what a run reads or keeps, which no output replaces. */

import { link, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withOutputFile, withOutputFolder, type FolderPlaceOptions, type OutputPlace } from "../src/output-place.ts";
import { outputTree, tree, writeOutput } from "./support/output-trees.ts";
import { withFolder } from "./support/temporary-folder.ts";

const OLD = { "model.safetensors": "old weights", "part/onnx/model.onnx": "old graph" };
const NEW = { "model.safetensors": "new weights", "part/config.json": "{}" };

describe("what a run reads or keeps", () => {
  /** An output in `out`, which is also inside of, or contains, other places. */
  const place = (folder: string): Promise<void> => writeOutput(join(folder, "models", "out"), OLD);
  const replace = (out: string, path: string, more: object = {}): Promise<void> =>
    writeOutput(out, NEW, { overwrite: true, inputs: [{ path, what: "the model", ...more }] });

  test.each([
    ["itself", "models/out", "is"],
    ["a file in it", "models/out/model.safetensors", "holds"],
    ["a folder in it", "models/out/part", "holds"],
    ["something in it that is not there yet", "models/out/later/work", "holds"],
    ["its parent", "models", "is inside"],
    ["itself by a link", "link", "is"],
    ["a parent by a link", "parents", "is inside"],
  ])("is not replaced: %s", (_, input, relation) =>
    withFolder(async (folder) => {
      await place(folder);
      await symlink("models/out", join(folder, "link"));
      await symlink("models", join(folder, "parents"));
      for (const out of ["models/out", "link", "parents/out", "models/../models/out"]) {
        const path = join(folder, input);
        await expect(replace(join(folder, out), path)).rejects.toMatchObject({
          code: "OUTPUT_EXISTS",
          parts: { found: `a place that ${relation} the model (${path})` },
        });
      }
      expect(await outputTree(join(folder, "models", "out"))).toEqual(OLD);
    }),
  );

  test("is not replaced when it becomes known after the place was reserved", () =>
    withFolder(async (folder) => {
      await place(folder);
      const out = join(folder, "models", "out");
      const protect = (output: OutputPlace): Promise<void> =>
        output.protect([{ path: join(out, "model.safetensors"), what: "the model" }]);
      await expect(withOutputFolder(out, { overwrite: true }, protect)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
    }));

  test("may hold a new output, and the folder of works and the current one also an old one", () =>
    withFolder(async (folder) => {
      await place(folder);
      await writeOutput(join(folder, "models", "new"), NEW, { inputs: [{ path: join(folder, "models"), what: "the model" }] });
      await replace(join(folder, "models", "out"), join(folder, "models"), { holdsOutputs: true });
      await mkdir(join(folder, "empty"));
      const current = { path: join(folder, "empty"), what: "the current folder", holdsOutputs: true, mayBeFilled: true };
      await writeOutput(join(folder, "empty"), NEW, { inputs: [current] });
      await expect(writeOutput(join(folder, "empty"), OLD, { overwrite: true, inputs: [current] })).rejects.toMatchObject({
        parts: { found: expect.stringContaining("is the current folder") as string },
      });
    }));
});

describe("a file", () => {
  const options = {
    kind: "a plan",
    recognises: async (path: string): Promise<boolean> => (await readFile(path, "utf8")).startsWith("plan"),
  };
  const writePlan = (path: string, overwrite: boolean, inputs: FolderPlaceOptions["inputs"] = []): Promise<void> =>
    withOutputFile(path, { ...options, overwrite, inputs }, (place) =>
      place.write((temporary) => writeFile(temporary, "plan, new")),
    );

  test.each(["plan", "far/plan", "link", "dangling"])("at %s is written, and replaced only with overwrite", (name) =>
    withFolder(async (folder) => {
      await mkdir(join(folder, "there"));
      await symlink("there/plan", join(folder, "dangling"));
      await writeFile(join(folder, "there", "old"), "plan, old");
      await symlink("there/old", join(folder, "link"));
      const path = join(folder, name);
      if (name !== "link") await writePlan(path, false);
      await expect(writePlan(path, false)).rejects.toMatchObject({
        code: "OUTPUT_EXISTS",
        parts: { remedy: "Choose another --out, or pass --overwrite to replace it" },
      });
      await writePlan(path, true);
      expect(await readFile(path, "utf8")).toBe("plan, new");
      if (name === "link") expect(await readlink(path)).toBe("there/old");
      expect((await readdir(folder, { recursive: true })).filter((entry) => entry.includes(".cusprun-"))).toEqual([]);
    }),
  );

  test("of another kind, a folder, a device and an input are not written over; an empty file is", () =>
    withFolder(async (folder) => {
      const [thesis, empty, plan] = ["thesis", "empty", "plan"].map((name) => join(folder, name)) as [string, string, string];
      await writeFile(thesis, "mine");
      await writeFile(empty, "");
      await writeFile(plan, "plan, old");
      await link(plan, join(folder, "same"));
      const inputs = [{ path: plan, what: "the plan" }];
      await expect(writePlan(thesis, true)).rejects.toMatchObject({ parts: { found: "a file that is not a plan" } });
      await expect(writePlan(folder, true)).rejects.toMatchObject({ parts: { found: "a folder" } });
      await expect(writePlan("/dev/null", true)).rejects.toMatchObject({ parts: { found: "a device, pipe or socket" } });
      await expect(writePlan(plan, true, inputs)).rejects.toMatchObject({
        parts: { found: `a place that is the plan (${plan})` },
      });
      await expect(writePlan(join(folder, "same"), true, inputs)).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      await writePlan(empty, true);
      expect(await tree(folder)).toEqual({ thesis: "mine", empty: "plan, new", plan: "plan, old", same: "plan, old" });
    }));

  test("that appears while the run is working is not written over", () =>
    withFolder(async (folder) => {
      const path = join(folder, "plan");
      const writing = withOutputFile(path, options, (place) =>
        place.write(async (temporary) => {
          await writeFile(temporary, "plan, new");
          await writeFile(path, "plan, of another program");
        }),
      );
      await expect(writing).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
      expect(await tree(folder)).toEqual({ plan: "plan, of another program" });
    }));
});
