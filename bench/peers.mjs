/**
 * @file Runs of peers that `compareMethods` cannot make, in its format: PyTorch (peers.py) prunes and answers the same
 * requests, on the same documents and evaluation files. Its figures for the dense model must agree with cusprun's.
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

/**
 * Largest relative difference of the dense model's bits per byte between both sides; wide enough for different orders
 * of summation in f32.
 */
const TOLERANCE = 1e-3;

/**
 * Makes the runs of one model on given corpora at one budget.
 * @param python command of a Python with torch and transformers.
 * @param options.methods their names in peers.py.
 * @param options.share of the blocks' parameters to remove; `removedUnits`: FFN units to remove, of all layers
 *   together.
 * @param options.dense cusprun's figures for the dense model on the corpora (`dimensions`) and the tasks.
 * @param options.checked name of the task whose figures for the dense model are also computed in PyTorch and compared.
 * @param options.work folder for the export of the model that PyTorch reads.
 * @returns for each method a `MethodRun` without its name, budget and seed.
 * @throws Error if the figures of the dense model differ by more than `TOLERANCE`.
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
  // Threads that spin while they wait would slow down other processes.
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

/** Log-likelihoods of a task's requests, in order → figures of the task. */
function figuresOf(task, asked, likelihoods) {
  let next = 0;
  const scores = asked.map(({ requests, score }) => score(likelihoods.slice(next, (next += requests.length))));
  return summarizeTask(task, scores, null);
}

function plain({ input, targets }) {
  return { input: [...input], targets: [...targets] };
}
