import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytes, type Content, compareBytes, readAll } from '@cluster-image/oci';
import { type TarEntry, tarball, tarTree } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const read = async (content: Content, range?: { start: number; end: number }): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(content.open(range)));

const file = (path: string, body: string | Uint8Array = '', mode = 0o644): TarEntry => ({
  type: 'file',
  path,
  mode,
  content: bytes(body),
});

/** One of each kind that is written in a way of its own. */
const golden: readonly TarEntry[] = [
  { type: 'directory', path: 'etc', mode: 0o755 },
  file('etc/hosts', 'localhost\n'),
  file('empty'),
  file('block', 'x'.repeat(512), 0o4755),
  file(`${'d'.repeat(60)}/${'n'.repeat(60)}`, 'in two fields'),
  file(`${'d/'.repeat(100)}${'n'.repeat(120)}`, 'in a pax header'),
  file('n'.repeat(100), 'fills its field'),
  { type: 'directory', path: 'd'.repeat(99), mode: 0o755 },
  file('é/\u{1F433}', 'not ASCII'),
  { type: 'directory', path: 'd'.repeat(150), mode: 0o1777 },
  { type: 'symlink', path: 'link', target: '../etc/hosts' },
  { type: 'symlink', path: 'long link', target: 't'.repeat(300) },
  { type: 'file', path: 'owned', mode: 0o600, content: bytes('x'), owner: { uid: 1000, gid: 100 } },
  { type: 'directory', path: 'far', mode: 0o755, owner: { uid: 4_000_000_000, gid: 3_000_000 } },
];

describe('the bytes of an archive', () => {
  test('T11: are these, until the format changes', async () => {
    const content = tarball(golden);
    const all = await read(content);
    expect(all.length).toBe(content.size);
    expect(createHash('sha256').update(all).digest('hex')).toBe(
      'e6852356ba7d0992ca329b956e3ad177bae9072acf3b215176c970df85246dc2',
    );
  });

  test('T11: of a file are a header, the file and zeros', async () => {
    const all = await read(tarball([file('etc/hosts', 'localhost\n')]));
    expect(all.length).toBe(512 + 512 + 1024);
    const field = (start: number, length: number): string =>
      all.toString('latin1', start, start + length);
    expect(field(0, 100)).toBe(`etc/hosts${'\0'.repeat(91)}`);
    expect(field(100, 8)).toBe('000644 \0');
    expect(field(108, 8)).toBe('000000 \0');
    expect(field(116, 8)).toBe('000000 \0');
    expect(field(124, 12)).toBe('0000000012 \0');
    expect(field(136, 12)).toBe('0000000000 \0');
    expect(field(156, 1)).toBe('0');
    expect(field(157, 100)).toBe('\0'.repeat(100));
    expect(field(257, 8)).toBe('ustar\x0000');
    expect(field(265, 64)).toBe('\0'.repeat(64));
    expect(field(345, 167)).toBe('\0'.repeat(167));
    expect(field(512, 10)).toBe('localhost\n');
    expect(all.subarray(522).every((byte) => byte === 0)).toBe(true);
  });

  test('of an archive of nothing are its end', async () => {
    expect(await read(tarball([]))).toEqual(Buffer.alloc(1024));
  });

  test('T10: a file of over 8 GiB has its size in base 256 and in a pax header', async () => {
    const size = 2 ** 33 + 5;
    const large: Content = {
      size,
      open() {
        throw new Error('opened');
      },
    };
    const content = tarball([
      { type: 'file', path: 'large', mode: 0o644, content: large },
      file('after', 'x'),
    ]);
    const headers = await read(content, { start: 0, end: 1536 });
    expect(headers.toString('latin1', 512, 1024)).toContain(`19 size=${size}\n`);
    expect(headers.subarray(1024 + 124, 1024 + 136).toString('hex')).toBe(
      '800000000000000200000005',
    );
    const after = 1536 + Math.ceil(size / 512) * 512;
    expect(content.size).toBe(after + 512 + 512 + 1024);
    expect((await read(content, { start: after, end: after + 5 })).toString()).toBe('after');
    expect(
      (await read(content, { start: after - 507, end: after })).every((byte) => byte === 0),
    ).toBe(true);
  });

  test('T11: do not depend on time, time zone, locale or umask', async () => {
    const before = { zone: process.env.TZ, umask: process.umask(0o077) };
    process.env.TZ = 'Pacific/Kiritimati';
    const elsewhere = await read(tarball(golden));
    process.env.TZ = before.zone ?? '';
    process.umask(before.umask);
    expect(elsewhere.equals(await read(tarball(golden)))).toBe(true);
  });
});

