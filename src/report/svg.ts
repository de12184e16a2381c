/**
 * @file Plots as SVG: a specification of Observable Plot → the text of an SVG file that a page or a Markdown document shows.
 */

import type * as ObservablePlot from "@observablehq/plot";

/** Observable Plot, as far as it is asked for: loaded where something is drawn, since few commands draw. */
export type Plot = typeof ObservablePlot;

/** The element that Plot makes in linkedom's document, as far as it is used. */
interface SvgElement {
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
}

/**
 * Draws a plot.
 * @param specify makes the options of `Plot.plot`, without figure parts (title, legend), which are HTML.
 * @returns SVG as well-formed XML, with a final line end.
 */
export async function renderSvg(specify: (plot: Plot) => ObservablePlot.PlotOptions): Promise<string> {
  const [plot, { parseHTML }] = await Promise.all([import("@observablehq/plot"), import("linkedom")]);
  // The project knows no types of a browser; linkedom's document is what Plot asks for.
  const { document } = parseHTML("<html></html>") as { document: unknown };
  const page = { document, className: "plot", style: { background: "white", color: "black" } };
  const svg = plot.plot({ ...specify(plot), ...page }) as unknown as SvgElement;
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${svg.outerHTML}\n`;
}
