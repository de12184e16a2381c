/**
 * @file The FFN widths to which a layer can be cut.
 */

/** The dense width, and every smaller multiple of `snap` from `least` on; descending. */
export function snappedWidths(dense: number, snap: number, least: number): number[] {
  const widths = [dense];
  for (let width = snap * (Math.ceil(dense / snap) - 1); width >= least && width > 0; width -= snap) widths.push(width);
  return widths;
}
