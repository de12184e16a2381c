/** @file The tables of docs/results.md: one with a row per comparison, and one per comparison. */

import { geometricMean, table } from "./tables.mjs";

/** The figure of a comparison: perplexity is per token, and so not comparable if tokens were removed. */
function figureOf(runs) {
  return runs.some(({ vocabulary }) => vocabulary !== null) ? "bitsPerByte" : "perplexity";
}

/**
 * A table with a row per comparison: its own held-out text, as a geometric mean over its dimensions, and general text.
 * @param methods.names of the method that the rows are about (`ours`), and of the same method without repair (`cut`).
 * @param methods.others names of the methods that it is compared with.
 * @param methods.page the evaluation file of general text.
 */
export function summary(all, { names, others: otherNames, page }) {
  const rows = all.flatMap(({ model, title, budget, seed, dense, runs }) => {
    const figure = figureOf(runs);
    const own = (of) => (run) => geometricMean(run.dimensions.map((each) => each[of][figure] ?? Infinity));
    const general = (results) => results.find(({ name }) => name === page).figures.bitsPerByte.value;
    const ours = runs.find(({ method }) => method === names.ours);
    const cut = runs.find(({ method }) => method === names.cut);
    const others = runs.filter((run) => otherNames.has(run.method));
    if (ours === undefined || others.length === 0) return [];
    const least = (of) => others.reduce((best, run) => (of(run) < of(best) ? run : best));
    const [nearest, mostGeneral] = [least(own("expert")), least(({ tasks: results }) => general(results))];
    const digits = figure === "perplexity" ? 1 : 3;
    return [
      [
        `${model}, ${title}`,
        `${budget}${seed === 0 ? "" : `, seed ${seed}`}`,
        own("dense")(ours).toFixed(digits),
        own("expert")(ours).toFixed(digits),
        cut === undefined ? "" : own("expert")(cut).toFixed(digits),
        `${own("expert")(nearest).toFixed(digits)} (${nearest.method})`,
        general(dense.tasks).toFixed(3),
        general(ours.tasks).toFixed(3),
        `${general(mostGeneral.tasks).toFixed(3)} (${mostGeneral.method})`,
      ],
    ];
  });
  const header = [
    "model, expert",
    "budget",
    "dense",
    "ours",
    "not repaired",
    "best of the others",
    "wikitext, dense",
    "ours",
    "best of the others",
  ];
  return [
    "### All at a glance",
    "The expert's own held-out texts, the geometric mean over its corpora: perplexity, or bits per byte if tokens were\n" +
      `removed. Then bits per byte of wikitext. \`ours\` is _${names.ours}_.`,
    `${table(header, rows)}\n`,
  ].join("\n\n");
}

/** One table per comparison, budget and seed. @param order names of the methods, in the order of the rows. */
export function tables(all, order) {
  const parts = [];
  for (const { model, title: expert, budget, seed, dense, runs: members, settings } of all) {
    members.sort((a, b) => order.indexOf(a.method) - order.indexOf(b.method));
    const first = members[0];
    const figure = figureOf(members);
    const fixed = (value) => (value === null || value === undefined ? "∞" : value.toFixed(figure === "perplexity" ? 1 : 3));
    const row = (label, dimensions, results, last) => [
      label,
      ...dimensions.map((each) => fixed(each?.[figure])),
      ...results.flatMap(taskCells),
      ...last,
    ];
    const header = [
      "method",
      ...first.dimensions.map(({ label }) => label.replace(/^\w+?-|\.jsonl$/g, "")),
      ...dense.tasks.flatMap(({ name: file, figures }) =>
        "accuracy" in figures ? [`${file}, accuracy`, "nats"] : [file.replace("ppl_", "")],
      ),
      "removed",
      "minutes",
      "MiB",
    ];
    const rows = [
      row(
        "dense",
        first.dimensions.map((each) => each.dense),
        dense.tasks,
        ["", "", ""],
      ),
      ...members.map((run) =>
        row(
          run.method,
          run.dimensions.map((each) => each.expert),
          run.tasks,
          [
            `${((100 * run.parameters.removed) / run.parameters.before).toFixed(1)}%`,
            (run.elapsedMs / 60_000).toFixed(1),
            run.peakBytes === undefined ? "" : (run.peakBytes / 2 ** 20).toFixed(0),
          ],
        ),
      ),
    ];
    const { calibrationDocuments, heldOutDocuments } = first.dimensions[0];
    const title = `### ${model}, ${expert}, ${budget}${seed === 0 ? "" : `, seed ${seed}`}`;
    const sizes =
      `${calibrationDocuments} documents of each corpus of at most ${settings.maxTokens} tokens ` +
      `are used to choose and to repair, ${heldOutDocuments} are held out${figure === "perplexity" ? "" : "; in bits per byte"}.`;
    parts.push(`${title}\n\n${sizes}\n\n${table(header, rows)}\n`);
  }
  return parts.join("\n");
}

/** Accuracy with its interval and the negative log-likelihood of the correct choice, or bits per byte. */
function taskCells({ figures }) {
  if (!("accuracy" in figures)) return [figures.bitsPerByte.value.toFixed(3)];
  const { value, interval } = figures.accuracy;
  const percent = (share) => (100 * share).toFixed(0);
  return [
    `${percent(value)}% (${percent(interval[0])} to ${percent(interval[1])})`,
    figures.answerNegativeLogLikelihood.value.toFixed(2),
  ];
}
