/**
 * @file Reads a GGUF header front to back through a small window, and refuses every length that the file cannot hold
 * before it allocates memory for it. Memory is bounded by the header's true size, whatever its counts claim.
 */

import type { FileHandle } from "node:fs/promises";
import { CusprunError } from "../../errors.ts";
import type { ErrorCode } from "../../errors.ts";
import { asReadError } from "../../system-errors.ts";
import { GGUF_NUMBER_FORMATS } from "./values.ts";
import type { GgufArray, GgufNumberType } from "./values.ts";

/** Bytes per read; a header has 1 to 10 MB. */
const WINDOW_BYTES = 1 << 20;

/** Limit of a header's size. The largest known headers, with 262,144 tokens, have about 10 MB. */
const MAX_HEADER_BYTES = 128 * 2 ** 20;

/** Bytes of the length field of a string or an array. */
const LENGTH_BYTES = 8;

/** `ignoreBOM` keeps U+FEFF, which is a token of some vocabularies. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A forward-only reader of a GGUF header. Little-endian. */
export class GgufCursor {
  /** The key or the tensor that is being read, for error messages. */
  subject = "header";
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #fileBytes: number;
  #window: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** File offset of the window's first byte. */
  #windowStart = 0;
  /** Index of the next byte in the window. */
  #at = 0;

  constructor(file: FileHandle, path: string, fileBytes: number) {
    this.#file = file;
    this.#path = path;
    this.#fileBytes = fileBytes;
  }

  /** File offset of the next byte. */
  get positionBytes(): number {
    return this.#windowStart + this.#at;
  }

  /** An error about the current subject. */
  error(code: ErrorCode, found: string, expected: string, remedy: string): CusprunError {
    return new CusprunError(code, { where: `${this.#path}: ${this.subject}`, found, expected, remedy });
  }

