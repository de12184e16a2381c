/**
 * @file Zstandard data → its content, block by block. `fzstd` decompresses; frames and blocks are told apart here,
 * since it would allocate any window that a header claims, and give out all blocks of its input at once.
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 */

import { Decompress } from "fzstd";
import { withinTime } from "../time-limit.ts";

/** The largest window that zstd itself accepts unless told otherwise (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`). */
const MAX_WINDOW_BYTES = 2 ** 27;

const FRAME_MAGIC = 0xfd2fb528;
/** Skippable frames have one of sixteen magic numbers. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const CHECKSUM_BYTES = 4;
/** Step in which a skippable frame is passed over. */
const SKIPPED_BYTES = 2 ** 16;
/** Block types: an RLE block has one byte, which is repeated. */
const RLE = 1;
const RESERVED = 3;

/** Thrown for data that is damaged, incomplete or above the limit. */
export class ZstdError extends Error {}

/**
 * Decompresses frame after frame. Checksums are not verified.
 * @throws ZstdError.
 */
export async function* unzstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = new Input(chunks);
  try {
    for (let frame = 0; frame === 0 || !(await input.isAtEnd()); frame++) {
      const magic = await input.take(4);
      const number = readLittleEndian(magic);
      if (number === FRAME_MAGIC) yield* readFrame(magic, input);
      else if (number - (number % 16) === SKIPPABLE_MAGIC) await input.skip(readLittleEndian(await input.take(4)));
      else throw new ZstdError("no Zstandard frame");
    }
  } finally {
    await input.close();
  }
}

async function* readFrame(magic: Uint8Array, input: Input): AsyncGenerator<Uint8Array> {
  const output: Uint8Array[] = [];
  const decompressor = new Decompress((chunk) => output.push(chunk));
  const push = (bytes: Uint8Array, isLast = false): Uint8Array[] => {
    try {
      withinTime(() => void decompressor.push(bytes, isLast));
    } catch (error) {
      throw new ZstdError(error instanceof Error ? error.message : String(error), { cause: error });
    }
    return output.splice(0);
  };
  const { header, hasChecksum } = await readFrameHeader(input);
  push(Buffer.concat([magic, header]));
  for (let isLast = false; !isLast;) {
    const block = await input.take(3);
    const fields = readLittleEndian(block);
    isLast = (fields & 1) === 1;
    const type = (fields >> 1) & 3;
    if (type === RESERVED) throw new ZstdError("a block of a reserved type");
    yield* push(Buffer.concat([block, await input.take(type === RLE ? 1 : fields >> 3)]));
  }
  if (hasChecksum) yield* push(await input.take(CHECKSUM_BYTES));
  yield* push(new Uint8Array(0), true);
}

/** Reads a frame's header after its magic number, and checks the window that it claims. */
async function readFrameHeader(input: Input): Promise<{ header: Uint8Array; hasChecksum: boolean }> {
  const descriptor = await input.take(1);
  const flags = descriptor[0]!;
  const isSingleSegment = ((flags >> 5) & 1) === 1;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3]!;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][flags >> 6]!;
  const window = await input.take(isSingleSegment ? 0 : 1);
  const rest = await input.take(dictionaryBytes + sizeBytes);
  if (rest.subarray(0, dictionaryBytes).some((byte) => byte !== 0)) throw new ZstdError("a dictionary is needed");
  const windowBytes = isSingleSegment
    ? readLittleEndian(rest.subarray(dictionaryBytes)) + (sizeBytes === 2 ? 256 : 0)
    : 2 ** (10 + (window[0]! >> 3)) * (1 + (window[0]! & 7) / 8);
  if (windowBytes > MAX_WINDOW_BYTES) {
    throw new ZstdError(`a window of ${windowBytes} bytes where ${MAX_WINDOW_BYTES}, --long=27, is the limit`);
  }
  return { header: Buffer.concat([descriptor, window, rest]), hasChecksum: ((flags >> 2) & 1) === 1 };
}

function readLittleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** Chunks of bytes, taken in pieces of any size. */
class Input {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** The next `count` bytes, at most a block's 2 MiB. @throws ZstdError if there are fewer. */
  async take(count: number): Promise<Uint8Array> {
    while (this.#rest.length < count) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new ZstdError("unexpected end of the file");
      this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    }
    const taken = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return taken;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; left -= SKIPPED_BYTES) await this.take(Math.min(left, SKIPPED_BYTES));
  }

  /** Closes the source; without effect at its end. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return true;
      this.#rest = next.value;
    }
    return false;
  }
}
