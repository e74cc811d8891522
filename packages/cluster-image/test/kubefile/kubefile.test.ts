import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { findKubefile, parseKubefile, readKubefile } from '../../src/kubefile/kubefile.ts';
import { contextDirectory } from '../context.ts';

/** `line KEYWORD text` of each instruction. */
function instructions(text: string): readonly string[] {
  return parseKubefile('Kubefile', text).instructions.map(
    ({ line, keyword, text }) => `${line} ${keyword} ${text}`,
  );
}

describe('a build file is taken apart as docker does it', () => {
  test.each<[string, string, readonly string[]]>([
    ['an instruction a line', 'FROM a\nCMD b', ['1 FROM a', '2 CMD b']],
    ['small letters', 'from a\ncmd B', ['1 FROM a', '2 CMD B']],
    ['spaces around', '  FROM a  \n\tCMD b\t', ['1 FROM a', '2 CMD b']],
    ['comments and empty lines', '# x\n\nFROM a\n  # y\n\nCMD b', ['3 FROM a', '6 CMD b']],
    ['a hash in an argument', 'CMD a # b', ['1 CMD a # b']],
    [
      'Windows lines and a byte order mark',
      '\uFEFFFROM a\r\nCMD b \\\r\n  c\r\n',
      ['1 FROM a', '2 CMD b   c'],
    ],
    ['lines that go on', 'COPY a \\\n  b \\\n  /c/\nCMD d', ['1 COPY a   b   /c/', '4 CMD d']],
    ['spaces after the sign that goes on', 'CMD a \\  \nb', ['1 CMD a b']],
    [
      'comments and empty lines among lines that go on',
      'LABEL a=b \\\n# one\n\n  # two\n  c=d\nCMD e',
      ['1 LABEL a=b   c=d', '6 CMD e'],
    ],
    ['a word that goes on', 'CMD ab\\\ncd', ['1 CMD abcd']],
    ['a sign to go on at the end', 'CMD a \\', ['1 CMD a']],
    ['JSON that goes on', 'CMD ["a", \\\n "b  c"]', ['1 CMD ["a",  "b  c"]']],
    ['another sign', '# escape=`\nCMD a `\n b \\\nCMD c', ['2 CMD a  b \\', '4 CMD c']],
    ['another sign after another directive', '# syntax=x\n# Escape = `\nCMD a `\nb', ['3 CMD a b']],
    ['a directive that comes too late', '\n# escape=`\nCMD a`\nCMD b', ['3 CMD a`', '4 CMD b']],
    ['no argument', 'CMD', ['1 CMD ']],
  ])('%s', (_, text, expected) => {
    expect(instructions(text)).toEqual(expected);
  });

  test.each([
    ['COPY --from=x --chown=1:2 a b', { from: 'x', chown: '1:2' }, 'a b'],
    ['COPY --link a b', { link: '' }, 'a b'],
    ['FROM --platform=$BUILDPLATFORM a AS b', { platform: '$BUILDPLATFORM' }, 'a AS b'],
    ['COPY a --from=x', {}, 'a --from=x'],
  ])('the flags of %s', (text, flags, rest) => {
    const [instruction] = parseKubefile('Kubefile', text).instructions;
    expect(Object.fromEntries(instruction?.flags ?? [])).toEqual(flags);
    expect(instruction?.text).toBe(rest);
  });

  test('a flag that is given twice is an error', () => {
    expect(() => parseKubefile('a/Kubefile', 'FROM a\nCOPY --from=a --from=b c d')).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: 'a/Kubefile:2: --from is given twice',
      }),
    );
  });

  test.each<[string, readonly (readonly [string, string | undefined])[]]>([
    ['ENV a=b', [['a', 'b']]],
    [
      'ENV a=b c="d e" f=\'g\' h=i\\ j',
      [
        ['a', 'b'],
        ['c', '"d e"'],
        ['f', "'g'"],
        ['h', 'i\\ j'],
      ],
    ],
    [
      'ENV a=b=c d==',
      [
        ['a', 'b=c'],
        ['d', '='],
      ],
    ],
    [
      'ENV a= b=""',
      [
        ['a', ''],
        ['b', '""'],
      ],
    ],
    ['ENV a b  c', [['a', 'b  c']]],
    ['ENV a "b c"', [['a', '"b c"']]],
    ['ENV a', [['a', undefined]]],
    [
      'LABEL "a b"="c" d=e',
      [
        ['"a b"', '"c"'],
        ['d', 'e'],
      ],
    ],
    ['LABEL a="x\\\n  y\\\n  z"', [['a', '"x  y  z"']]],
    [
      'LABEL a=b # c',
      [
        ['a', 'b'],
        ['#', undefined],
        ['c', undefined],
      ],
    ],
    ['ARG a', [['a', undefined]]],
    [
      'ARG a=1 b c="2 3"',
      [
        ['a', '1'],
        ['b', undefined],
        ['c', '"2 3"'],
      ],
    ],
    ['CMD a=b', []],
  ])('the pairs of %s', (text, pairs) => {
    expect(parseKubefile('Kubefile', text).instructions[0]?.properties).toEqual(pairs);
  });
});

