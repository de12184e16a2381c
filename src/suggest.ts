/**
 * @file "Did you mean": finds the known name nearest to a mistyped one.
 */

/** Maximum edit distance of a suggestion, as a share of its length; names further away have too little in common. */
const MAX_DISTANCE_SHARE = 1 / 3;

/** The known name nearest to `word`, ignoring case, or null if none is near. */
export function nearestName(word: string, known: Iterable<string>): string | null {
  let nearest: string | null = null;
  let shortest = Infinity;
  for (const name of known) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance < shortest && distance <= Math.max(1, Math.ceil(name.length * MAX_DISTANCE_SHARE))) {
      shortest = distance;
      nearest = name;
    }
  }
  return nearest;
}

/** The remedy for an unknown name: the nearest known name, or else a list of all. */
export function suggestName(word: string, known: readonly string[]): string {
  const nearest = nearestName(word, known);
  return nearest === null ? `Use one of: ${known.join(", ")}` : `Perhaps you meant ${nearest}`;
}

/** Levenshtein distance, computed one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
