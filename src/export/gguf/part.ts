/**
 * @file Writes the GGUF file of an expert's folder, and the Modelfile next to it.
 */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { writeFileAtomically } from "../../atomic-write.ts";
import type { FormatWriter } from "../expert-folder.ts";
import { exportGguf, planGguf, type WrittenGgufFile } from "./export-gguf.ts";
import type { GgufFileType, GgufStorage } from "./types.ts";
import { encodeGgufHeader, ggufFileBytes, tensorBytes } from "./writer.ts";
import type { WrittenPart } from "../model-card.ts";
import { modelfile } from "./modelfile.ts";

/** The written GGUF file. */
export interface WrittenGgufPart extends WrittenPart, Omit<WrittenGgufFile, "type"> {
  readonly format: "gguf";
  readonly type: WrittenGgufFile["type"];
}

/** How a GGUF file is written into a folder. */
export interface GgufPartOptions {
  /** Name of the file without its extension, and `general.name`. */
  readonly name: string;
  readonly license: string | null;
  readonly type?: GgufFileType;
  /** Bytes of the GGUF file that the expert was made from; null if it was made from another format. */
  readonly bytesBefore: number | null;
}

/**
 * A writer of an expert as one GGUF file. Its errors are those of `exportGguf`.
 * @param expert as a checkpoint (`expertCheckpoint`).
 */
export function ggufWriter(
  expert: Checkpoint,
  { name, license, type, bytesBefore }: GgufPartOptions,
): FormatWriter<WrittenGgufPart> {
  const file = `${name}.gguf`;
  const options = { name, license, ...(type !== undefined && { type }) };
  const labelOf = (storage: GgufStorage): string => (storage === "as stored" ? "GGUF file" : `GGUF file, ${storage}`);
  return {
    plan: async () => {
      const { storage, pairs, tensors } = await planGguf(expert, file, options);
      return {
        label: labelOf(storage),
        bytes: ggufFileBytes(encodeGgufHeader(pairs, tensors), tensors),
        tensors: tensors.map((tensor) => ({
          kind: `${tensor.type}, ${tensor.isCopied ? "copied" : "converted"}`,
          bytes: tensorBytes(tensor),
          pieces: () => tensor.pieces(),
        })),
      };
    },
    write: async (folder, job) => {
      const written = await exportGguf(expert, join(folder, file), { ...job, ...options });
      const companion = await writeModelfile(expert, join(folder, file));
      return {
        ...written,
        format: "gguf",
        files: [file, companion],
        label: labelOf(written.type),
        bytes: { before: bytesBefore, after: written.fileBytes },
        library: "gguf",
        howToLoad: howToLoad(file, companion),
        limitations: [],
      };
    },
  };
}

/**
 * Writes the Modelfile of a GGUF file, and replaces an existing one.
 * @param path where it is written; default: next to the GGUF file.
 * @returns its name next to the GGUF file.
 * @throws CusprunError `DISK_FULL`, `OUTPUT_UNWRITABLE`.
 */
export async function writeModelfile(
  checkpoint: Checkpoint,
  ggufPath: string,
  path: string = modelfilePath(ggufPath),
): Promise<string> {
  const tokenizer = await checkpoint.readTokenizerFiles();
  const [ggufName, name] = [ggufPath, modelfilePath(ggufPath)].map((full) => full.split(/[/\\]/).at(-1)!) as [string, string];
  const text = modelfile(ggufName, tokenizer ?? { tokenizerJson: {}, tokenizerConfig: {}, files: new Map() }, [
    ...checkpoint.config.eosTokenIds,
  ]);
  await writeFileAtomically(path, (temporary) => writeFile(temporary, text));
  return name;
}

/** Path of a GGUF file's Modelfile. */
export function modelfilePath(ggufPath: string): string {
  return `${ggufPath.replace(/\.gguf$/i, "")}.Modelfile`;
}

function howToLoad(file: string, companion: string): string {
  return [
    `llama.cpp and programs built on it load \`${file}\` directly:`,
    "",
    "```sh",
    `llama-cli -m "${file}"`,
    `ollama create NAME -f "${companion}"`,
    "```",
  ].join("\n");
}
