/** @file Plots as SVG files, from specifications for Observable Plot. */

import { writeFileSync } from "node:fs";
import { renderSvg } from "cusprun/internals";

/**
 * Writes a plot.
 * @param path of the SVG file; an existing file is replaced.
 * @param options of `Plot.plot`, without the parts of a figure (title, legend), which are HTML.
 */
export async function writePlot(path, options) {
  writeFileSync(path, await renderSvg(() => options));
}
