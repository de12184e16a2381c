/**
 * @file Peers that a comparison cannot make with `compareMethods`, as runs of it: PyTorch (peers.py) cuts and answers, on the same documents and evaluation files as the others. What it says
 * of the dense model has to be what cusprun says.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { exportModel, openCheckpoint, resolveModel } from "cusprun";
import {
  askLikelihoods,
  loadCorpora,
  openTokenizer,
  readTasks,
  RequestMaker,
  summarizePerplexity,
  summarizeTask,
  uniqueDocuments,
} from "cusprun/internals";
import { askProgram } from "./process.mjs";

/** Largest relative difference of the dense model's bits per byte between both sides; other orders of summation in f32 are within. */
const TOLERANCE = 1e-3;

/**
 * Makes runs of one model, corpora and budget.
 * @param python with torch and transformers.
 * @param options.methods as peers.py calls them.
 * @param options.share of the blocks' parameters that goes, and `removedUnits`, of all layers together.
 * @param options.dense what cusprun says of the dense model on the corpora (`dimensions`) and the tasks; of these, `checked` is asked of PyTorch too.
 * @param options.work folder that keeps the model as PyTorch reads it.
 * @returns by method, what `MethodRun` describes but for its name, budget and seed.
 */
export async function makePeerRuns(python, options) {
  const { model, corpora: specs, corpusOptions, tasks: paths, methods, share, removedUnits, dense, checked, work } = options;
  const source = await resolveModel(model);
  const checkpoint = await openCheckpoint(source);
  const tokenizer = await openTokenizer(checkpoint);
  const maker = new RequestMaker(tokenizer, checkpoint.config);
  await checkpoint.close();
  const folder = join(work, model);
  if (!existsSync(folder)) await exportModel({ model: source, to: "safetensors", type: "F32", out: folder });
  const corpora = await loadCorpora(specs, tokenizer, corpusOptions);
  const tasks = await readTasks(paths);

  const own = corpora.flatMap(({ heldOut }) =>
    heldOut.map(({ tokens }) => ({ input: tokens.subarray(0, -1), targets: tokens.subarray(1) })),
  );
  const asked = tasks.map(({ items }) => items.map((item) => askLikelihoods(item, maker)));
  const requestsOf = (items) => items.flatMap(({ requests }) => requests);
  const place = tasks.findIndex(({ name }) => name === checked);
  // Threads that spin while they wait would slow down whatever else runs.
  const answer = askProgram(python, "peers.py", {
    environment: { OMP_WAIT_POLICY: "passive" },
    request: {
      folder,
      methods,
      share,
      removedUnits,
      calibration: uniqueDocuments(corpora.flatMap(({ calibration }) => calibration)).map(({ tokens }) => [...tokens]),
      requests: [...own, ...requestsOf(asked.flat())].map(plain),
      denseRequests: requestsOf(asked[place]).map(plain),
    },
  });
  const theirs = figuresOf(tasks[place], asked[place], answer.dense).figures.bitsPerByte.value;
  const ours = dense.tasks[place].figures.bitsPerByte.value;
  if (Math.abs(theirs / ours - 1) > TOLERANCE) throw new Error(`${model}, ${checked}: ${theirs} in PyTorch, ${ours} in cusprun`);

  return Object.fromEntries(
    methods.map((method) => {
      const { removed, seconds, expert } = answer.methods[method];
      let next = 0;
      const take = (count) => expert.slice(next, (next += count));
      const dimensions = corpora.map((corpus, index) => ({
        label: corpus.label,
        calibrationDocuments: corpus.calibration.length,
        heldOutDocuments: corpus.heldOut.length,
        dense: dense.dimensions[index],
        expert: summarizePerplexity(
          corpus.heldOut,
          take(corpus.heldOut.length).map((value) => -value),
        ),
      }));
      const results = tasks.map((task, index) => figuresOf(task, asked[index], take(requestsOf(asked[index]).length)));
      const parameters = { before: answer.total, after: answer.total - removed, removed };
      return [method, { parameters, vocabulary: null, dimensions, tasks: results, elapsedMs: 1000 * seconds }];
    }),
  );
}

/** Log-likelihoods of a task's requests, in their order → its figures. */
function figuresOf(task, asked, likelihoods) {
  let next = 0;
  const scores = asked.map(({ requests, score }) => score(likelihoods.slice(next, (next += requests.length))));
  return summarizeTask(task, scores, null);
}

function plain({ input, targets }) {
  return { input: [...input], targets: [...targets] };
}
