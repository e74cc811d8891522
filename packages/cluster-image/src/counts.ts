/** How many there are of something, for people: `1 layer`, `2 layers`. */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
