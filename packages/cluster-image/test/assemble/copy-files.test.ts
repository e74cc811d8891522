import { gzipSync } from 'node:zlib';
import { bytes, digestOf, readAll } from '@cluster-image/oci';
import { tarball } from '@cluster-image/storage';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Source } from '../../src/assemble/source.ts';
import { contextDirectory } from '../context.ts';
import { evaluated, listing, sourceOf } from './stages.ts';

const dollar = '$';

const content = bytes('x');
const file = (path: string, mode = 0o644) => ({ type: 'file', path, mode, content }) as const;
const directory = (path: string) => ({ type: 'directory', path, mode: 0o755 }) as const;
const link = (path: string, target: string) =>
  ({ type: 'symlink', path, mode: 0o777, target }) as const;

/** Made by hand, so that the links depend on no file system. */
const context: Source = new Map(
  [
    directory('.g'),
    file('.g/g'),
    file('.hidden'),
    link('abslink', '/a.txt'),
    file('a.txt'),
    file('arr[0].txt'),
    file('b.txt'),
    link('dangling', 'nowhere'),
    directory('dir'),
    link('dir/absy', '/dir/sub/y'),
    directory('dir/empty'),
    link('dir/inner', '../a.txt'),
    directory('dir/sub'),
    file('dir/sub/y'),
    file('dir/x'),
    file('dot.'),
    link('link', 'a.txt'),
    link('linkdir', 'dir'),
    link('loop', 'loop'),
    directory('other'),
    link('other/todir', '../dir'),
    file('other/z'),
    file('prog', 0o755),
    directory('with space'),
    file('with space/s'),
  ].map((entry) => [entry.path, entry]),
);

async function copied(lines: string, source = context): Promise<readonly string[]> {
  const { files } = await evaluated(`FROM scratch\n${lines}`, { source });
  return listing(files);
}

const dirAt = (at: string): readonly string[] => [
  `s ${at}/absy -> /dir/sub/y`,
  `d 755 ${at}/empty`,
  `s ${at}/inner -> ../a.txt`,
  `d 755 ${at}/sub`,
  `f 644 ${at}/sub/y`,
  `f 644 ${at}/x`,
];

/** What docker-like builders make of the same instructions on the same files. */
describe('COPY copies', () => {
  test.each<[string, readonly string[]]>([
    ['COPY a.txt /x', ['f 644 /x']],
    ['COPY a.txt /x/', ['d 755 /x', 'f 644 /x/a.txt']],
    ['COPY a.txt x/y/z', ['d 755 /x', 'd 755 /x/y', 'f 644 /x/y/z']],
    ['COPY a.txt .', ['f 644 /a.txt']],
    ['COPY a.txt ./', ['f 644 /a.txt']],
    ['COPY a.txt ..', ['f 644 /a.txt']],
    ['COPY a.txt /x/..', ['f 644 /a.txt']],
    ['COPY a.txt /x/.', ['d 755 /x', 'f 644 /x/a.txt']],
    ['COPY a.txt dot.', ['f 644 /dot.']],
    ['COPY dot. /x', ['f 644 /x']],
    ['COPY prog b.txt /bin/', ['d 755 /bin', 'f 644 /bin/b.txt', 'f 755 /bin/prog']],
    ['COPY a.txt a.txt /x/', ['d 755 /x', 'f 644 /x/a.txt']],
    ['COPY /a.txt /x', ['f 644 /x']],
    ['COPY ../a.txt /x', ['f 644 /x']],
    ['COPY ../../dir/../a.txt /x', ['f 644 /x']],
    ['COPY dir /x', ['d 755 /x', ...dirAt('/x')]],
    ['COPY dir/ /x/', ['d 755 /x', ...dirAt('/x')]],
    ['COPY dir/. /x', ['d 755 /x', ...dirAt('/x')]],
    ['COPY dir .', dirAt('')],
    ['COPY dir/empty /x', ['d 755 /x']],
    ['COPY ./dir//sub /x//y', ['d 755 /x', 'd 755 /x/y', 'f 644 /x/y/y']],
    ['COPY a.txt dir /x/', ['d 755 /x', 'f 644 /x/a.txt', ...dirAt('/x')].sort(byPath)],
    ['COPY ["with space", "/x y"]', ['d 755 /x y', 'f 644 /x y/s']],
    ['COPY "with space/s" "/x y"', ['f 644 /x y']],
    [`ARG A=a.txt\nCOPY $A ${dollar}{B:-x}/`, ['d 755 /x', 'f 644 /x/a.txt']],
    ['ENV D=/deep\nCOPY a.txt $D/er/', ['d 755 /deep', 'd 755 /deep/er', 'f 644 /deep/er/a.txt']],
    ['WORKDIR /w\nCOPY a.txt b', ['d 755 /w', 'f 644 /w/b']],
    ['WORKDIR /w\nCOPY a.txt /abs', ['f 644 /abs', 'd 755 /w']],
    ['WORKDIR /w\nWORKDIR v\nCOPY a.txt ./', ['d 755 /w', 'd 755 /w/v', 'f 644 /w/v/a.txt']],
    ['COPY --link a.txt /x', ['f 644 /x']],
  ])('%s', async (lines, expected) => {
    expect(await copied(lines)).toEqual(expected);
  });

  test('all of the context', async () => {
    const all = await copied('COPY . /');
    expect(all).toHaveLength(context.size);
    expect(await copied('COPY ./ /')).toEqual(all);
    expect(await copied('COPY / .')).toEqual(all);
  });
});

