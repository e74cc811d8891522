import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  bytes,
  type Content,
  codeOf,
  fileOf,
  OciError,
  readAll,
  type Tree,
} from '@cluster-image/oci';
import { file, type TarEntry, tarball, tarTree } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { random } from './random.ts';
import { base256, end, pax, rawEntry, rawHeader } from './raw-tar.ts';

const open = (parts: readonly Buffer[], options?: { unique?: boolean }): Promise<Tree> =>
  tarTree(bytes(Buffer.concat(parts)), 'test.tar', options);

/** Every entry of a tree in a line: what it is, where, and what it holds. */
async function lines(tree: Tree): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of tree.entries()) {
    const holds =
      entry.type === 'file'
        ? Buffer.from(await readAll(entry.content, 1e6)).toString()
        : entry.type === 'symlink'
          ? entry.target
          : '';
    found.push(`${entry.type} ${entry.path} ${entry.mode.toString(8)} ${holds}`.trim());
  }
  return found;
}

async function failure(parts: readonly Buffer[], options?: { unique?: boolean }): Promise<unknown> {
  return open(parts, options).then(
    async (tree) => ({ accepted: await lines(tree) }),
    (error: unknown) => error,
  );
}

async function expectRefused(parts: readonly Buffer[], why: string): Promise<void> {
  const error = await failure(parts);
  expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(why) });
  expect(String(error)).toContain('test.tar: ');
}

