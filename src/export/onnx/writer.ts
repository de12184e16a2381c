/**
 * @file Writes the weights of an ONNX graph, piece by piece: into files next to the model, or into the model itself if
 * it is small. Layout of the files: `ExternalData.md` of onnx/onnx; names: transformers.js 4.3,
 * `utils/model-loader.js`.
 */

import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type JobOptions, pause } from "../../progress.ts";
import type { ExternalBytes } from "../../model/onnx-messages.ts";
import type { PlannedWeight, WeightSource } from "./weights.ts";

/** Limits that decide where the weights are written. */
export interface WeightLimits {
  /** A model with more bytes of weights than this has files next to it. Fewer are held in memory. */
  readonly inlineBytes: number;
  /** Weights with fewer bytes are always in the model itself. */
  readonly smallBytes: number;
  /** Largest size of one file in bytes, unless one weight alone is larger. */
  readonly fileBytes: number;
}

/**
 * 64 MiB fit into memory easily. 2 GB is the limit of a browser's buffer, and of protobuf for a model in one file.
 */
export const DEFAULT_WEIGHT_LIMITS: WeightLimits = { inlineBytes: 2 ** 26, smallBytes: 2 ** 14, fileBytes: 2e9 };

/** Weights start at multiples of a memory page, so that a runtime can map them instead of reading them. */
const ALIGNMENT_BYTES = 4096;

/** The location of every weight. */
export interface PlacedWeights {
  readonly contents: ReadonlyMap<string, Uint8Array<ArrayBuffer> | ExternalBytes>;
  /** Names of the files next to the model. */
  readonly dataFiles: readonly string[];
  readonly weightBytes: number;
}

/**
 * Writes the weights.
 * @param folder where the model will be.
 * @param modelFile the model's name, with which the files' names begin.
 * @throws RangeError (a defect of the caller) if a weight's pieces do not add up to its size; errors of reading.
 */
export async function writeWeights(
  folder: string,
  modelFile: string,
  sources: readonly WeightSource[],
  { inlineBytes, smallBytes, fileBytes }: WeightLimits,
  { onProgress, signal }: JobOptions = {},
): Promise<PlacedWeights> {
  const weights = sources.flatMap((source) => source.weights);
  const total = weights.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const places = planPlaces(weights, total > inlineBytes ? smallBytes : Infinity, fileBytes, modelFile);
  const contents = new Map<string, Uint8Array<ArrayBuffer> | ExternalBytes>();
  for (const weight of weights) contents.set(weight.name, places.get(weight.name) ?? new Uint8Array(weight.byteLength));
  const dataFiles = [...new Set([...places.values()].map(({ location }) => location))];
  const handles = new Map<string, FileHandle>();
  let done = 0;
  try {
    for (const name of dataFiles) handles.set(name, await open(join(folder, name), "w"));
    for (const source of sources) {
      const filled = source.weights.map(() => 0);
      for await (const pieces of source.pieces()) {
        for (const [index, piece] of pieces.entries()) {
          const { name, byteLength } = source.weights[index]!;
          const at = filled[index]!;
          filled[index] = at + piece.byteLength;
          if (filled[index] > byteLength) throw new RangeError(`weight '${name}' gave more than its ${byteLength} bytes`);
          await put(contents.get(name)!, at, piece, handles);
          done += piece.byteLength;
        }
        onProgress?.({ stage: "writing", done, total, unit: "bytes" });
        await pause(signal);
      }
      for (const [index, { name, byteLength }] of source.weights.entries()) {
        if (filled[index] !== byteLength)
          throw new RangeError(`weight '${name}' gave ${filled[index]} of its ${byteLength} bytes`);
      }
    }
  } finally {
    for (const handle of handles.values()) await handle.close();
  }
  return { contents, dataFiles, weightBytes: total };
}

function planPlaces(
  weights: readonly PlannedWeight[],
  smallBytes: number,
  fileBytes: number,
  modelFile: string,
): Map<string, ExternalBytes> {
  const places = new Map<string, ExternalBytes>();
  let file = 0;
  let end = 0;
  for (const { name, byteLength } of weights) {
    if (byteLength < smallBytes) continue;
    if (end > 0 && end + byteLength > fileBytes) {
      file++;
      end = 0;
    }
    places.set(name, { location: `${modelFile}_data${file === 0 ? "" : `_${file}`}`, offsetBytes: end, byteLength });
    end = Math.ceil((end + byteLength) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return places;
}

async function put(
  content: Uint8Array | ExternalBytes,
  at: number,
  piece: Uint8Array,
  handles: ReadonlyMap<string, FileHandle>,
): Promise<void> {
  if (content instanceof Uint8Array) {
    content.set(piece, at);
    return;
  }
  const file = handles.get(content.location)!;
  for (let done = 0; done < piece.byteLength;) {
    done += (await file.write(piece, done, piece.byteLength - done, content.offsetBytes + at + done)).bytesWritten;
  }
}
