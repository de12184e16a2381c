/**
 * @file The plots of a comparison: one SVG per figure with the share removed on the x axis and the quality on the y
 * axis, a line per method, and a horizontal rule for the dense model.
 */

import type { Markish, PlotOptions } from "@observablehq/plot";
import {
  comparisonFigures,
  denseSpread,
  figurePoints,
  type ComparisonFigure,
  type FigurePoint,
  type Spread,
} from "./comparison-figures.ts";
import { displayWidth } from "./format.ts";
import { methodsOf, type MethodComparison } from "./method-comparison.ts";
import { renderSvg, type Plot } from "./svg.ts";

/** An SVG file. */
export interface ComparisonPlot {
  readonly fileName: string;
  readonly svg: string;
}

const HEIGHT = 400;
const PLOT_WIDTH = 560;
/** Distance between the bars of two methods, in pixels. */
const BAR_STEP = 4;
/** Line height of the legend, and approximate width of a letter in the plot's 10-pixel sans-serif font, in pixels. */
const LEGEND_LINE = 16;
const LETTER = 6.5;

/** Plots every figure that has at least one point. */
export async function plotComparison(comparison: MethodComparison): Promise<readonly ComparisonPlot[]> {
  const plots: ComparisonPlot[] = [];
  for (const figure of comparisonFigures(comparison)) {
    const points = figurePoints(comparison, figure);
    if (points.length === 0) continue;
    const dense = denseSpread(comparison, figure);
    const svg = await renderSvg((plot) => figurePlot(plot, comparison, figure, points, dense));
    plots.push({ fileName: plotFileName(figure), svg });
  }
  return plots;
}

/** Name of the file of a figure's plot. */
export function plotFileName({ id }: ComparisonFigure): string {
  return `${id}.svg`;
}

/** A point in the form that Plot reads; `x` in percent. */
interface Drawn extends Spread {
  readonly x: number;
  readonly method: string;
}

function figurePlot(
  Plot: Plot,
  comparison: MethodComparison,
  figure: ComparisonFigure,
  points: readonly FigurePoint[],
  dense: Spread | null,
): PlotOptions {
  const methods = methodsOf(comparison.runs);
  const base = removedBase(comparison);
  const drawn = points.map(({ group: { method, runs }, spread }): Drawn => {
    const removed = runs.reduce((sum, { parameters }) => sum + parameters.removed, 0) / runs.length;
    return { ...spread, method, x: (100 * removed) / base.parameters };
  });
  const hasBars = drawn.some(({ least, most }) => least < most);
  const denseRule = dense !== null && Number.isFinite(dense.mean) ? [dense.mean] : [];
  const legendWidth = 30 + LETTER * Math.max(...[...methods, "dense"].map(displayWidth));
  return {
    width: PLOT_WIDTH + legendWidth,
    height: HEIGHT,
    marginLeft: 56,
    marginTop: 32,
    marginRight: legendWidth,
    inset: 10,
    grid: true,
    x: { label: `${base.label} removed, % →`, ticks: 6, zero: true },
    y: {
      label: figure.caption,
      type: figure.logarithmic ? "log" : "linear",
      ticks: 6,
      tickFormat: (value: number) => figure.format(value).replace(/\.0+$/, ""),
    },
    color: { domain: methods },
    symbol: { domain: methods },
    marks: [
      Plot.ruleY(denseRule, { stroke: "black", strokeDasharray: "5 4" }),
      ...methods.flatMap((method, index) => {
        const own = drawn.filter((point) => point.method === method);
        // Methods at the same budget have the same x: their bars are shifted to be distinguishable.
        return methodMarks(Plot, own, hasBars ? (index - (methods.length - 1) / 2) * BAR_STEP : 0);
      }),
      ...methods.flatMap((method, line) => legendEntry(Plot, method, line)),
      ...denseEntry(Plot, denseRule, methods.length),
    ],
  };
}

/** A line through the means, and at each mean a bar from the minimum to the maximum over seeds. */
function methodMarks(Plot: Plot, points: readonly Drawn[], dx: number): Markish[] {
  const bars = points.filter(({ least, most }) => least < most);
  return [
    Plot.ruleX(bars, { x: "x", y1: "least", y2: "most", stroke: "method", strokeWidth: 2, strokeOpacity: 0.5, dx }),
    Plot.lineY(points, { x: "x", y: "mean", stroke: "method", z: "method", sort: "x", dx }),
    Plot.dot(points, { x: "x", y: "mean", stroke: "method", fill: "white", symbol: "method", dx }),
  ];
}

/** An entry of the legend, drawn in the SVG: Plot's own legend is HTML. */
function legendEntry(Plot: Plot, method: string, line: number): Markish[] {
  const place = { frameAnchor: "top-right", dy: line * LEGEND_LINE } as const;
  return [
    Plot.dot([method], { ...place, dx: 14, stroke: (name: string) => name, symbol: (name: string) => name, fill: "white" }),
    Plot.text([method], { ...place, dx: 24, textAnchor: "start", lineAnchor: "middle" }),
  ];
}

function denseEntry(Plot: Plot, denseRule: readonly number[], line: number): Markish[] {
  const place = { frameAnchor: "top-right", dy: line * LEGEND_LINE, lineAnchor: "middle", textAnchor: "start" } as const;
  return denseRule.flatMap(() => [Plot.text(["- -"], { ...place, dx: 8 }), Plot.text(["dense"], { ...place, dx: 24 })]);
}

/** The base of the removed share: the decoder blocks if every budget is a share of them, else all parameters. */
function removedBase({ runs, parameters }: MethodComparison): { readonly parameters: number; readonly label: string } {
  return runs.every(({ budget }) => /of\s+blocks$/i.test(budget.trim()))
    ? { parameters: parameters.blocks, label: "parameters of the blocks" }
    : { parameters: parameters.total, label: "parameters" };
}