describe('what archives are made of', () => {
  test('files, directories and links, in any order, are listed by their names', async () => {
    const tree = await open([
      rawEntry({ name: 'z', mode: '0004755\0' }, 'last'),
      rawEntry({ name: 'd/', type: '5', mode: '0000700\0' }),
      rawEntry({ name: 'd/f' }, 'inner'),
      rawEntry({ name: 'l', type: '2', link: '../outside' }),
      rawEntry({ name: 'h', type: '1', link: 'd/f' }),
      rawEntry({ name: 'd-' }, 'first'),
      end,
    ]);
    expect(await lines(tree)).toEqual([
      'directory d 700',
      'file d- 644 first',
      'file d/f 644 inner',
      'file h 644 inner',
      'symlink l 644 ../outside',
      'file z 4755 last',
    ]);
    expect((await Array.fromAsync(tree.entries('d'))).map(({ path }) => path)).toEqual(['d/f']);
    expect(await tree.entry('none')).toBeUndefined();
    expect(await fileOf(tree, 'd')).toBeUndefined();
  });

  test('any range of a file in it can be read', async () => {
    const body = Buffer.from(noise('inside', 5000));
    const content = await fileOf(
      await open([rawEntry({ name: 'x' }, 'x'), rawEntry({ name: 'f' }, body), end]),
      'f',
    );
    const read = await Array.fromAsync(content?.open({ start: 1234, end: 4321 }) ?? []);
    expect(Buffer.concat(read)).toEqual(body.subarray(1234, 4321));
  });

  test('T01: leading slashes and dots do not distinguish names', async () => {
    const names = ['./a', '/b', '//c', './/d/./e', 'f/'];
    const tree = await open([
      ...names.map((name) => rawEntry({ name })),
      rawEntry({ name: './', type: '5' }),
      end,
    ]);
    expect(
      (await Array.fromAsync(tree.entries())).map(({ type, path }) => `${type} ${path}`),
    ).toEqual(['file a', 'file b', 'file c', 'file d/e', 'directory f']);
  });

  test('T01: names that mean something elsewhere are names like any other', async () => {
    const names = [
      'C:\\x',
      'a\\..\\b',
      '\\\\?\\x',
      'con',
      '..a',
      'a..',
      '.hidden',
      '-rf',
      'new\nline',
      '\x1b[31m',
    ];
    const tree = await open([...names.map((name) => rawEntry({ name })), end]);
    for (const name of names) expect((await tree.entry(name))?.path).toBe(name);
  });

  test('T01: long names come in four ways', async () => {
    const long = `${'d/'.repeat(60)}${'n'.repeat(200)}`;
    const link = `${'t/'.repeat(100)}x`;
    const ways = [
      [pax({ path: long, linkpath: link }), rawEntry({ name: 'short', type: '2', link: 'short' })],
      [
        rawEntry({ name: '././@LongLink', type: 'L' }, `${long}\0`),
        rawEntry({ name: '././@LongLink', type: 'K' }, `${link}\0`),
        rawEntry({
          name: long.slice(0, 100),
          type: '2',
          link: link.slice(0, 100),
          magic: 'ustar  \0',
        }),
      ],
      [
        rawEntry({
          name: 'n'.repeat(100),
          prefix: 'p'.repeat(155),
          type: '2',
          link: 'l'.repeat(100),
        }),
      ],
      [
        pax({ path: long, linkpath: link }),
        rawEntry({ name: 'b', prefix: 'a', type: '2', link: 'short' }),
      ],
    ];
    const expected = [
      [long, link],
      [long, link],
      [`${'p'.repeat(155)}/${'n'.repeat(100)}`, 'l'.repeat(100)],
      [long, link],
    ];
    for (const [at, way] of ways.entries()) {
      const [entry] = await Array.fromAsync((await open([...way, end])).entries());
      expect(entry).toMatchObject({
        type: 'symlink',
        path: expected[at]?.[0],
        target: expected[at]?.[1],
      });
    }
  });

  test('pax names may hold any character but NUL', async () => {
    for (const name of ['é/\u{1F433}', 'with\nnewline', 'with=equals', ' spaces ', '\uFEFFmark']) {
      const tree = await open([
        pax({ path: name, comment: 'x\ny' }),
        rawEntry({ name: 'other' }, 'x'),
        end,
      ]);
      expect((await tree.entry(name))?.path).toBe(name);
    }
  });

  test('extended attributes may be any bytes, as those of layers are', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const tree = await open([
      pax({
        'SCHILY.xattr.security.capability': capability,
        path: 'ping',
        'x.y': Buffer.from([0xff, 0x0a]),
      }),
      rawEntry({ name: 'x' }, 'x'),
      end,
    ]);
    expect(await lines(tree)).toEqual(['file ping 644 x']);
  });

  test('an extended header is for the next entry alone', async () => {
    const tree = await open([
      pax({ path: 'one', mtime: '1.5', 'SCHILY.xattr.user.x': 'y' }),
      rawEntry({ name: 'x' }),
      rawEntry({ name: 'two' }),
      pax({ comment: 'made by someone' }, 'g'),
      rawEntry({ name: 'three' }),
      end,
    ]);
    expect((await Array.fromAsync(tree.entries())).map(({ path }) => path)).toEqual([
      'one',
      'three',
      'two',
    ]);
  });

  test('archives of old writers are read', async () => {
    const tree = await open([
      rawEntry({ name: 'v7', magic: '\0\0\0\0\0\0\0\0', type: '\0' }, 'v7'),
      rawEntry({ name: 'directory/', magic: '\0\0\0\0\0\0\0\0', type: '\0' }),
      rawEntry({ name: 'gnu', magic: 'ustar  \0', prefix: 'not a prefix' }, 'gnu'),
      rawEntry({ name: 'star', prefix: 'p'.repeat(131), trailer: 'tar\0' }, 'star'),
      rawEntry({ name: 'contiguous', type: '7' }, 'contiguous'),
      rawEntry({ name: 'é-signed', signed: true }, 'signed'),
      rawEntry({ name: 'spaces', size: '          6 ', mode: '   644 \0' }, 'spaces'),
      rawEntry({ name: 'nothing', size: '\0', mode: '\0' }),
      end,
    ]);
    expect(await lines(tree)).toEqual([
      'file contiguous 644 contiguous',
      'directory directory 644',
      'file gnu 644 gnu',
      'file nothing 0',
      `file ${'p'.repeat(131)}/star 644 star`,
      'file spaces 644 spaces',
      'file v7 644 v7',
      'file é-signed 644 signed',
    ]);
  });

  test('T07: sizes in base 256 and in pax headers are sizes', async () => {
    const tree = await open([
      rawEntry({ name: 'binary', size: base256(5n) }, 'five!'),
      pax({ size: '4' }),
      rawEntry({ name: 'pax', size: 0 }, 'four'),
      end,
    ]);
    expect(await lines(tree)).toEqual(['file binary 644 five!', 'file pax 644 four']);
  });

  test('T10: devices and pipes have no place in a tree', async () => {
    const tree = await open([
      ...['3', '4', '6'].map((type) => rawEntry({ name: `device ${type}`, type })),
      rawEntry({ name: 'f' }),
      end,
    ]);
    expect((await Array.fromAsync(tree.entries())).map(({ path }) => path)).toEqual(['f']);
  });

  test('an archive may lack its end, and what follows the end is not part of it', async () => {
    const entry = rawEntry({ name: 'f' }, 'x');
    for (const parts of [
      [entry],
      [entry, Buffer.alloc(512)],
      [entry, end, noiseBlock()],
      [entry, end, entry],
    ]) {
      expect(await lines(await open(parts))).toEqual(['file f 644 x']);
    }
    expect(await lines(await open([end]))).toEqual([]);
    expect(await lines(await open([]))).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each(['..', '../x', 'a/../../x', 'a/..', '/..', './../x', 'a/../b'])(
    'T01: the name %s',
    async (name) => {
      await expectRefused([rawEntry({ name }), end], 'leads out of it');
      await expectRefused([pax({ path: name }), rawEntry({ name: 'x' }), end], 'leads out of it');
      await expectRefused(
        [rawEntry({ type: 'L', name: 'l' }, `${name}\0`), rawEntry({ name: 'x' }), end],
        'leads out of it',
      );
      await expectRefused([rawEntry({ name: 'x', type: '1', link: name }), end], 'leads out of it');
    },
  );

  test('T01: a name with a NUL, with no character, or that is not UTF-8', async () => {
    await expectRefused([pax({ path: 'a\0b' }), rawEntry({ name: 'x' }), end], 'a name with a NUL');
    await expectRefused(
      [pax({ linkpath: 'a\0b' }), rawEntry({ name: 'x', type: '2' }), end],
      'a name with a NUL',
    );
    await expectRefused([rawEntry({ name: '' }, 'x'), end], 'an entry without a name');
    await expectRefused(
      [rawEntry({ name: './', type: '2', link: 'x' }), end],
      'an entry without a name',
    );
    await expectRefused([rawEntry({ name: Buffer.from([0x66, 0xff]) }), end], 'not UTF-8');
  });

  test('T01: a name of over 4096 bytes', async () => {
    const longest = 'é'.repeat(2048);
    const tree = await open([pax({ path: longest }), rawEntry({ name: 'x' }), end]);
    expect(await tree.entry(longest)).toBeDefined();
    await expectRefused(
      [pax({ path: `${longest}a` }), rawEntry({ name: 'x' }), end],
      'over 4096 bytes',
    );
  });

  test('T02: a hard link to what is not there yet, to itself, or to a directory', async () => {
    for (const parts of [
      [rawEntry({ name: 'h', type: '1', link: 'later' }), rawEntry({ name: 'later' })],
      [rawEntry({ name: 'h', type: '1', link: 'h' })],
      [rawEntry({ name: 'd/', type: '5' }), rawEntry({ name: 'h', type: '1', link: 'd' })],
    ]) {
      await expectRefused([...parts, end], 'h is a link to nothing in it');
    }
  });

  test('T04: an archive that is cut off anywhere but between entries', async () => {
    const whole = Buffer.concat([
      rawEntry({ name: 'a' }, 'x'.repeat(600)),
      rawEntry({ name: 'b' }, 'y'),
    ]);
    for (let size = 1; size < whole.length; size += 7) {
      if (size === 1536) continue;
      await expectRefused([whole.subarray(0, size)], 'cut off');
    }
    await expectRefused([pax({ path: 'x' })], 'ends before the entry');
    await expectRefused([pax({ path: 'x' }), end], 'ends before the entry');
  });

  test('a header whose checksum is wrong, or that is none', async () => {
    await expectRefused([rawEntry({ name: 'a', checksum: 1 }), end], 'no tar header at byte 0');
    await expectRefused([rawEntry({ name: 'a' }), noiseBlock(), end], 'no tar header at byte 512');
    await expectRefused(
      [Buffer.alloc(512), rawEntry({ name: 'a' }), end],
      'goes on after its end at byte 0',
    );
  });

  test.each([
    ['beyond the end', 10_000],
    ['of 8 GiB', 0o77777777777],
    ['of 2^62', base256(2n ** 62n)],
    ['below zero', base256(-1n)],
    ['far below zero', base256(-(2n ** 80n))],
    ['with a sign', '-0000000010\0'],
    ['that is no number', '0000000009x\0'],
    ['that is followed by something', '00000010 10\0'.replace(' ', 'x')],
  ])('T07: a size %s', async (_, size) => {
    const error = await failure([rawHeader({ name: 'a', size }), Buffer.alloc(512), end]);
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID' });
  });

  test.each(['-1', '1e3', '0x10', '99999999999999999999', ' 4', '4.0'])(
    'T07: a pax size of %j',
    async (size) => {
      await expectRefused(
        [pax({ size }), rawEntry({ name: 'a' }, 'four'), end],
        'a size that is none',
      );
    },
  );

  test.each([
    ['no number', 'x path=a\n'],
    ['too small a length', '5 path=a\n'],
    ['too large a length', '99 path=a\n'],
    ['a length that begins with zero', '09 path=a\n'],
    ['no equals sign', '7 path\n'],
    ['no key', '5 =a\n'],
    ['no newline', '9 path=ab'],
    ['a length that counts characters', '9 path=é\n'],
    ['zeros behind', '9 path=a\n\0\0\0'],
  ])('T07: a pax header with %s', async (_, body) => {
    await expectRefused(
      [rawEntry({ name: 'p', type: 'x' }, body), rawEntry({ name: 'x' }), end],
      'an extended header that is none',
    );
  });

  test('T07: a record of two readings, of which the first is a name within a value', async () => {
    // A reader that splits at newlines takes the second line for a record of its own.
    const tree = await open([
      pax({ comment: 'x\n14 path=inner' }),
      rawEntry({ name: 'outer' }),
      end,
    ]);
    expect((await Array.fromAsync(tree.entries())).map(({ path }) => path)).toEqual(['outer']);
  });

  test('T07: what readers disagree about', async () => {
    const file = rawEntry({ name: 'a' }, 'x');
    await expectRefused(
      [pax({ path: 'every' }, 'g'), file, end],
      'a global header with a name or size',
    );
    await expectRefused(
      [pax({ size: '0' }, 'g'), file, end],
      'a global header with a name or size',
    );
    await expectRefused(
      [pax({ path: 'one' }), pax({ path: 'two' }), file, end],
      'two extended headers',
    );
    await expectRefused(
      [pax({ path: 'one' }), rawEntry({ type: 'L', name: 'l' }, 'two\0'), file, end],
      'two extended headers',
    );
    for (const type of ['1', '2', '3', '5', '6']) {
      await expectRefused(
        [rawEntry({ name: 'a' }), rawEntry({ name: 'd', type, link: 'a' }, 'x'), end],
        'has bytes but is no file',
      );
    }
    await expectRefused([rawEntry({ name: 'd/' }, 'x'), end], 'has bytes but is no file');
  });

  test('T07: sparse files and kinds that nobody writes', async () => {
    await expectRefused(
      [pax({ 'GNU.sparse.major': '1' }), rawEntry({ name: 'a' }, 'x'), end],
      'a sparse file',
    );
    for (const type of ['S', 'D', 'M', 'V', 'A', 'X', 'N', 'Z', '8']) {
      await expectRefused([rawEntry({ name: 'a', type }), end], 'not supported');
    }
  });

  test('T07: an extended header that is larger than any name', async () => {
    await expectRefused(
      [rawEntry({ name: 'p', type: 'x' }, 'x'.repeat(64 * 1024 + 1)), end],
      'a header of 65537 bytes',
    );
  });
});

describe('of entries with one name', () => {
  const file = (text: string): Buffer => rawEntry({ name: 'a' }, text);
  const link = (target: string): Buffer => rawEntry({ name: 'a', type: '2', link: target });
  const directory = rawEntry({ name: 'a/', type: '5' });

  test('T04: the last counts', async () => {
    expect(await lines(await open([file('one'), file('two'), end]))).toEqual(['file a 644 two']);
    expect(await lines(await open([file('one'), link('x'), end]))).toEqual(['symlink a 644 x']);
  });

  test('T04: those that are the same may be there twice where each has to be unique', async () => {
    for (const parts of [
      [file('one'), file('one')],
      [link('x'), link('x')],
      [directory, directory],
    ]) {
      expect(await lines(await open([...parts, end], { unique: true }))).toHaveLength(1);
    }
    const linked = [
      rawEntry({ name: 'b' }, 'x'),
      file('x'),
      rawEntry({ name: 'a', type: '1', link: 'b' }),
      end,
    ];
    expect(await lines(await open(linked, { unique: true }))).toHaveLength(2);
  });

  test.each([
    ['bytes', [file('one'), file('two')]],
    ['sizes', [file('one'), file('three')]],
    ['bytes, then the first again', [file('one'), file('two'), file('one')]],
    ['kinds', [file('one'), link('one')]],
    ['kinds, the other way round', [link('one'), file('one')]],
    ['kinds, one a directory', [directory, file('')]],
    ['targets', [link('one'), link('two')]],
  ])('T04: those with different %s are refused where each has to be unique', async (_, parts) => {
    expect(await failure([...parts, end], { unique: true })).toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: 'test.tar: a is in it twice, with different bytes',
    });
  });

  test('T07: comparing them reads no byte twice', async () => {
    const body = 'x'.repeat(100_000);
    const names = Array.from({ length: 200 }, (_, at) =>
      rawEntry({ name: `l${at}`, type: '1', link: 'a' }),
    );
    const again = Array.from({ length: 200 }, (_, at) =>
      rawEntry({ name: `l${at}`, type: '1', link: 'b' }),
    );
    const all = Buffer.concat([file(body), rawEntry({ name: 'b' }, body), ...names, ...again, end]);
    let read = 0;
    const counting: Content = {
      size: all.length,
      async *open(range) {
        for await (const chunk of bytes(all).open(range)) {
          read += chunk.length;
          yield chunk;
        }
      },
    };
    await tarTree(counting, 'test.tar', { unique: true });
    expect(read).toBeLessThan(2 * all.length);
  });
});

