/** @file The table and the plots of a comparison, from made-up runs. */

import { XMLParser, XMLValidator } from "fast-xml-parser";
import { describe, expect, test } from "vitest";
import { plotComparison } from "../../src/report/comparison-plots.ts";
import { comparisonMarkdown, renderComparison } from "../../src/report/comparison-table.ts";
import type { MethodComparison, MethodRun } from "../../src/report/method-comparison.ts";

const LABEL = "notes & <b>|x.jsonl";

function madeUp(method: string, removed: number, seed: number, perplexity: number): MethodRun {
  const figure = (value: number) => ({ perplexity: value, bitsPerByte: Math.log2(value) / 4, tokenCount: 100 });
  return {
    method,
    budget: `${removed}% of blocks`,
    seed,
    fingerprint: `${method} ${removed} ${seed}`,
    repaired: method === "cusprun",
    parameters: { before: 2000, after: 2000 - removed * 10, removed: removed * 10 },
    units: [],
    vocabulary: null,
    dimensions: [
      {
        dimension: "domain",
        label: LABEL,
        sources: [],
        calibrationDocuments: 8,
        heldOutDocuments: 3,
        dense: figure(10 + seed),
        expert: figure(perplexity),
      },
    ],
    tasks: [],
    elapsedMs: 61_000 + 2_000 * seed,
    peakBytes: 3 * 2 ** 20,
    expert: null,
  };
}

function comparisonOf(runs: readonly MethodRun[]): MethodComparison {
  return {
    format: "cusprun-comparison-2",
    model: "tiny",
    settings: {
      cusprun: "0.0.0",
      model: "m",
      corpora: { domain: LABEL },
      documents: 8,
      heldOutDocuments: 3,
      maxTokens: 64,
      selection: { layout: "uniform" },
      repair: null,
      tasks: [],
      window: null,
    },
    parameters: { total: 2000, blocks: 1000 },
    dense: { tasks: [] },
    runs,
  };
}

const TWO_SEEDS = comparisonOf(
  [0, 1].flatMap((seed) => [
    madeUp("random", 30, seed, 90 + 20 * seed),
    madeUp("cusprun", 30, seed, 20 + seed),
    madeUp("random", 10, seed, 40 + seed),
    madeUp("cusprun", 10, seed, 12 + seed),
  ]),
);

/** The attributes and children read from an element. */
interface Group {
  readonly "@aria-label"?: string;
  readonly path?: unknown;
}

function pathsOf(svg: string, label: string): number {
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "@",
    isArray: (name) => name === "g" || name === "path",
  });
  const { svg: root } = parser.parse(svg) as { svg: { g: readonly Group[] } };
  return root.g
    .filter((group) => group["@aria-label"] === label)
    .reduce((sum, { path }) => sum + (Array.isArray(path) ? path.length : 0), 0);
}

describe("plots of a comparison", () => {
  test("are well-formed, with a path per method", async () => {
    const [plot, ...others] = await plotComparison(TWO_SEEDS);
    expect(others).toEqual([]);
    expect(plot?.fileName).toBe("held-out-domain.svg");
    expect(XMLValidator.validate(plot?.svg ?? "")).toBe(true);
    expect(plot?.svg).toContain("notes &amp; &lt;b&gt;|x.jsonl");
    expect(plot?.svg).toContain("parameters of the blocks removed");
    expect(pathsOf(plot?.svg ?? "", "line")).toBe(2);
  });

  test("are drawn for a single run, and omit values that overflowed", async () => {
    const [single] = await plotComparison(comparisonOf([madeUp("flap", 20, 0, 30)]));
    expect(XMLValidator.validate(single?.svg ?? "")).toBe(true);
    const [plot] = await plotComparison(
      comparisonOf([madeUp("flap", 20, 0, 30), madeUp("random", 20, 0, Number.POSITIVE_INFINITY)]),
    );
    expect(plot?.svg).not.toMatch(/NaN|Infinity/);
    expect(pathsOf(plot?.svg ?? "", "line")).toBe(1);
    expect(await plotComparison(comparisonOf([madeUp("random", 20, 0, Number.POSITIVE_INFINITY)]))).toEqual([]);
  });
});

describe("the table of a comparison", () => {
  test("lists the smallest cut first, and means over seeds with their standard deviation", () => {
    const lines = renderComparison(TWO_SEEDS).split("\n");
    expect(lines[2]).toMatch(/^budget +method +repaired +parameters +removed +domain: notes.* +time +memory +seeds$/);
    expect(lines[3]).toMatch(/^ +dense +2.00k +10\.50 ± 0\.71$/);
    expect(lines.slice(4, 8).map((line) => line.replaceAll(/ {2,}/g, "|"))).toEqual([
      "10% of blocks|random|no|1.90k|5.0%|40.50 ± 0.71|1 min 02 s|3.00 MiB|2",
      "10% of blocks|cusprun|yes|1.90k|5.0%|12.50 ± 0.71|1 min 02 s|3.00 MiB|2",
      "30% of blocks|random|no|1.70k|15.0%|100.00 ± 14.14|1 min 02 s|3.00 MiB|2",
      "30% of blocks|cusprun|yes|1.70k|15.0%|20.50 ± 0.71|1 min 02 s|3.00 MiB|2",
    ]);
  });

  test("for one seed has neither deviations nor a seeds column, and shows overflowed values", () => {
    const table = renderComparison(comparisonOf([madeUp("random", 20, 0, Number.POSITIVE_INFINITY)]));
    expect(table).not.toMatch(/±|seeds/);
    expect(table).toMatch(/random +no +1.80k +10.0% +∞/);
  });

  test("shows bits per byte if an expert's vocabulary was trimmed", () => {
    const trimmed = { ...madeUp("flap", 20, 0, 16), vocabulary: { before: 64, after: 40, splits: {} } };
    const table = renderComparison(comparisonOf([trimmed, madeUp("random", 20, 0, 256)]));
    expect(table).toMatch(
      /dense .* 0\.830 *\n.* flap .* 1\.000 +1 min 01 s +3\.00 MiB\n.* random .* 2\.000 +1 min 01 s +3\.00 MiB\n/,
    );
    expect(table).toContain("Bits per byte on held-out documents");
  });

  test("as Markdown escapes the user's names", () => {
    const rows = comparisonMarkdown(TWO_SEEDS)
      .split("\n")
      .filter((line) => line.startsWith("|"));
    expect(rows).toHaveLength(2 + 1 + 4);
    expect(rows[0]).toContain("domain: notes & &lt;b>\\|x.jsonl");
    expect(new Set(rows.map((row) => row.replaceAll("\\|", "").split("|").length)).size).toBe(1);
  });
});