function byPath(a: string, b: string): number {
  const [one = '', other = ''] = [a, b].map((line) => line.slice(line.indexOf('/')));
  return one < other ? -1 : 1;
}

describe('COPY with a pattern copies', () => {
  test.each<[string, readonly string[]]>([
    ['COPY *.txt /x/', ['a.txt', 'arr[0].txt', 'b.txt']],
    ['COPY ?.txt /x/', ['a.txt', 'b.txt']],
    ['COPY [ab].txt /x/', ['a.txt', 'b.txt']],
    ['COPY [^a].txt /x/', ['b.txt']],
    ['COPY [a-c].txt /x/', ['a.txt', 'b.txt']],
    ['COPY arr[[]0].txt /x/', ['arr[0].txt']],
    ['COPY */x /x/', ['x']],
    ['COPY **/x /x/', ['x']],
    ['COPY dir/s*/? /x/', ['y']],
    ['COPY .h* /x/', ['.hidden']],
    ['COPY *t. /x/', ['dot.']],
    ['COPY ["*.txt", "/x/"]', ['a.txt', 'arr[0].txt', 'b.txt']],
  ])('%s', async (lines, names) => {
    expect(await copied(lines)).toEqual(['d 755 /x', ...names.map((name) => `f 644 /x/${name}`)]);
  });

  test('directories as what they hold', async () => {
    expect(await copied('COPY d*r /x/')).toEqual(['d 755 /x', ...dirAt('/x')]);
  });

  test.each(['COPY {a,b}.txt /x/', 'COPY @(a|b).txt /x/', 'COPY **/y /x/', 'COPY A.* /x/'])(
    'nothing by %s',
    async (lines) => {
      await expect(copied(lines)).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        message: expect.stringMatching(/^Kubefile:2: there is no .* in the context$/),
      });
    },
  );
});

