/**
 * @file llama.cpp's own quantiser, from libggml-base in the installation named by CUSPRUN_LLAMA_CPP.
 */

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GGML_BLOCK_FORMATS } from "../../src/checkpoint/gguf/ggml-types.ts";
import type { GgmlQuantType } from "../../src/checkpoint/checkpoint.ts";
import { ggmlTypeId } from "../../src/checkpoint/gguf/ggml-types.ts";
import { runPython } from "./python.ts";

/** A matrix to quantise. */
export interface QuantizeRequest {
  readonly type: GgmlQuantType;
  /** Whole rows. */
  readonly values: Float32Array;
  readonly columns: number;
  /** [columns] */
  readonly importance: Float32Array | null;
}

/**
 * Quantises each request with `ggml_quantize_chunk`.
 * @throws Error if CUSPRUN_LLAMA_CPP or CUSPRUN_PYTHON is not set.
 */
export async function quantizeChunks(requests: readonly QuantizeRequest[]): Promise<Uint8Array[]> {
  const folder = await mkdtemp(join(tmpdir(), "cusprun-quantize-"));
  try {
    const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
      new Uint8Array(buffer, byteOffset, byteLength);
    const described = await Promise.all(
      requests.map(async ({ type, values, columns, importance }, index) => {
        await writeFile(join(folder, `${index}.values`), bytesOf(values));
        if (importance !== null) await writeFile(join(folder, `${index}.importance`), bytesOf(importance));
        const { blockSize, blockBytes } = GGML_BLOCK_FORMATS[type];
        return {
          type: ggmlTypeId(type),
          rows: values.length / columns,
          columns,
          values: `${index}.values`,
          importance: importance === null ? null : `${index}.importance`,
          out: `${index}.out`,
          bytes: (values.length / blockSize) * blockBytes,
        };
      }),
    );
    await writeFile(join(folder, "requests.json"), JSON.stringify(described));
    await runPython("quantize_chunk.py", [await libraryPath(), folder]);
    return await Promise.all(described.map(({ out }) => readFile(join(folder, out))));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function libraryPath(): Promise<string> {
  const install = process.env["CUSPRUN_LLAMA_CPP"];
  if (install === undefined)
    throw new Error("Set CUSPRUN_LLAMA_CPP to a folder in which tests/reference/package.json is installed");
  const packages = join(install, "node_modules/@node-llama-cpp");
  const files = await readdir(packages, { recursive: true });
  const library = files.find((file) => /libggml-base\.(so|dylib)$/.test(file));
  if (library === undefined) throw new Error(`No libggml-base in ${packages}`);
  return join(packages, library);
}
