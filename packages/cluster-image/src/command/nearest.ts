/** Which of some names a mistyped word is meant to be; undefined where none comes near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const wanted = letters(word);
  let found: string | undefined;
  let best = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const away = distance(wanted, letters(name));
    if (away >= best || away > Math.min(2, name.length / 2)) continue;
    found = name;
    best = away;
  }
  return found;
}

function letters(text: string): string {
  return text.toLowerCase().replace(/[^a-z]/g, '');
}

/** How many letters have to be changed, added or removed to make one text of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...a].entries()) {
    const next = [at + 1];
    for (const [other, target] of [...b].entries()) {
      const swap = (row[other] ?? 0) + (letter === target ? 0 : 1);
      next.push(Math.min(swap, (row[other + 1] ?? 0) + 1, (next[other] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
