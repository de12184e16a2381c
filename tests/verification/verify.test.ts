/**
 * @file Verification with runtimes that are absent, fail, hang or disagree. The runtimes are scripts written for the
 * tests.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { verifyExpert } from "../../src/pipeline/verify.ts";
import { renderVerifications } from "../../src/report/verification-table.ts";
import { askChild } from "../../src/verification/child.ts";
import { type Runtime, RuntimeFailure } from "../../src/verification/runtime.ts";
import { TRANSFORMERS_JS } from "../../src/verification/transformers-js.ts";
import { verifyPart } from "../../src/verification/verify.ts";
import { ourLogits } from "../../src/verification/our-logits.ts";
import { errorOf } from "../support/temporary-gguf.ts";
import { withFolder } from "../support/temporary-folder.ts";
import { tinyCheckpoint, tinyModel, writeTinyCheckpoint } from "../support/tiny-models.ts";

const REQUEST = { path: "x", ids: [1, 2], text: null, newTokens: 1, trustRemoteCode: false };
const TARGET = { label: "safetensors", path: "x", reference: "x", weights: "float" } as const;

afterEach(() => {
  delete process.env["CUSPRUN_VERIFY_TIMEOUT"];
});

async function ask(script: string): Promise<unknown> {
  let answer: unknown;
  await withFolder(async (folder) => {
    const path = join(folder, "runtime.mjs");
    await writeFile(path, script);
    answer = await askChild([process.execPath, path], REQUEST).catch((error: unknown) => error);
  });
  return answer;
}

const WRITE = `import { writeFileSync } from "node:fs";
const { logitsPath, ids } = JSON.parse(process.argv[2]);
writeFileSync(logitsPath, new Float32Array(ids.length * 3).fill(0.5));
console.log("noise");
console.log(JSON.stringify({ version: "some 1.0", vocabSize: VOCAB, continuation: [1], textIds: null }));`;

test("an answer consists of the last line of the output and the file of logits", async () => {
  const answer = await ask(WRITE.replace("VOCAB", "3"));
  expect(answer).toMatchObject({ version: "some 1.0", continuation: [1], logits: new Float32Array(6).fill(0.5) });
});

test.each([
  { what: "too few logits", script: WRITE.replace("VOCAB", "4"), message: /6 logits for 2 tokens and a vocabulary of 4/ },
  { what: "an error", script: "throw new Error('no such architecture')", message: /no such architecture/ },
  { what: "an abort", script: "process.abort()", message: /./ },
  { what: "nothing", script: "", message: /without an answer/ },
])("$what is a failure with its reason", async ({ script, message }) => {
  const answer = await ask(script);
  expect(answer).toBeInstanceOf(RuntimeFailure);
  expect((answer as Error).message).toMatch(message);
});

test("a hanging runtime is stopped", async () => {
  process.env["CUSPRUN_VERIFY_TIMEOUT"] = "0.3";
  expect(((await ask("setInterval(() => {}, 1000)")) as Error).message).toMatch(/did not answer within 0.3 seconds/);
});

test("a runtime with other logits disagrees, one with the same logits agrees", async () => {
  const checkpoint = tinyCheckpoint(tinyModel("llama"));
  const runtime = (error: number): Runtime => ({
    name: "some",
    targetsOf: async () => [TARGET],
    absence: async () => null,
    ask: async (_target, { ids }) => {
      const [logits] = await ourLogits(checkpoint, [ids], {});
      const V = checkpoint.config.vocabSize;
      const last = logits!.subarray(-V);
      const continuation = [last.indexOf(Math.max(...last))];
      return {
        version: "some 1.0",
        vocabSize: V,
        continuation,
        textIds: null,
        logits: logits!.map((x, i) => x + (i % 7) * error),
      };
    },
  });
  const untokenized = { ...checkpoint, readTokenizerFiles: async () => null };
  expect(await verifyPart(untokenized, runtime(0), TARGET, { trustRemoteCode: false })).toMatchObject({
    status: "agrees",
    comparison: { greedy: { agreed: 1, of: 1, gap: 0 } },
  });
  const wrong = await verifyPart(untokenized, runtime(0.1), TARGET, { trustRemoteCode: false });
  expect(wrong.status).toBe("disagrees");
  expect(renderVerifications("expert", [wrong])).toMatch(/safetensors +some 1\.0 +disagrees +\d+\.\d{3}% +0\.0\d+ +1 of 1/);
});

test("an ONNX model in an expert's folder is compared with the expert", () =>
  withFolder(async (folder) => {
    await mkdir(join(folder, "transformers.js/onnx"), { recursive: true });
    await writeFile(join(folder, "transformers.js/onnx/model_q4.onnx"), "");
    expect(await TRANSFORMERS_JS.targetsOf(folder)).toEqual([
      {
        label: "transformers.js/onnx/model_q4.onnx",
        path: join(folder, "transformers.js"),
        reference: folder,
        weights: "requantized",
      },
    ]);
  }));

test("a runtime that is not installed is reported as absent", () =>
  withFolder(async (folder) => {
    const before = process.env["CUSPRUN_PYTHON"];
    process.env["CUSPRUN_PYTHON"] = join(folder, "no-python");
    try {
      await writeTinyCheckpoint(folder, tinyModel("llama"));
      const report = await verifyExpert({ expert: folder });
      expect(report).toMatchObject({ agrees: false, verifications: [{ runtime: "transformers", status: "absent" }] });
      expect(renderVerifications(folder, report.verifications)).toMatch(/no torch and transformers/);
    } finally {
      if (before === undefined) delete process.env["CUSPRUN_PYTHON"];
      else process.env["CUSPRUN_PYTHON"] = before;
    }
  }));

test.each([
  ["{}", /gave an unknown answer: \{\}/],
  ['{"version":"x 1","vocabSize":-1,"continuation":[]}', /gave an unknown answer/],
  ['{"version":"x 1","vocabSize":8,"continuation":["a"]}', /gave an unknown answer/],
  ["[".repeat(20_000) + "]".repeat(20_000), /exited without an answer/],
  ['{"version":"x 1","vocabSize":8,"continuation":[]}', /answered without logits/],
])("a runtime's answer %j is a failure of the runtime", async (answer, message) => {
  const request = { path: ".", ids: [1], text: null, newTokens: 1, trustRemoteCode: false };
  const command = [process.execPath, "-e", `console.log(${JSON.stringify(answer)})`] as const;
  await expect(askChild(command, request)).rejects.toThrow(message);
  await expect(askChild(command, request)).rejects.toBeInstanceOf(RuntimeFailure);
});

test("a temporary folder that does not exist is named", () =>
  withFolder(async (folder) => {
    vi.stubEnv("TMPDIR", join(folder, "no"));
    const request = { path: ".", ids: [1], text: null, newTokens: 1, trustRemoteCode: false };
    const error = await errorOf(askChild([process.execPath, "-e", ""], request));
    vi.unstubAllEnvs();
    expect([error.code, error.message]).toEqual(["OUTPUT_UNWRITABLE", expect.stringMatching(/Set TMPDIR to a folder elsewhere/)]);
  }));

test("the errors for a truncated and an unknown file name the file", () =>
  withFolder(async (folder) => {
    const foreign = join(folder, "model.gguf");
    await writeFile(foreign, "PK\u0003\u0004 a zip archive, which is no model at all");
    const error = await errorOf(verifyExpert({ expert: foreign }));
    expect(error).toMatchObject({ code: "GGUF_MAGIC", message: expect.stringContaining("model.gguf") });
    await writeFile(foreign, "GGUF\u0003\u0000\u0000\u0000\u0009");
    expect(await errorOf(verifyExpert({ expert: foreign }))).toMatchObject({ code: "GGUF_TRUNCATED" });
    expect(await errorOf(verifyExpert({ expert: join(folder, "nothing") }))).toMatchObject({ code: "MODEL_NOT_FOUND" });
  }));
