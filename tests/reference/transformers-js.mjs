/**
 * @file Runs stock transformers.js on an ONNX folder: logits of some token ids and the generated ids, or the text that
 * the pipeline writes. One folder per process, as for llama.cpp.
 *
 *     node tests/reference/transformers-js.mjs INSTALL FOLDER REQUEST
 *
 * INSTALL is a folder in which tests/reference/package.json is installed. REQUEST is JSON:
 * {"ids": [...], "newTokens": n} or {"prompt": "…" or messages, "newTokens": n}, and optionally "dtype".
 * The last line of the output is the answer as JSON.
 */

import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [install, folder, request] = process.argv.slice(2);
const { ids, prompt, newTokens, dtype } = JSON.parse(request);
const require = createRequire(join(resolve(install), "package.json"));
const main = join(dirname(require.resolve("@huggingface/transformers")), "transformers.node.mjs");
const { AutoModelForCausalLM, env, pipeline, Tensor } = await import(pathToFileURL(main).href);
env.allowRemoteModels = false;
env.localModelPath = "";
const options = dtype === undefined ? {} : { dtype };
const generation = { max_new_tokens: newTokens, do_sample: false };

if (prompt === undefined) {
  const model = await AutoModelForCausalLM.from_pretrained(resolve(folder), options);
  const tensor = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, ids.length]);
  const inputs = { input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) };
  const { logits } = await model(inputs);
  const generated = await model.generate({ ...inputs, ...generation });
  console.log(JSON.stringify({ logits: logits.tolist()[0], generated: generated.tolist()[0].map(Number).slice(ids.length) }));
} else {
  const generator = await pipeline("text-generation", resolve(folder), options);
  const [{ generated_text: text }] = await generator(prompt, generation);
  console.log(JSON.stringify({ text }));
}