test('T07: 10^5 entries are indexed in a moment', async () => {
  const count = 100_000;
  const all = Buffer.alloc(count * 512 + 1024);
  const digits = (at: number): string => String(at).padStart(8, '0');
  // Digits that change change the checksum by what they are more than zero.
  const first = rawHeader({ name: `d${digits(0)}` });
  const sum = Number.parseInt(first.toString('latin1', 148, 154), 8);
  for (let at = 0; at < count; at++) {
    const more = [...digits(at)].reduce((more, digit) => more + Number(digit), 0);
    first.copy(all, at * 512);
    all.write(`d${digits(at)}`, at * 512);
    all.write((sum + more).toString(8).padStart(6, '0'), at * 512 + 148);
  }
  const started = performance.now();
  const tree = await tarTree(bytes(all), 'test.tar');
  expect(performance.now() - started).toBeLessThan(20_000);
  expect((await Array.fromAsync(tree.entries())).length).toBe(count);
});

test('T07: entries are counted though all have one name, and too many are refused', async () => {
  const all = bytes(
    Buffer.concat([...Array.from({ length: 1000 }, () => rawEntry({ name: 'a' })), end]),
  );
  expect(await lines(await tarTree(all, 'test.tar', { entryLimit: 1000 }))).toHaveLength(1);
  await expect(tarTree(all, 'test.tar', { entryLimit: 999 })).rejects.toMatchObject({
    code: 'ARCHIVE_INVALID',
    message: 'test.tar: more than 999 entries',
  });
});

