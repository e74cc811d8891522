/**
 * Whether a text is as a pattern has it: `*` stands for whatever has no slash, `**` for anything, and all
 * else for itself. Takes no longer than both of their lengths multiplied.
 */
export function isLike(text: string, pattern: string): boolean {
  let ends = new Set([0]);
  for (const part of pattern.match(/\*+|[^*]+/g) ?? []) {
    ends = part.startsWith('*') ? stretched(text, ends, part.length > 1) : after(text, ends, part);
    if (ends.size === 0) return false;
  }
  return ends.has(text.length);
}

function after(text: string, starts: ReadonlySet<number>, part: string): Set<number> {
  const found = [...starts].filter((start) => text.startsWith(part, start));
  return new Set(found.map((start) => start + part.length));
}

/** Where what begins at one of several places may end. */
function stretched(text: string, starts: ReadonlySet<number>, hasSlashes: boolean): Set<number> {
  const ends = new Set<number>();
  let isOpen = false;
  for (let at = 0; at <= text.length; at++) {
    isOpen ||= starts.has(at);
    if (isOpen) ends.add(at);
    if (text[at] === '/' && !hasSlashes) isOpen = false;
  }
  return ends;
}
