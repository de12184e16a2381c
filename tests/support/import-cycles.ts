/**
 * @file Import cycles: strongly connected components by Tarjan's algorithm (SIAM Journal on Computing 1, 1972).
 */

/**
 * Groups of files that import each other, directly or through other files of the group.
 * @param imports the files that each file imports; files that are not a key are ignored.
 */
export function importCycles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  /** Order in which files were reached. */
  const orders = new Map<string, number>();
  /** Files that were reached and belong to no finished group. */
  const open: string[] = [];

  /** Visits a file and returns the earliest order of an open file that it leads back to. */
  function visit(file: string): number {
    const order = orders.size;
    orders.set(file, order);
    open.push(file);
    let earliest = order;
    for (const target of imports.get(file) ?? []) {
      if (!imports.has(target)) continue;
      const known = orders.get(target);
      if (known === undefined) earliest = Math.min(earliest, visit(target));
      else if (open.includes(target)) earliest = Math.min(earliest, known);
    }
    if (earliest === order) {
      const group = open.splice(open.indexOf(file));
      if (group.length > 1) cycles.push(group.toSorted());
    }
    return earliest;
  }

  for (const file of imports.keys()) if (!orders.has(file)) visit(file);
  return cycles;
}
