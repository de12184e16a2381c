/** @file Plots as SVG files: a specification of Observable Plot → a file that a page or a Markdown document shows. */

import { writeFileSync } from "node:fs";
import { renderSvg } from "cusprun/internals";

/**
 * Writes a plot; one that is there is replaced.
 * @param path of the SVG file.
 * @param options of `Plot.plot`, without figure parts (title, legend), which are HTML.
 */
export async function writePlot(path, options) {
  writeFileSync(path, await renderSvg(() => options));
}
