/**
 * @file Words and commands for a shell: `sh` gives back what was quoted, and the commands of the closing table reach
 * their program with the path of the expert as it is.
 */

import { execFileSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderResult } from "../src/cli/render-result.ts";
import type { PruneReport, WrittenReport } from "../src/report/report.ts";
import { shellPath, shellWord } from "../src/shell.ts";
import { renderReport } from "../src/report/table.ts";
import { withFolder } from "./support/temporary-folder.ts";

const WORDS = [
  "experts/medical",
  "my experts/médical",
  "it's",
  `"quoted"`,
  "$HOME/`id`/$(id)",
  "a;b&c|d<e>f",
  "~root",
  "*.gguf?[x]",
  "back\\slash",
  "two\nlines",
  "!history",
  "#comment",
  "",
  "é文😀",
  "{a,b}",
];

const sh = (script: string, path = process.env["PATH"]!): string =>
  execFileSync("/bin/sh", ["-c", script], { encoding: "utf8", env: { PATH: path } });

test.for(WORDS)("sh reads %j as it was", (word) => {
  expect(sh(`printf '%s.' ${shellWord(word)}`)).toBe(`${word}.`);
});

test("ordinary paths stay as they are, and a path that starts with a dash is not an option", () => {
  expect(shellPath("/a/b-c_d.e/f+g@h%i:j,k=l")).toBe("/a/b-c_d.e/f+g@h%i:j,k=l");
  expect(shellPath("-rf")).toBe("./-rf");
  expect(shellPath("-r f")).toBe("'./-r f'");
});

const written = (format: WrittenReport["format"]): WrittenReport => ({
  format,
  label: "",
  before: 1,
  after: 1,
  files: ["m x.gguf"],
});

function commandsFor(out: string): string[] {
  const report: PruneReport = {
    model: "tiny",
    family: "llama",
    layers: 1,
    layout: "ragged",
    granularity: "structural",
    budget: "25%",
    parameters: { before: 2, after: 1, removed: 1 },
    input: { bytes: 1, dtypes: ["F32"] },
    written: [written("hf"), written("gguf"), written("onnx")],
    vocabulary: null,
    units: [],
    memory: { limitBytes: 1, keptStatesBytes: 0, stages: [] },
    repair: null,
    notes: [],
    dimensions: [],
    overlap: {},
    out,
    scores: { path: "s", reused: false },
    elapsedMs: 1,
  };
  return renderReport(report).split("Try it:\n  ")[1]!.split("\n  ");
}

/** Programs of these names that print their arguments. */
async function withPrograms(use: (path: string) => void): Promise<void> {
  await withFolder(async (folder) => {
    for (const name of ["python3", "llama-cli", "node", "cusprun"]) {
      await writeFile(join(folder, name), `#!/bin/sh\nfor word; do printf '%s\\0' "$word"; done\n`);
      await chmod(join(folder, name), 0o755);
    }
    use(folder);
  });
}

test.for(WORDS.filter((word) => word !== "" && !word.includes("\n")))("the commands of the table name the folder %j", (out) =>
  withPrograms((path) => {
    const [python, llama, node] = commandsFor(out).map((command) => sh(command, path).split("\0"));
    expect(python).toEqual([
      "-c",
      `from transformers import pipeline; print(pipeline("text-generation", ${JSON.stringify(out)}, trust_remote_code=True)` +
        `("The doctor said", max_new_tokens=40)[0]["generated_text"])`,
      "",
    ]);
    expect(llama?.slice(0, 2)).toEqual(["-m", `${out}/m x.gguf`]);
    expect(node?.[2]).toContain(`pipeline("text-generation", ${JSON.stringify(`./${out}/transformers.js`)})`);
  }),
);

test("the next command after scoring names the scores file", () =>
  withPrograms((path) => {
    const out = "-my $scores.safetensors";
    const value = { out, kinds: ["ffn"], documents: {}, corpora: [] };
    const text = renderResult({ command: "score", value } as unknown as Parameters<typeof renderResult>[0]);
    const command = text.split("Next:\n")[1]!;
    expect(sh(command, path).split("\0").slice(0, 2)).toEqual(["select", `./${out}`]);
  }));
