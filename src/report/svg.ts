/**
 * @file Plots as SVG: a specification for Observable Plot → the text of an SVG file for web pages and Markdown
 * documents.
 */

import type * as ObservablePlot from "@observablehq/plot";

/** The module of Observable Plot, loaded on demand since few commands plot. */
export type Plot = typeof ObservablePlot;

/** The members used of the element that Plot creates in linkedom's document. */
interface SvgElement {
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
}

/**
 * Renders a plot.
 * @param specify returns the options of `Plot.plot`, without a title or legend, which would be HTML.
 * @returns SVG as well-formed XML, with a final newline.
 */
export async function renderSvg(specify: (plot: Plot) => ObservablePlot.PlotOptions): Promise<string> {
  const [plot, { parseHTML }] = await Promise.all([import("@observablehq/plot"), import("linkedom")]);
  // The project has no browser types; Plot accepts linkedom's document.
  const { document } = parseHTML("<html></html>") as { document: unknown };
  const page = { document, className: "plot", style: { background: "white", color: "black" } };
  const svg = plot.plot({ ...specify(plot), ...page }) as unknown as SvgElement;
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${svg.outerHTML}\n`;
}
