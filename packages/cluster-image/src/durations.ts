import { OciError } from '@cluster-image/oci';

const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** A time as people write it, in milliseconds: `30m`, `24h`, `7d`; `0` for none. Throws USAGE. */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?([smhdw])$/.exec(text.trim()) ?? [];
  const factor = units[unit ?? ''];
  if (amount !== undefined && factor !== undefined) return Number(amount) * factor;
  if (text.trim() === '0') return 0;
  throw new OciError('USAGE', `${JSON.stringify(text)} is not a duration`, {
    hint: 'Write for instance 30m, 24h, 7d or 4w.',
  });
}
