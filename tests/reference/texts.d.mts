export function listTextFiles(data: string): { name: string; path: string }[];
export function readTexts(path: string): string[];
export function digestTokens(
  texts: readonly string[],
  encode: (text: string) => ArrayLike<number>,
): { documents: number; tokens: number; sha256: string };
export function shortDigest(ids: ArrayLike<number>): string;
export function trickyStrings(): string[];