describe('a link', () => {
  test.each<[string, readonly string[]]>([
    ['COPY link /x', ['f 644 /x']],
    ['COPY link /x/', ['d 755 /x', 'f 644 /x/link']],
    ['COPY abslink /x', ['f 644 /x']],
    ['COPY linkdir /x', ['d 755 /x', ...dirAt('/x')]],
    ['COPY linkdir/x /x/', ['d 755 /x', 'f 644 /x/x']],
    ['COPY other/todir/sub /x', ['d 755 /x', 'f 644 /x/y']],
    ['COPY dir/absy dir/inner /x/', ['d 755 /x', 'f 644 /x/absy', 'f 644 /x/inner']],
    ['COPY other /x', ['d 755 /x', 's /x/todir -> ../dir', 'f 644 /x/z']],
  ])('that is named is followed, one in a directory is copied: %s', async (lines, expected) => {
    expect(await copied(lines)).toEqual(expected);
  });

  test.each<[string, readonly string[]]>([
    [
      'COPY other /o\nCOPY a.txt /o/todir/n',
      ['d 755 /dir', 'f 644 /dir/n', 'd 755 /o', 's /o/todir -> ../dir', 'f 644 /o/z'],
    ],
    [
      'COPY linkdir/inner other /x/\nCOPY a.txt /x/todir/',
      [
        'd 755 /dir',
        'f 644 /dir/a.txt',
        'd 755 /x',
        'f 644 /x/inner',
        's /x/todir -> ../dir',
        'f 644 /x/z',
      ],
    ],
  ])('in the image leads what is copied through it: %s', async (lines, expected) => {
    expect(await copied(lines)).toEqual(expected);
  });

  test.each([
    ['COPY dangling /x', /dangling is a link that leads nowhere in the context/],
    ['COPY loop /x', /loop is a loop of links/],
    ['COPY dangling/x /x', /there is no dangling\/x/],
  ])('that leads nowhere is an error: %s', async (lines, message) => {
    await expect(copied(lines)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringMatching(message),
    });
  });
});

describe('what is there already', () => {
  test.each<[string, readonly string[]]>([
    ['COPY a.txt /x/\nCOPY b.txt /x', ['d 755 /x', 'f 644 /x/a.txt', 'f 644 /x/b.txt']],
    ['COPY dir/sub /x\nCOPY a.txt /x', ['d 755 /x', 'f 644 /x/a.txt', 'f 644 /x/y']],
    ['COPY a.txt /x\nCOPY prog /x', ['f 755 /x']],
    ['COPY dir/sub /x\nCOPY dir/empty /x', ['d 755 /x', 'f 644 /x/y']],
  ])('is added to or replaced: %s', async (lines, expected) => {
    expect(await copied(lines)).toEqual(expected);
  });

  test.each([
    ['COPY a.txt /x\nCOPY dir /x', 'x would be a directory, and x is a file already'],
    ['COPY a.txt /f\nCOPY b.txt /f/g', 'f would be a directory, and f is a file already'],
    ['COPY a.txt /f\nCOPY b.txt /f/', 'f would be a directory, and f is a file already'],
    [
      'COPY dir /d\nCOPY a.txt /d/sub/y/z',
      'd/sub/y would be a directory, and d/sub/y is a file already',
    ],
    ['COPY a.txt /c/sub\nCOPY dir /c', 'c/sub is a file already and would become a directory'],
  ])('is not changed into something else: %s', async (lines, why) => {
    await expect(copied(lines)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `Kubefile:3: ${why}`,
    });
  });

  test('in an image below counts where a destination may be a directory', async () => {
    const asked: string[] = [];
    const start = {
      config: {},
      files: new Map(),
      below: async (path: string) => {
        asked.push(path);
        return path === 'etc' ? ('directory' as const) : undefined;
      },
    };
    const text = 'FROM a/b\nCOPY a.txt /etc\nCOPY a.txt /new\nCOPY a.txt /slash/\nCOPY dir/sub /d';
    const { files } = await evaluated(text, { source: context, start });
    expect(listing(files)).toEqual([
      'd 755 /d',
      'f 644 /d/y',
      'd 755 /etc',
      'f 644 /etc/a.txt',
      'f 644 /new',
      'd 755 /slash',
      'f 644 /slash/a.txt',
    ]);
    expect(asked).toEqual(['etc', 'new']);
  });
});