test('only headers are read to index an archive of large files', async () => {
  let read = 0;
  const large: Content = {
    size: 2 ** 33,
    async *open({ start, end } = { start: 0, end: 2 ** 33 }) {
      for (let at = start; at < end; at += 65_536) {
        const chunk = Buffer.alloc(Math.min(65_536, end - at));
        read += chunk.length;
        yield chunk;
      }
    },
  };
  const entries: TarEntry[] = [1, 2, 3].map((at) => ({
    type: 'file',
    path: `${at}`,
    mode: 0o644,
    content: large,
  }));
  const tree = await tarTree(tarball(entries), 'test.tar');
  expect((await Array.fromAsync(tree.entries())).map(({ path }) => path)).toEqual(['1', '2', '3']);
  expect(read).toBeLessThan(4 * 64 * 1024);
});

describe('archives that the system\u2019s tar writes', () => {
  test.each(['v7', 'ustar', 'gnu', 'oldgnu', 'pax', 'posix'])(
    'in the format %s are read as they were meant',
    async (format) => {
      const root = await temporaryDirectory();
      const files = join(root, 'files');
      const isShort = format === 'v7' || format === 'ustar';
      const long = isShort ? 'n'.repeat(90) : `${'n'.repeat(120)}/${'m'.repeat(120)}`;
      mkdirSync(join(files, 'd', 'inner'), { recursive: true, mode: 0o755 });
      mkdirSync(join(files, long, '..'), { recursive: true });
      writeFileSync(join(files, 'empty'), '');
      writeFileSync(join(files, 'd/block'), 'x'.repeat(512));
      writeFileSync(join(files, 'é\u{1F433}'), 'name');
      writeFileSync(join(files, long), 'long');
      linkSync(join(files, 'd/block'), join(files, 'd/second'));
      symlinkSync(isShort ? 'target' : long, join(files, 'link'));
      execFileSync('tar', [
        '--create',
        '--sort=name',
        `--format=${format}`,
        '--file',
        join(root, 'a.tar'),
        '--directory',
        files,
        '.',
      ]);
      const content = await file(join(root, 'a.tar'));
      if (!content) throw new Error('no archive');
      const tree = await tarTree(content, 'a.tar');
      const text = async (path: string): Promise<string | undefined> => {
        const found = await fileOf(tree, path);
        return found && Buffer.from(await readAll(found, 1000)).toString();
      };
      expect(await text('empty')).toBe('');
      expect(await text('d/block')).toBe('x'.repeat(512));
      expect(await text('d/second')).toBe('x'.repeat(512));
      expect(await text('é\u{1F433}')).toBe('name');
      expect(await text(long)).toBe('long');
      expect(await tree.entry('link')).toMatchObject({ target: isShort ? 'target' : long });
      expect(await tree.entry('d/inner')).toMatchObject({ type: 'directory', mode: 0o755 });
      const listed = execFileSync(
        'tar',
        ['--list', '--quoting-style=literal', '--file', join(root, 'a.tar')],
        { encoding: 'utf8' },
      );
      const paths = (await Array.fromAsync(tree.entries())).map(
        ({ type, path }) => `./${path}${type === 'directory' ? '/' : ''}`,
      );
      expect(paths.sort()).toEqual(
        listed
          .split('\n')
          .filter((line) => line !== '' && line !== './')
          .sort(),
      );
    },
  );
});

