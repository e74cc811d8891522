/** Numbers that look random, always the same for a seed (mulberry32). */
export function random(seed: number): { next(): number; chance(): boolean } {
  let state = seed;
  /** From 0 up to, and not including, 1. */
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  return { next, chance: () => next() < 0.5 };
}
