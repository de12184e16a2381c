/**
 * @file Runs one folder in transformers.js: `node transformers-js.mjs REQUEST`. REQUEST is the JSON of `RuntimeRequest`
 * with `install`, the folder from which the package is resolved, `dtype`, which selects the ONNX file, and
 * `logitsPath`, the file to which logits are written as f32, [T, V]. The answer is the last line of the output.
 */

import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { install, path, ids, text, newTokens, dtype, logitsPath } = JSON.parse(process.argv[2]);
const entry = createRequire(join(install, "package.json")).resolve("@huggingface/transformers");
const { AutoModelForCausalLM, AutoTokenizer, env, Tensor } = await import(pathToFileURL(entry).href);
env.allowRemoteModels = false;

const model = await AutoModelForCausalLM.from_pretrained(path, { dtype, local_files_only: true });
const input_ids = new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]);
const attention_mask = new Tensor("int64", new BigInt64Array(ids.length).fill(1n), [1, ids.length]);
const { logits } = await model({ input_ids, attention_mask });
const vocabSize = logits.dims.at(-1);
writeFileSync(logitsPath, Float32Array.from(logits.data, Number));

const generated = await model.generate({ input_ids, attention_mask, max_new_tokens: newTokens, do_sample: false });
const continuation = [...generated.data].slice(ids.length).map(Number);
let textIds = null;
if (text !== null) {
  const tokenizer = await AutoTokenizer.from_pretrained(path, { local_files_only: true });
  textIds = tokenizer.encode(text, { add_special_tokens: false });
}
process.stdout.write(`${JSON.stringify({ version: `transformers.js ${env.version}`, vocabSize, continuation, textIds })}\n`, () =>
  process.exit(0),
);
