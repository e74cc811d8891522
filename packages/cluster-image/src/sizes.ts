import { OciError } from '@cluster-image/oci';

/** A size in bytes for people: `12.3 MB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A size as people write it, in bytes: `500MB`, `1.5 GB`, `20GiB`, `1000`. Throws USAGE. */
export function parseSize(text: string): number {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgt]i?)?b?$/i.exec(text.trim()) ?? [];
  const factor = units[unit.toLowerCase()];
  if (amount !== undefined && factor !== undefined) return Math.floor(Number(amount) * factor);
  throw new OciError('USAGE', `${JSON.stringify(text)} is not a size`, {
    hint: 'Write for instance 500MB, 50GB or 20GiB.',
  });
}
