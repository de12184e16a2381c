/**
 * @file A Parquet file → objects, one per row, with the columns that hold the text.
 */

import { DEFAULT_TEXT_FIELD } from "./read-jsonl.ts";
import { readParquet } from "./read-parquet.ts";
import type { Row } from "./rows.ts";

/**
 * Reads the rows of a Parquet file.
 * @param field the user's choice of a column.
 * @throws CusprunError what `readParquet` throws.
 */
export async function* readParquetRows(path: string, field: string | null): AsyncGenerator<Row> {
  const column = field ?? DEFAULT_TEXT_FIELD;
  for await (const { text, source } of readParquet(path, column)) yield { value: { [column]: text }, source };
}
