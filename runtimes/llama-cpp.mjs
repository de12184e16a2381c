/**
 * @file Runs one GGUF file in llama.cpp, through node-llama-cpp: `node llama-cpp.mjs REQUEST`. REQUEST is the JSON of
 * `RuntimeRequest` with `install`, the folder from which the package is resolved, and `logitsPath`, the file to which
 * log probabilities are written as f32, [T, V]. The answer is the last line of the output.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const { install, path, ids, text, newTokens, logitsPath } = JSON.parse(process.argv[2]);
const entry = createRequire(join(install, "package.json")).resolve("node-llama-cpp");
const { getLlama } = await import(pathToFileURL(entry).href);
// One thread: with more, it was seen to hang at full load next to other processes. A few dozen tokens need no more.
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
// Without flash attention, and with the default type of keys and values.
const model = await llama.loadModel({ modelPath: path, defaultContextFlashAttention: false });
const context = await model.createContext({ contextSize: Math.max(64, ids.length + newTokens + 8), threads: 1 });
const sequence = context.getSequence();

const evaluated = await sequence.controlledEvaluate(ids.map((id) => [id, { generateNext: { probabilities: true } }]));
const vocabSize = evaluated[0].next.probabilities.size;
const logits = new Float32Array(ids.length * vocabSize);
evaluated.forEach(({ next }, position) => {
  for (const [id, probability] of next.probabilities) logits[position * vocabSize + id] = Math.log(probability);
});
writeFileSync(logitsPath, logits);

await sequence.clearHistory();
const continuation = [];
for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
  continuation.push(id);
  if (continuation.length === newTokens) break;
}
const textIds = text === null ? null : model.tokenize(text, true);
process.stdout.write(
  `${JSON.stringify({ version: `node-llama-cpp ${versionOf(entry)}`, vocabSize, continuation, textIds })}\n`,
  () => process.exit(0),
);

function versionOf(file) {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      if (name === "node-llama-cpp") return version;
    } catch {
      // The package's own package.json is in a parent folder.
    }
  }
  return "of unknown version";
}
