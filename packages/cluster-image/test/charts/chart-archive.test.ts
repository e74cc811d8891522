import { gzipSync } from 'node:zlib';
import { bytes, codeOf, readAll } from '@cluster-image/oci';
import { type TarEntry, tarball } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { requireChart } from '../../src/charts/chart-archive.ts';

async function packed(entries: readonly TarEntry[]): Promise<Uint8Array> {
  const content = tarball(entries);
  return gzipSync(await readAll(content, content.size));
}

const file = (path: string, text: string): TarEntry => ({
  type: 'file',
  path,
  mode: 0o644,
  content: bytes(text),
});

const asked = { name: 'web', version: '1.0.0' };

async function checked(archive: Uint8Array): Promise<unknown> {
  return requireChart(bytes(archive), asked, 'web.tgz').then(() => 'fine', codeOf);
}

describe('Y06 a packed chart', () => {
  test.each([
    ['web', '1.0.0', 'fine'],
    ['web', 'v1.0.0', 'fine'],
    ['web', '1.0.1', 'INPUT_INVALID'],
    ['other', '1.0.0', 'INPUT_INVALID'],
    ['../x', '1.0.0', 'INPUT_INVALID'],
    ['', '1.0.0', 'INPUT_INVALID'],
  ])('that calls itself %j %j is %s', async (name, version, expected) => {
    const text = `name: ${JSON.stringify(name)}\nversion: ${version}\n`;
    expect(await checked(await packed([file('web/Chart.yaml', text)]))).toBe(expected);
  });

  const chart = 'name: web\nversion: 1.0.0\n';
  const laughs = `a: &a [${'x,'.repeat(50)}]\nb: &b [${'*a,'.repeat(50)}]\nc: [${'*b,'.repeat(50)}]\n`;
  test.each<[string, () => Promise<Uint8Array> | Uint8Array, string]>([
    ['is no gzip', () => Buffer.from('chart'), 'ARCHIVE_INVALID'],
    ['is no tar', () => gzipSync('x'.repeat(600)), 'ARCHIVE_INVALID'],
    ['has no description', () => packed([file('web/values.yaml', 'a: 1')]), 'INPUT_INVALID'],
    [
      'climbs out',
      () => packed([file('web/Chart.yaml', chart), file('web/../../x', 'y')]),
      'ARCHIVE_INVALID',
    ],
    [
      'has a link out for a description',
      () => packed([{ type: 'symlink', path: 'web/Chart.yaml', target: '/etc/passwd' }]),
      'INPUT_INVALID',
    ],
    [
      'has a description of 2 MB',
      () => packed([file('web/Chart.yaml', chart + '#'.repeat(2_000_000))]),
      'INPUT_INVALID',
    ],
    ['laughs', () => packed([file('web/Chart.yaml', laughs + chart)]), 'INPUT_INVALID'],
    [
      'unpacks to more than helm unpacks',
      () => gzipSync(Buffer.alloc(101 * 1024 * 1024), { level: 1 }),
      'ARCHIVE_INVALID',
    ],
  ])('that %s is refused', async (_, archive, expected) => {
    expect(await checked(await archive())).toBe(expected);
  });
});
