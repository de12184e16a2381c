/**
 * @file Evaluation files for tiny models: made-up items of the words that `tinyTokenizerFiles` knows.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Paths of the files. */
export interface TinyTasks {
  readonly choices: string;
  readonly texts: string;
  readonly prompts: string;
}

/** Writes an evaluation file of each type, of `items` items, into a folder. */
export async function writeTinyTasks(folder: string, items = 8): Promise<TinyTasks> {
  const words = (item: number, count: number): string =>
    Array.from({ length: count }, (_, index) => `w${(item * 17 + index * index * 5 + 3) % 48}`).join(" ");
  const write = async (name: string, line: (item: number) => object): Promise<string> => {
    const path = join(folder, `${name}.jsonl`);
    await writeFile(path, Array.from({ length: items }, (_, item) => `${JSON.stringify(line(item))}\n`).join(""));
    return path;
  };
  return {
    choices: await write("choices", (item) => ({
      id: `choices-${item}`,
      type: "multiple_choice",
      context: words(item, 5 + item),
      choices: [words(item + 1, 1), words(item + 2, 3), words(item + 3, 2)],
      answer: item % 3,
    })),
    texts: await write("texts", (item) => ({ id: `texts-${item}`, type: "perplexity", text: words(item, 150 - item) })),
    prompts: await write("prompts", (item) => ({
      type: "generation",
      prompt: words(item, 6),
      references: [words(item, 2)],
      metric: "exact_match",
    })),
  };
}
