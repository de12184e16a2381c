/**
 * @file Pseudo-random choices from a text seed: the same seed gives the same choices on every machine.
 * Source: mulberry32, seeded with FNV-1a.
 */

/** A sequence of pseudo-random choices. */
export class Random {
  #state: number;

  constructor(seed: string) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
    this.#state = hash >>> 0;
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One entry of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** A position in [0, length), more often near an end, where formats keep their headers and footers. */
  position(length: number): number {
    const at = this.below(length);
    return this.chance(0.5)
      ? Math.floor(at * this.next() * this.next())
      : this.chance(0.3)
        ? length - 1 - this.below(at + 1)
        : at;
  }

  /** A small count from 1: 1 in two of three cases, 2 in two of nine, and so on. */
  few(): number {
    let count = 1;
    while (count < 8 && this.chance(1 / 3)) count++;
    return count;
  }
}
