/** @file The YAML file → settings, and errors that name the line. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { configSchema } from "../../src/cli/option-values.ts";
import { parseConfig, readConfig } from "../../src/cli/read-config.ts";
import type { CusprunError } from "../../src/errors.ts";

const refusal = (text: string): CusprunError => {
  try {
    parseConfig(text, "expert.yaml");
  } catch (error) {
    return error as CusprunError;
  }
  throw new Error("was not rejected");
};

describe("configuration file", () => {
  test("every key is a flag", () => {
    const text = [
      "model: smollm2",
      "language: en",
      "domain: [medical, notes.jsonl]",
      "reduce: 25%",
      "weights: { language: 2 }",
      "overwrite: true",
    ];
    expect(parseConfig(text.join("\n"), "expert.yaml")).toEqual({
      model: "smollm2",
      settings: {
        language: ["en"],
        domain: ["medical", "notes.jsonl"],
        reduce: "25%",
        weights: { language: 2 },
        overwrite: true,
      },
    });
  });

  test("an empty file says nothing", () =>
    expect(parseConfig("# nothing\n", "expert.yaml")).toEqual({ model: null, settings: {} }));

  // The language code of Norwegian is the one that YAML 1.1 took for false.
  test("no is a language", () => expect(parseConfig("language: no", "expert.yaml").settings.language).toEqual(["no"]));

  test.each([
    ["language: en\nlayout: unifrom\n", "expert.yaml, line 2: layout", '"unifrom"', "Perhaps you meant uniform"],
    ["language: en\n\nlangage: de\n", "expert.yaml, line 3", "the key 'langage'", "Perhaps you meant language"],
    ["config: other.yaml\n", "expert.yaml, line 1", "the key 'config'", "Use one of"],
    ["documents: 0.5\n", "expert.yaml, line 1: documents", "0.5", "Correct"],
    ["domain:\n  - medical\n  - 5\n", "expert.yaml, line 3: domain.1", "5", "Correct"],
    ["units: [ffn, haed]\n", "expert.yaml, line 1: units.1", '"haed"', "Perhaps you meant head"],
    ["weights:\n  language: 2\n  tsak: 1\n", "expert.yaml, line 3", "the key 'tsak'", "Perhaps you meant task"],
    ["weights:\n  language: -2\n", "expert.yaml, line 2: weights.language", "-2", "Correct"],
    ["- a\n- b\n", "expert.yaml, line 1: file", '["a","b"]', "Correct"],
    ["a: [1\nb: 2\n", "expert.yaml, line 2", "Flow sequence", "Correct the line"],
    ["layout: masked\nlayout: uniform\n", "expert.yaml, line 2", "Map keys must be unique", "Correct the line"],
    ["layout: uniform\n? [a, b]\n: 1\n", "expert.yaml, line 2", "all keys must be strings", "Correct the line"],
    ["layout: *nowhere\n", "expert.yaml", "Unresolved alias", "Write the values out"],
  ])("%j", (text, where, found, remedy) => {
    const { code, parts } = refusal(text);
    expect({ code, where: parts.where }).toEqual({ code: "USAGE", where });
    expect(parts.found).toContain(found);
    expect(parts.remedy).toContain(remedy);
  });

  test("deep nesting is rejected, and shown shortened", () => {
    const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}\n`;
    expect(refusal(`layout: ${nested(20_000)}`)).toMatchObject({ code: "USAGE", parts: { where: "expert.yaml, line 1" } });
    expect(refusal(`documents: ${nested(100)}`)).toMatchObject({
      code: "USAGE",
      parts: { where: "expert.yaml, line 1: documents", found: "[[[[[…]]]]]" },
    });
  });

  test("aliases that would expand exponentially are rejected, not expanded", () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `l${i + 1}: &l${i + 1} [${Array.from({ length: 10 }, () => `*l${i}`).join(", ")}]`,
    );
    expect(refusal(["l0: &l0 [x, x]", ...levels].join("\n")).code).toBe("USAGE");
  });

  test("a missing file is rejected", async () => {
    await expect(readConfig("nowhere.yaml")).rejects.toMatchObject({
      code: "USAGE",
      parts: { where: "nowhere.yaml", found: "no such file or folder (ENOENT)" },
    });
  });

  test("the published schema is the one that is checked (written by npm run schema)", () => {
    const shipped = readFileSync(fileURLToPath(new URL("../../schema/cusprun.schema.json", import.meta.url)), "utf8");
    expect(JSON.parse(shipped)).toEqual(configSchema(COMMANDS.prune.options));
  });
});
