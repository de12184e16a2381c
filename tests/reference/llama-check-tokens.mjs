/**
 * @file Tokenises the texts of a tokenizer's golden with llama.cpp and a GGUF file, and reports differences.
 *
 *     node tests/reference/llama-check-tokens.mjs INSTALL FILE '{"golden": GOLDEN, "data": DATA}'
 *
 * INSTALL is a folder in which tests/reference/package.json is installed, GOLDEN a file like those in
 * tests/fixtures/tokenizers, DATA the shared data. The last line of the output is the answer as JSON: the strings and
 * files compared, and those that differ.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { digestTokens, listTextFiles, readTexts } from "./texts.mjs";

const [install, file, request] = process.argv.slice(2);
const { golden: goldenPath, data } = JSON.parse(request);
const golden = JSON.parse(readFileSync(goldenPath, "utf8"));
const require = createRequire(join(resolve(install), "package.json"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: resolve(file), vocabOnly: true });
const encode = (text) => model.tokenize(text, true);
const strings = golden.strings.filter(({ text, ids }) => JSON.stringify(encode(text)) !== JSON.stringify(ids));
const files = listTextFiles(data).filter(({ name }) => name in golden.files);
const different = files.filter(({ name, path }) => digestTokens(readTexts(path), encode).sha256 !== golden.files[name].sha256);
const differences = [...strings.map(({ text }) => text), ...different.map(({ name }) => name)];
console.log(JSON.stringify({ strings: golden.strings.length, files: files.length, differences }));
process.exit(0);
