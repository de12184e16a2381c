/**
 * @file Runs llama.cpp on a GGUF file: log probabilities at every position of some token ids, or ids of texts and a
 * greedy continuation. One file per process, so that one model cannot affect the next.
 *
 *     node tests/reference/llama-logits.mjs INSTALL FILE REQUEST
 *
 * INSTALL is a folder in which tests/reference/package.json is installed. REQUEST is JSON: {"ids": [...]} or {"texts":
 * [...], "prompt": "…"}. The last line of the output is the answer as JSON.
 */

import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [install, file, request] = process.argv.slice(2);
const { ids, texts, prompt } = JSON.parse(request);
const require = createRequire(join(resolve(install), "package.json"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: resolve(file), defaultContextFlashAttention: false });
const context = await model.createContext({ contextSize: 256, threads: 1 });
const sequence = context.getSequence();
const answer = ids === undefined ? await answerTexts() : await logProbabilities();
console.log(JSON.stringify(answer));
process.exit(0);

/** [T, V]: the natural logarithm of each token's probability after each position. */
async function logProbabilities() {
  const evaluated = await sequence.controlledEvaluate(ids.map((id) => [id, { generateNext: { probabilities: true } }]));
  return evaluated.map(({ next }) => {
    const row = [];
    for (const [id, probability] of next.probabilities) row[id] = Math.log(probability);
    return row;
  });
}

async function answerTexts() {
  const encoded = texts.map((text) => model.tokenize(text, true));
  const greedy = [];
  const bos = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
  for await (const id of sequence.evaluate([...bos, ...model.tokenize(prompt, true)], { temperature: 0 })) {
    greedy.push(id);
    if (greedy.length === 24) break;
  }
  return { ids: encoded, text: model.detokenize(greedy) };
}