  /**
   * A number.
   * @throws CusprunError `GGUF_TRUNCATED`, `GGUF_HEADER_TOO_LARGE`.
   */
  async readNumber(type: GgufNumberType): Promise<number | bigint> {
    const { bytes, read } = GGUF_NUMBER_FORMATS[type];
    if (!this.#has(bytes)) await this.#fill(bytes);
    const value = read(this.#view, this.#at);
    this.#at += bytes;
    return value;
  }

  /**
   * A uint32, as a number.
   * @throws CusprunError as `readNumber`.
   */
  async readUint32(): Promise<number> {
    return Number(await this.readNumber("uint32"));
  }

  /**
   * A count of things that take at least `leastBytes` each.
   * @param things what is counted, for the error message.
   * @throws CusprunError `GGUF_COUNT` if the rest of the file cannot hold them; as `readNumber`.
   */
  async readCount(things: string, leastBytes: number): Promise<number> {
    const count = await this.readNumber("uint64");
    const rest = this.#fileBytes - this.positionBytes;
    if (Number(count) * leastBytes <= rest) return Number(count);
    throw this.error(
      "GGUF_COUNT",
      `a count of ${count} ${things}`,
      `at most ${Math.floor(rest / leastBytes)}, which is all that the remaining ${rest} bytes can hold`,
      "The file is damaged or was cut short: download it again",
    );
  }

  /**
   * A string.
   * @throws CusprunError `GGUF_STRING` if it runs past the end or is not UTF-8; as `readNumber`.
   */
  async readString(): Promise<string> {
    const [text] = await this.readStrings(1);
    return text!;
  }

  /**
   * The strings of an array. The count must come from `readCount`.
   * @throws CusprunError as `readString`.
   */
  async readStrings(count: number): Promise<string[]> {
    const strings: string[] = [];
    for (let i = 0; i < count; i++) {
      if (!this.#has(LENGTH_BYTES)) await this.#fill(LENGTH_BYTES);
      const length = Number(this.#view.getBigUint64(this.#at, true));
      this.#at += LENGTH_BYTES;
      if (!this.#has(length)) {
        this.#checkStringLength(length);
        await this.#fill(length);
      }
      strings.push(this.#decode(this.#window.subarray(this.#at, this.#at + length)));
      this.#at += length;
    }
    return strings;
  }

  /**
   * The numbers of an array. The count must come from `readCount`.
   * @throws CusprunError as `readNumber`.
   */
  async readNumbers(type: GgufNumberType, count: number): Promise<Extract<GgufArray, ArrayBufferView>> {
    const { bytes, toArray } = GGUF_NUMBER_FORMATS[type];
    const length = bytes * count;
    if (!this.#has(length)) await this.#fill(length);
    const buffer = new ArrayBuffer(length);
    new Uint8Array(buffer).set(this.#window.subarray(this.#at, this.#at + length));
    this.#at += length;
    return toArray(buffer);
  }

  /** Copies the header's next bytes, at most `count`, without advancing. */
  async peek(count: number): Promise<Uint8Array> {
    const available = Math.min(count, this.#fileBytes - this.positionBytes);
    if (!this.#has(available)) await this.#fill(available);
    return Uint8Array.from(this.#window.subarray(this.#at, this.#at + available));
  }

  #has(bytes: number): boolean {
    return this.#window.length - this.#at >= bytes;
  }

  /** Moves the window so that the next `bytes` are in it. */
  async #fill(bytes: number): Promise<void> {
    const start = this.positionBytes;
    if (start + bytes > this.#fileBytes) {
      throw this.error(
        "GGUF_TRUNCATED",
        `the end of the file after ${this.#fileBytes} bytes`,
        `${bytes} more bytes of the header from byte ${start} on`,
        "The file was cut short: download it again",
      );
    }
    if (start + bytes > MAX_HEADER_BYTES) {
      throw this.error(
        "GGUF_HEADER_TOO_LARGE",
        `a header that reaches byte ${start + bytes}`,
        `a header of at most ${MAX_HEADER_BYTES} bytes`,
        "No known model has such a header: the file is damaged",
      );
    }
    const window = Buffer.alloc(Math.min(Math.max(bytes, WINDOW_BYTES), this.#fileBytes - start));
    const kept = this.#window.copy(window, 0, this.#at);
    await readFully(this.#file, window.subarray(kept), start + kept, this.#path);
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, window.byteLength);
    this.#windowStart = start;
    this.#at = 0;
  }

  #checkStringLength(length: number): void {
    const rest = this.#fileBytes - this.positionBytes;
    if (length <= rest) return;
    throw this.error(
      "GGUF_STRING",
      `a string of ${length} bytes`,
      `at most the ${rest} bytes that remain in the file`,
      "The file is damaged or was cut short: download it again",
    );
  }

  #decode(bytes: Uint8Array): string {
    try {
      return UTF8.decode(bytes);
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause;
      throw this.error(
        "GGUF_STRING",
        `a string that is not UTF-8, ending at byte ${this.positionBytes + bytes.length}`,
        "UTF-8",
        "The file is damaged: download it again",
      );
    }
  }
}

/**
 * Fills a buffer from a position in a file.
 * @throws CusprunError `GGUF_TRUNCATED` if the file ends too early, for instance because it is truncated during the
 * read.
 */
export async function readFully(file: FileHandle, target: Uint8Array, positionBytes: number, path: string): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await file.read(target, done, target.length - done, positionBytes + done).catch((error: unknown) => {
      throw asReadError(error, "MODEL_FILE_MISSING", path, "a readable GGUF file");
    });
    if (bytesRead === 0) {
      throw new CusprunError("GGUF_TRUNCATED", {
        where: path,
        found: `the end of the file at byte ${positionBytes + done}`,
        expected: `${target.length} bytes from byte ${positionBytes} on`,
        remedy: "The file changed while it was being read: do not write to it during a run",
      });
    }
    done += bytesRead;
  }
}