describe('owners and modes', () => {
  test.each<[string, readonly string[]]>([
    ['COPY --chown=7:8 a.txt /x/y', ['d 755 7:8 /x', 'f 644 7:8 /x/y']],
    ['COPY --chown=7 a.txt /x', ['f 644 7:7 /x']],
    ['ARG U=7\nCOPY --chown=$U a.txt /x', ['f 644 7:7 /x']],
    ['COPY --chmod=640 a.txt /x/y/', ['d 755 /x', 'd 755 /x/y', 'f 640 /x/y/a.txt']],
    ['COPY --chmod=0711 dir/sub prog /x/', ['d 755 /x', 'f 711 /x/prog', 'f 711 /x/y']],
    [
      'COPY --chmod=700 --chown=1:2 dir /x',
      [
        'd 755 1:2 /x',
        's 1:2 /x/absy -> /dir/sub/y',
        'd 700 1:2 /x/empty',
        's 1:2 /x/inner -> ../a.txt',
        'd 700 1:2 /x/sub',
        'f 700 1:2 /x/sub/y',
        'f 700 1:2 /x/x',
      ],
    ],
    [
      'COPY a.txt /x/\nCOPY --chown=1:2 b.txt /x/',
      ['d 755 /x', 'f 644 /x/a.txt', 'f 644 1:2 /x/b.txt'],
    ],
    ['COPY --chown=1:2 <<E /x\ny\nE', ['f 644 1:2 /x']],
  ])('are those of the flags: %s', async (lines, expected) => {
    expect(await copied(lines)).toEqual(expected);
  });

  test.each([
    ['COPY --chown=root a.txt /x', /--chown=root names a user/],
    ['COPY --chown=1:users a.txt /x', /--chown=1:users names a user/],
    ['COPY --chmod=u+x a.txt /x', /--chmod=u\+x is not an octal mode/],
    ['COPY --chmod=888 a.txt /x', /--chmod=888 is not an octal mode/],
    ['COPY --parents a.txt /x', /--parents is not supported/],
    ['COPY --exclude=a a.txt /x', /--exclude is not supported/],
    ['ADD --checksum=x a.txt /x', /--checksum is not supported/],
  ])('that are something else are refused: %s', async (lines, message) => {
    await expect(copied(lines)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });
});

describe('COPY --from', () => {
  const first = 'FROM scratch AS One\n';

  test.each<[string, readonly string[]]>([
    [`${first}COPY a.txt /a\nFROM scratch\nCOPY --from=oNE a /b`, ['f 644 /b']],
    [`${first}COPY a.txt /a\nFROM scratch\nCOPY --from=0 /a /b`, ['f 644 /b']],
    [`${first}COPY a.txt /a\nFROM one\nCOPY b.txt /b`, ['f 644 /a', 'f 644 /b']],
    [`ARG F=one\n${first}COPY a.txt /a\nFROM scratch\nARG F\nCOPY --from=$F a /b`, ['f 644 /b']],
    [
      `${first}COPY --chmod=711 --chown=3:4 prog dir /d/\nFROM scratch\nCOPY --from=one /d /e`,
      [
        'd 755 /e',
        's 3:4 /e/absy -> /dir/sub/y',
        'd 711 3:4 /e/empty',
        's 3:4 /e/inner -> ../a.txt',
        'f 711 3:4 /e/prog',
        'd 711 3:4 /e/sub',
        'f 711 3:4 /e/sub/y',
        'f 711 3:4 /e/x',
      ],
    ],
    [
      `${first}COPY --chown=3:4 prog /d/\nFROM scratch\nCOPY --from=one --chown=5:6 /d/p* /q/`,
      ['d 755 5:6 /q', 'f 755 5:6 /q/prog'],
    ],
    [
      `${first}COPY other /o\nCOPY dir /dir\nFROM scratch\nCOPY --from=one /o/todir/x /b`,
      ['f 644 /b'],
    ],
  ])('takes files as the other stage has them: %s', async (text, expected) => {
    const { files } = await evaluated(text, { source: context });
    expect(listing(files)).toEqual(expected);
  });

  test.each([
    ['an image', `${first}COPY --from=nginx /a /b`],
    ['itself', `${first}COPY --from=one /a /b`],
    ['a later stage', `${first}COPY --from=two /a /b\nFROM scratch AS two`],
    ['a stage that is not there', `${first}COPY --from=3 /a /b`],
  ])('takes nothing from %s', async (_, text) => {
    await expect(evaluated(text)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(
        /^Kubefile:2: COPY --from=\w+ takes files out of another image/,
      ),
      hint: expect.any(String),
    });
  });

  test('says which side lacks a file', async () => {
    const text = `${first}COPY a.txt /a\nFROM scratch\nCOPY --from=one /c /b`;
    await expect(evaluated(text, { source: context })).rejects.toMatchObject({
      message: 'Kubefile:4: there is no /c in that stage',
      hint: undefined,
    });
    await expect(copied('COPY c /b')).rejects.toMatchObject({
      message: 'Kubefile:2: there is no c in the context',
      hint: 'Is it excluded by .dockerignore?',
    });
  });
});