const name = fc
  .array(
    fc.string({
      unit: fc.constantFrom('a', 'Z', '.x', ' ', 'é', '\u{1F433}', '\\', '\n', '='),
      minLength: 1,
      maxLength: 60,
    }),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map((parts) => parts.join('/'));
const body = fc.oneof(
  fc.uint8Array({ maxLength: 30 }),
  fc.constantFrom(0, 511, 512, 513, 1024, 70_000).map((size) => noise('body', size)),
);
const owner = fc.option(fc.record({ uid: fc.nat(2 ** 22), gid: fc.nat(2 ** 22) }), {
  nil: undefined,
});
const mode = fc.nat(0o7777);
const entry: fc.Arbitrary<TarEntry> = fc.oneof(
  fc.record({ path: name, mode, owner, body }).map(({ body, owner, ...rest }) => ({
    type: 'file' as const,
    ...rest,
    content: bytes(body),
    ...(owner && { owner }),
  })),
  fc.record({ type: fc.constant('directory' as const), path: name, mode }),
  fc.record({ type: fc.constant('symlink' as const), path: name, target: name }),
);
const entries = fc.uniqueArray(entry, { selector: ({ path }) => path, maxLength: 6 });

test('any range of an archive is what a slice of it is', async () => {
  await fc.assert(
    fc.asyncProperty(entries, fc.nat(), fc.nat(), async (entries, a, b) => {
      const content = tarball(entries);
      const all = await read(content);
      expect(all.length).toBe(content.size);
      const [x, y] = [a % (all.length + 1), b % (all.length + 1)];
      const range = { start: Math.min(x, y), end: Math.max(x, y) };
      expect((await read(content, range)).equals(all.subarray(range.start, range.end))).toBe(true);
    }),
  );
  const content = tarball(golden);
  const all = await read(content);
  for (let start = 0; start < all.length; start += 97) {
    const end = Math.min(start + 600, all.length);
    expect((await read(content, { start, end })).equals(all.subarray(start, end))).toBe(true);
  }
  expect(() => content.open({ start: 0, end: content.size + 1 })).toThrow('no bytes');
});

test('what is written is read back as it was', async () => {
  await fc.assert(
    fc.asyncProperty(entries, async (entries) => {
      const tree = await tarTree(tarball(entries), 'test.tar', { unique: true });
      const found = await Array.fromAsync(tree.entries());
      expect(found.map(({ path }) => path)).toEqual(
        entries.map(({ path }) => path).sort(compareBytes),
      );
      for (const entry of entries) {
        const there = await tree.entry(entry.path);
        expect(there?.type).toBe(entry.type);
        if (entry.type !== 'symlink') expect(there?.mode).toBe(entry.mode);
        if (entry.type === 'symlink')
          expect(there).toMatchObject({ target: entry.target, mode: 0o777 });
        if (entry.type !== 'file' || there?.type !== 'file') continue;
        expect(await readAll(there.content, 1e6)).toEqual(await readAll(entry.content, 1e6));
      }
    }),
  );
});

test('the system\u2019s tar reads it as it was meant', async () => {
  const root = await temporaryDirectory();
  const path = join(root, 'a.tar');
  const tar = (...given: readonly string[]): Buffer =>
    execFileSync('tar', ['--quoting-style=literal', '--file', path, ...given], {
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
    });
  writeFileSync(path, await read(tarball(golden)));
  const listed = tar('--list', '--verbose', '--numeric-owner').toString().trim().split('\n');
  expect(listed.map((line) => line.replace(/ +/g, ' '))).toEqual([
    'drwxr-xr-x 0/0 0 1970-01-01 00:00 etc/',
    '-rw-r--r-- 0/0 10 1970-01-01 00:00 etc/hosts',
    '-rw-r--r-- 0/0 0 1970-01-01 00:00 empty',
    '-rwsr-xr-x 0/0 512 1970-01-01 00:00 block',
    `-rw-r--r-- 0/0 13 1970-01-01 00:00 ${'d'.repeat(60)}/${'n'.repeat(60)}`,
    `-rw-r--r-- 0/0 15 1970-01-01 00:00 ${'d/'.repeat(100)}${'n'.repeat(120)}`,
    `-rw-r--r-- 0/0 15 1970-01-01 00:00 ${'n'.repeat(100)}`,
    `drwxr-xr-x 0/0 0 1970-01-01 00:00 ${'d'.repeat(99)}/`,
    '-rw-r--r-- 0/0 9 1970-01-01 00:00 é/\u{1F433}',
    `drwxrwxrwt 0/0 0 1970-01-01 00:00 ${'d'.repeat(150)}/`,
    'lrwxrwxrwx 0/0 0 1970-01-01 00:00 link -> ../etc/hosts',
    `lrwxrwxrwx 0/0 0 1970-01-01 00:00 long link -> ${'t'.repeat(300)}`,
    '-rw------- 1000/100 1 1970-01-01 00:00 owned',
    'drwxr-xr-x 4000000000/3000000 0 1970-01-01 00:00 far/',
  ]);
  for (const entry of golden) {
    if (entry.type !== 'file') continue;
    const body = await readAll(entry.content, 1000);
    expect(tar('--extract', '--to-stdout', '--', entry.path).equals(body)).toBe(true);
  }
});

test('small pieces are gathered, large ones are handed on as they are', async () => {
  const large = noise('large', 200_000);
  const handed = bytes(large);
  const entries = [
    ...Array.from({ length: 500 }, (_, at) => file(`${at}`, 'x')),
    { type: 'file' as const, path: 'large', mode: 0o644, content: handed },
  ];
  const chunks = await Array.fromAsync(tarball(entries).open());
  expect(chunks.length).toBeLessThan(15);
  expect(
    chunks.some((chunk) => chunk.buffer === large.buffer && chunk.length === large.length),
  ).toBe(true);
});
