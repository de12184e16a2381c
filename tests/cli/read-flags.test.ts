/** @file The command line → settings, and the errors for invalid ones. */

import { describe, expect, test } from "vitest";
import { readFlags } from "../../src/cli/read-flags.ts";
import { CusprunError } from "../../src/errors.ts";

const settingsOf = (line: string) => {
  const request = readFlags(line.split(" "));
  if (request.kind !== "run") throw new Error(`read as ${request.kind}`);
  return request.settings;
};

describe("flags", () => {
  test("of a whole command", () => {
    const line =
      "prune smollm2 --language en --domain medical --domain=notes.jsonl --task multiple-choice --reduce 25% --out out";
    expect(readFlags(line.split(" "))).toEqual({
      kind: "run",
      command: "prune",
      subject: "smollm2",
      settings: { language: ["en"], domain: ["medical", "notes.jsonl"], task: ["multiple-choice"], reduce: "25%", out: "out" },
    });
  });

  test.each([
    ["prune m --units ffn,kv-group", { units: ["ffn", "kv-group"] }],
    ["prune m --units ffn --units head", { units: ["ffn", "head"] }],
    ["prune m --weights language=2,task=0.5", { weights: { language: 2, task: 0.5 } }],
    ["prune m --floor 0.25", { floor: 0.25 }],
    ["prune m --floor 25%", { floor: 0.25 }],
    ["prune m --documents 64 --max-tokens 512", { documents: 64, "max-tokens": 512 }],
    ["prune m --overwrite --no-measure", { overwrite: true, measure: false }],
    ["prune m --out -", { out: "-" }],
  ])("%s", (line, settings) => expect(settingsOf(line)).toEqual(settings));

  test.each([
    ["prnue m", "the command 'prnue'", "Perhaps you meant prune"],
    ["--reduce 5% m", "'--reduce'", "Use one of: prune"],
    ["prune m --langage en", "the flag --langage", "Perhaps you meant --language"],
    ["prune m --xyzzy", "the flag --xyzzy", "See 'cusprun prune --help'"],
    ["select s --language en", "the flag --language", "This flag belongs to: prune, score"],
    ["prune m -o out", "the flag -o", "See 'cusprun prune --help'"],
    ["prune m --layout unifrom", "'unifrom'", "Perhaps you meant uniform"],
    ["prune m --units ffn,haed", "'haed'", "Perhaps you meant head"],
    ["prune m --weights language", "'language'", "language=2"],
    ["prune m --weights langage=2", "'langage'", "Perhaps you meant language"],
    ["prune m --weights language=-1", "'language=-1'", "language=2"],
    ["prune m --documents 1.5", "'1.5'", "Write --documents"],
    ["prune m --documents 0", "'0'", "Write --documents"],
    ["prune m --documents", "no value", "Write --documents VALUE"],
    ["prune m --reduce --out x", "no value", "Write --reduce VALUE"],
    ["prune m --reduce 5% --reduce 6%", "two values ('5%' and '6%')", "once"],
    ["prune m --overwrite=yes", "the value 'yes'", "--no-overwrite"],
    ["prune m n", "2 arguments (m, n)", "Remove the extra arguments"],
    ["cache m", "1 argument (m)", "Remove the extra arguments"],
  ])("rejects %s", (line, found, remedy) => {
    const error = (() => {
      try {
        return readFlags(line.split(" "));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(CusprunError);
    const { code, parts, exitCode } = error as CusprunError;
    expect({ code, exitCode, found: parts.found }).toEqual({ code: "USAGE", exitCode: 2, found });
    expect(parts.remedy).toContain(remedy);
  });
});
