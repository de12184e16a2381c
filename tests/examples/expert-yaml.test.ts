/**
 * @file The YAML file of the examples: it fits the schema that ships with cusprun, the command reads it, and all that
 * it names is there.
 */

import { readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { readConfig } from "../../src/cli/read-config.ts";
import { presetNames } from "../../src/corpora/presets.ts";
import { parseBudget } from "../../src/selection/budget.ts";

const ROOT = new URL("../../", import.meta.url);
const PATH = fileURLToPath(new URL("examples/expert.yaml", ROOT));

test("fits the schema that ships with cusprun", () => {
  const schema = JSON.parse(readFileSync(new URL("schema/cusprun.schema.json", ROOT), "utf8")) as object;
  const ajv = new Ajv({ allErrors: true, strict: true });
  ajv.validate(schema, parse(readFileSync(PATH, "utf8")));
  expect(ajv.errors).toBeNull();
});

test("is read by the command", async () => {
  expect(await readConfig(PATH)).toEqual({
    model: "smollm2",
    settings: {
      language: ["en"],
      domain: ["examples/my-corpus.jsonl"],
      task: ["question-answering"],
      documents: 48,
      "held-out": 24,
      "max-tokens": 512,
      reduce: "20%",
      layout: "uniform",
      weights: { domain: 2 },
      formats: ["hf", "gguf"],
      out: "experts/beekeeping",
    },
  });
});

test("names presets, a file and a budget that exist", async () => {
  const { language, task, domain, reduce } = (await readConfig(PATH)).settings;
  expect(presetNames("language")).toContain(language?.[0]);
  expect(presetNames("task")).toContain(task?.[0]);
  await expect(access(new URL(domain?.[0] ?? "", ROOT))).resolves.toBeUndefined();
  expect(parseBudget(reduce ?? "")).toEqual({ kind: "share", of: "all", share: 0.2 });
});
