/** @file Plots as SVG files: a specification of Observable Plot → a file that a page or a Markdown document shows. */

import { writeFileSync } from "node:fs";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

/**
 * Writes a plot; one that is there is replaced.
 * @param path of the SVG file.
 * @param options of `Plot.plot`, without figure parts (title, legend), which are HTML.
 */
export function writePlot(path, options) {
  const { document } = parseHTML("<html></html>");
  const svg = Plot.plot({ ...options, document, className: "plot", style: { background: "white", color: "black" } });
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  writeFileSync(path, `${svg.outerHTML}\n`);
}
