/**
 * @file Makes the goldens of tests/fixtures/tokenizers with llama.cpp's tokenizer; special tokens in texts are
 * recognised.
 *
 *     node tests/reference/llama-tokenize.mjs INSTALL MODELS DATA
 *
 * INSTALL is a folder in which tests/reference/package.json is installed, MODELS the folder of the GGUF files, DATA the
 * shared data.
 */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { digestTokens, listTextFiles, readTexts, shortDigest, trickyStrings } from "./texts.mjs";

const [install, models, data] = process.argv.slice(2).map((path) => resolve(path));
if (data === undefined) throw new Error("usage: node tests/reference/llama-tokenize.mjs INSTALL MODELS DATA");
const require = createRequire(join(install, "package.json"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const fixtures = join(import.meta.dirname, "../fixtures/tokenizers");
const modelFiles = { smollm2: "smollm2-", qwen2: "qwen2.5-", gemma3: "gemma-3-" };

const llama = await getLlama({ gpu: false, build: "never", skipDownload: true });
const version = JSON.parse(readFileSync(join(install, "node_modules/node-llama-cpp/package.json"), "utf8")).version;
const reference = `llama.cpp ${llama.llamaCppRelease.release} in node-llama-cpp ${version}`;
const strings = trickyStrings();

for (const name of Object.keys(modelFiles)) {
  await withModel(name, {}, (model) => {
    const encode = (text) => model.tokenize(text, true);
    const files = Object.fromEntries(
      listTextFiles(data).map(({ name: file, path }) => [file, digestTokens(readTexts(path), encode)]),
    );
    const prefix = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
    const suffix = model.tokens.shouldAppendEosToken ? [model.tokens.eos] : [];
    write(name, { reference, prefix, suffix, files, strings: strings.map((text) => ({ text, ids: encode(text) })) });
  });
}

// Every other pre-tokenizer, on SmolLM2's vocabulary, and the prefix space, on Gemma's: the keys are overridden when
// the file is opened.
const variants = [];
const names = ["default", "gpt-2", "llama-bpe", "dbrx", "qwen2", "qwen35", "tekken", "gpt-4o"];
for (const pre of names) await addVariant("smollm2", { pre });
await addVariant("gemma3", { add_space_prefix: true });
write("variants", { reference, variants });

async function addVariant(name, ggml) {
  await withModel(name, { tokenizer: { ggml } }, (model) => {
    const [[key, value]] = Object.entries(ggml);
    variants.push({
      model: name,
      key: `tokenizer.ggml.${key}`,
      value,
      digests: strings.map((text) => shortDigest(model.tokenize(text, true))),
    });
  });
}

async function withModel(name, metadataOverrides, use) {
  const file = readdirSync(models).find((entry) => entry.startsWith(modelFiles[name]) && entry.endsWith(".gguf"));
  if (file === undefined) throw new Error(`no ${modelFiles[name]}*.gguf in ${models}`);
  const model = await llama.loadModel({ modelPath: join(models, file), vocabOnly: true, metadataOverrides });
  use(model);
  await model.dispose();
}

/** One line per file, string and variant, so that differences are readable. */
function write(name, { strings: tricky, files, variants: rows, ...head }) {
  const list = (items) => `[\n${items.map((item) => `  ${JSON.stringify(item)}`).join(",\n")}\n ]`;
  const parts = Object.entries(head).map(([key, value]) => `"${key}": ${JSON.stringify(value)}`);
  if (files)
    parts.push(
      `"files": {\n${Object.entries(files)
        .map(([file, digest]) => `  "${file}": ${JSON.stringify(digest)}`)
        .join(",\n")}\n }`,
    );
  if (tricky) parts.push(`"strings": ${list(tricky)}`);
  if (rows) parts.push(`"variants": ${list(rows)}`);
  writeFileSync(join(fixtures, `${name}.json`), `{\n ${parts.join(",\n ")}\n}\n`);
  console.log(name);
}
