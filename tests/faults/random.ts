/**
 * @file Random choices from a seed: each trial has its own sequence, so that one trial can be repeated alone.
 */

/** Random choices. */
export interface Random {
  /** At least 0, less than 1. */
  uniform(): number;
  /** An integer of at least `low`, less than `high`. */
  integer(low: number, high: number): number;
  pick<T>(choices: readonly T[]): T;
}

/** The choices of one trial (mulberry32). */
export function randomOf(seed: number, kind: string, index: number): Random {
  let state = Buffer.from(`${seed}/${kind}/${index}`).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5);
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (low: number, high: number): number => low + Math.floor(uniform() * Math.max(1, high - low));
  return { uniform, integer, pick: (choices) => choices[integer(0, choices.length)]! };
}
