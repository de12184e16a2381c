/**
 * @file Devices: one that this system cannot have is refused before any work, and the error lists those that it has.
 */

import { platform } from "node:os";
import { expect, test } from "vitest";
import { checkDevice } from "../../src/model/sessions.ts";
import { pruneModel } from "../../src/pipeline/prune.ts";

/** Of another system. */
const ABSENT = platform() === "darwin" ? "dml" : "coreml";

test("the CPU is always there", () => expect(checkDevice("cpu")).resolves.toBeUndefined());

test("a device of another system is refused, with its name and a remedy", async () => {
  await expect(checkDevice(ABSENT)).rejects.toMatchObject({
    code: "DEVICE_UNAVAILABLE",
    parts: {
      where: `device ${ABSENT}`,
      expected: expect.stringContaining("cpu"),
      remedy: expect.stringContaining("--device"),
    },
  });
});

test("and it is refused before the model is looked up", async () => {
  const options = {
    model: "./nothing",
    corpora: { language: ["en"] },
    selection: { budget: "10%", layout: "uniform" },
    out: "out",
  } as const;
  await expect(pruneModel({ ...options, device: ABSENT })).rejects.toMatchObject({ code: "DEVICE_UNAVAILABLE" });
});