describe('files that are written in place', () => {
  const heredocs = (text: string) =>
    Object.fromEntries(parseKubefile('Kubefile', text).instructions[0]?.heredocs ?? []);

  test('are what is below, up to their names', () => {
    const text =
      'COPY <<EOF <<-\'b.txt\' <<"C" /x/\na $x\n # no comment\n\nEOF\n\tb\n\t\tb\\\n\tb.txt\nC\nCMD d';
    expect(heredocs(text)).toEqual({
      EOF: { text: 'a $x\n # no comment\n\n', isLiteral: false },
      'b.txt': { text: 'b\nb\\\n', isLiteral: true },
      C: { text: '', isLiteral: true },
    });
    expect(instructions(text)).toEqual([`1 COPY <<EOF <<-'b.txt' <<"C" /x/`, '10 CMD d']);
  });

  test('may hold what looks like instructions', () => {
    expect(instructions('COPY <<EOF /x\nFROM y\nRUN z\nEOF\nCMD a')).toEqual([
      '1 COPY <<EOF /x',
      '5 CMD a',
    ]);
  });

  test('have to end', () => {
    expect(() => parseKubefile('Kubefile', 'FROM scratch\nCOPY <<EOF /x\na\n EOF\n')).toThrow(
      expect.objectContaining({ message: 'Kubefile:2: there is no line EOF below' }),
    );
  });

  test.each(['COPY a<<b /x', 'COPY ["<<EOF", "/x"]', 'COPY << /x'])('are none in %s', (text) => {
    expect(heredocs(text)).toEqual({});
  });
});

describe('the build file of a context', () => {
  test('is the first of the usual names', async () => {
    const names = ['Containerfile', 'Dockerfile', 'Kubefile', 'Sealfile'];
    const found: (string | undefined)[] = [];
    for (const [at] of names.entries()) {
      const there = names.slice(0, at + 1).map((name) => [name, 'FROM scratch']);
      const tree = directory(await contextDirectory(Object.fromEntries(there)));
      found.push((await findKubefile(tree))?.path);
    }
    expect(found).toEqual(names);
  });

  test('may be a link to a file of the context, and is nothing else', async () => {
    const root = await contextDirectory({
      Sealfile: { link: '/etc/hostname' },
      'Kubefile/x': 'a directory',
      Dockerfile: { link: 'build/file' },
      'build/file': 'FROM linked',
    });
    const found = await findKubefile(directory(root));
    expect([found?.path, found?.instructions[0]?.text]).toEqual(['Dockerfile', 'linked']);
  });

  test.each([
    [undefined, 'there is no Sealfile, Kubefile, Dockerfile, Containerfile in the context'],
    ['other', 'there is no other in the context'],
    ['../Kubefile', 'there is no ../Kubefile in the context'],
  ])('that is not there (%s) is asked for', async (name, message) => {
    const tree = directory(await contextDirectory({}));
    await expect(readKubefile(tree, name)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message,
      hint: expect.stringContaining('--file'),
    });
  });

  test('has a limit', async () => {
    const tree = directory(await contextDirectory({ Kubefile: '#'.repeat(1024 * 1024 + 1) }));
    await expect(readKubefile(tree)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: 'Kubefile has over 1048576 bytes',
    });
  });
});