describe('a damaged archive', () => {
  const seed = Buffer.concat([
    rawEntry({ name: 'd/', type: '5' }),
    rawEntry({ name: 'd/f' }, 'x'.repeat(700)),
    pax({ path: 'é/long', size: '3', comment: 'x' }),
    rawEntry({ name: 'x' }, 'abc'),
    rawEntry({ name: '././@LongLink', type: 'L' }, `${'n'.repeat(150)}\0`),
    rawEntry({ name: 'n', type: '2', link: 'd/f' }),
    rawEntry({ name: 'h', type: '1', link: 'd/f' }),
    rawEntry({ name: 'big', size: base256(3n), prefix: 'p' }, 'abc'),
    end,
  ]);

  /** Reads all of it; anything but ARCHIVE_INVALID is a defect, and so is taking long. */
  async function survive(data: Buffer): Promise<'read' | 'refused'> {
    const started = performance.now();
    try {
      await lines(await tarTree(bytes(data), 'fuzz.tar', { unique: true }));
      return 'read';
    } catch (error) {
      expect(error).toBeInstanceOf(OciError);
      expect(codeOf(error)).toBe('ARCHIVE_INVALID');
      return 'refused';
    } finally {
      expect(performance.now() - started).toBeLessThan(10_000);
    }
  }

  test('in any one bit, or cut off at any byte, is read or is ARCHIVE_INVALID', async () => {
    const { next } = random(4711);
    const results = { read: 0, refused: 0 };
    for (let turn = 0; turn < 3000; turn++) {
      const data = Buffer.from(seed);
      const at = Math.floor(next() * data.length);
      data[at] = (data[at] ?? 0) ^ (1 << Math.floor(next() * 8));
      results[await survive(turn % 4 === 0 ? data.subarray(0, at) : data)] += 1;
    }
    expect(results.read).toBeGreaterThan(100);
    expect(results.refused).toBeGreaterThan(1000);
  });

  test('whose headers say anything, with the right checksum, is read or is ARCHIVE_INVALID', async () => {
    const field = fc.oneof(
      fc.uint8Array({ maxLength: 12 }).map((data) => Buffer.from(data)),
      fc.constantFrom(
        base256(2n ** 53n),
        base256(-5n),
        base256(700n),
        Buffer.from('77777777777\0'),
      ),
    );
    const name = fc.oneof(
      fc.string({ maxLength: 20 }),
      fc.constantFrom('..', 'a', 'a/', 'd/../..', ''),
    );
    const entry = fc
      .tuple(name, field, fc.constantFrom(...'0125xgLKS73\0Z'), name, fc.string({ maxLength: 40 }))
      .chain(([name, size, type, link, body]) =>
        fc.constantFrom(
          rawEntry({ name, type, link }, body),
          rawEntry({ name, type, link, size }, body),
          rawEntry({ name, type, link, prefix: name }, `${body.length} path=${body}\n`),
          pax({ [link || 'path']: body, size: `${body.length}` }),
        ),
      );
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 6 }), async (entries) => {
        await survive(Buffer.concat(entries));
        await survive(Buffer.concat([...entries, end]));
      }),
      { numRuns: 500 },
    );
  });
});

function noiseBlock(): Buffer {
  return Buffer.from(noise('block', 512));
}