describe('a file that is written in place', () => {
  test.each<[string, string, string]>([
    ['COPY <<EOF /x\na $V\nEOF', 'x', 'a 1\n'],
    ['COPY <<"EOF" /x\na $V\nEOF', 'x', 'a $V\n'],
    ['COPY <<-EOF /x/\n\ta\n\tEOF', 'x/EOF', 'a\n'],
    ['COPY <<robots.txt <<b /x/\na\nrobots.txt\nc\nb', 'x/robots.txt', 'a\n'],
  ])('%s', async (lines, path, text) => {
    const { files } = await evaluated(`FROM scratch\nENV V=1\n${lines}`);
    expect(files.get(path)).toEqual({
      type: 'file',
      path,
      mode: 0o644,
      digest: digestOf(Buffer.from(text)),
      size: text.length,
    });
  });
});

describe('ADD', () => {
  let packed: Source;
  beforeAll(async () => {
    const tar = tarball([file('inner')]);
    const body = await readAll(tar, tar.size);
    const named = { 'a.tar': body, 'a.tgz': gzipSync(body), 'a.gz': gzipSync('x'), short: 'x' };
    packed = new Map(
      Object.entries(named).map(([path, body]) => [path, { ...file(path), content: bytes(body) }]),
    );
  });

  test('copies files and directories', async () => {
    expect(await copied('ADD a.txt dir/sub /x/')).toEqual([
      'd 755 /x',
      'f 644 /x/a.txt',
      'f 644 /x/y',
    ]);
  });

  test.each(['a.tar', 'a.tgz', 'a.gz'])('does not unpack %s, nor pretend to', async (name) => {
    await expect(copied(`ADD ${name} /x/`, packed)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: `Kubefile:2: ADD would unpack ${name}`,
      hint: expect.stringContaining('COPY keeps an archive as it is'),
    });
    expect(await copied(`COPY ${name} /x`, packed)).toEqual(['f 644 /x']);
  });

  test('takes archives in a directory as they are', async () => {
    const root = await contextDirectory({ 'charts/web.tgz': gzipSync('x') });
    expect(await copied('ADD charts /charts', await sourceOf(root))).toEqual([
      'd 755 /charts',
      'f 644 /charts/web.tgz',
    ]);
  });

  test.each([
    'https://a.example/b',
    'http://a.example/b',
    'git@a.example:b',
    'git://a/b',
    'ssh://a/b',
  ])('does not fetch %s', async (source) => {
    await expect(copied(`ADD ${source} /x`)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('Fetch it before'),
    });
  });
});

test.each([
  ['COPY a.txt b.txt /x', /with several sources the destination has to end with \//],
  ['COPY *.txt /x', /with several sources/],
  ['COPY a.txt /x/.wh.a', /would be taken for a deletion mark/],
  ['COPY a.txt "/x\0y"', /is not a path in an image/],
])('T12: %s is an error', async (lines, message) => {
  await expect(copied(lines)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringMatching(message),
  });
});

test('the files of a directory are kept several at a time, and never too many', async () => {
  const entries = Array.from({ length: 100 }, (_, at) => file(`dir/${at}`));
  const source: Source = new Map(
    [directory('dir'), ...entries].map((entry) => [entry.path, entry]),
  );
  let running = 0;
  let most = 0;
  const keep = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return { digest: digestOf(new Uint8Array()), size: 0 };
  };
  const { files } = await evaluated('FROM scratch\nCOPY dir /a/\n', { source, keep });
  expect([files.size, most]).toEqual([101, 16]);
});
