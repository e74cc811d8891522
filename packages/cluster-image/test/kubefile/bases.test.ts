import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { argumentOf, findBases, requirePlainBases, stagesOf } from '../../src/kubefile/bases.ts';
import { parseKubefile } from '../../src/kubefile/kubefile.ts';
import { contextDirectory } from '../context.ts';

function stages(text: string, given: Readonly<Record<string, string>> = {}) {
  return stagesOf(parseKubefile('Kubefile', text), given);
}

function bases(text: string, given?: Readonly<Record<string, string>>): readonly unknown[] {
  return stages(text, given).map(({ base }) => {
    if (base.kind === 'image') return base.reference;
    return base.kind === 'stage' ? base.index : base.kind;
  });
}

const dollar = '$';

describe('a stage is built upon', () => {
  test.each<[string, readonly unknown[]]>([
    ['FROM scratch', ['scratch']],
    ['FROM nginx', ['docker.io/library/nginx:latest']],
    ['FROM localhost:5000/a:1 AS x', ['localhost:5000/a:1']],
    ['FROM a/b AS x\nFROM x', ['docker.io/a/b:latest', 0]],
    [
      'FROM a/b AS One\nFROM c/d as two\nFROM oNE',
      ['docker.io/a/b:latest', 'docker.io/c/d:latest', 0],
    ],
    ['FROM scratch AS scratch\nFROM scratch', ['scratch', 0]],
    ['ARG X=a/b:1\nFROM $X', ['docker.io/a/b:1']],
    ['ARG X=1\nARG Y=a/b:$X\nFROM "$Y"', ['docker.io/a/b:1']],
    [`FROM a/b:${dollar}{X:-2}`, ['docker.io/a/b:2']],
    ['ARG TARGETARCH=arm\nFROM a/b:$TARGETARCH', ['docker.io/a/b:arm']],
    ['FROM scratch\nARG X=a/b\nFROM a/c:x$X', ['scratch', 'docker.io/a/c:x']],
  ])('%s', (text, expected) => {
    expect(bases(text)).toEqual(expected);
  });

  test('what the arguments say', () => {
    const text = 'ARG X\nARG Y=1\nFROM a/b:$X$Y';
    expect(bases(text, { X: 'v', Y: '2' })).toEqual(['docker.io/a/b:v2']);
    expect(bases(text, { X: 'v' })).toEqual(['docker.io/a/b:v1']);
  });

  test.each<[string, number, string]>([
    ['', 1, 'there is no FROM'],
    ['# nothing', 1, 'there is no FROM'],
    ['LABEL a=b\nFROM x', 1, 'LABEL comes before the first FROM'],
    ['FROM', 1, 'not FROM image [AS name]'],
    ['FROM $NONE', 1, 'not FROM image [AS name]'],
    ['FROM a b', 1, 'not FROM image [AS name]'],
    ['FROM a AS', 1, 'not FROM image [AS name]'],
    ['FROM a AS b c', 1, 'not FROM image [AS name]'],
    ['FROM a WITH b', 1, 'not FROM image [AS name]'],
    ['FROM a AS 1', 1, '"1" is not the name of a stage'],
    ['FROM a AS b\nFROM c AS B', 2, 'there is a stage B already'],
    ['FROM a\n\nFROM A/b:', 3, '"A/b:" is not an image reference: "" is not a tag'],
    ['FROM "a', 1, 'there is no second " in "a'],
  ])('%s is an error', (text, line, why) => {
    expect(() => stages(text)).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID', message: `Kubefile:${line}: ${why}` }),
    );
  });

  test.each([
    ['FROM --platform=linux/amd64 a', 'FROM --platform'],
    ['FROM a:$TARGETARCH', '$TARGETARCH in FROM'],
    [`FROM a:${dollar}{BUILDOS}`, '$BUILDOS in FROM'],
  ])('%s is left to engines', (text, what) => {
    const kubefile = parseKubefile('Kubefile', text);
    expect(() => requirePlainBases(kubefile, {})).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `Kubefile:1: ${what} is not supported`,
        hint: 'The base is always taken for the platform that is built, unless an engine builds.',
      }),
    );
    const plain = 'ARG TARGETARCH=arm\nFROM a:$TARGETARCH';
    requirePlainBases(parseKubefile('Kubefile', plain), {});
  });

  test('an image that only engines know, which is none to pin', () => {
    expect(
      bases(`FROM --platform=$BUILDPLATFORM a AS x\nFROM b-${dollar}{TARGETARCH}\nFROM x`),
    ).toEqual(['docker.io/library/a:latest', 'varying', 0]);
  });
});

test('what JavaScript objects have is no argument that was given', () => {
  expect(argumentOf({ a: '1' }, 'a')).toBe('1');
  expect(argumentOf({ a: '1' }, 'constructor')).toBeUndefined();
  expect(bases('ARG constructor=a/b\nARG __proto__\nFROM $constructor')).toEqual([
    'docker.io/a/b:latest',
  ]);
});

test('the bases of a context are images only, with their lines', async () => {
  const root = await contextDirectory({
    Kubefile: 'FROM a/b AS x\nFROM scratch\nFROM x\nFROM a/b\n',
  });
  const origin = { file: 'Kubefile', via: 'FROM' };
  expect(await findBases(directory(root), {})).toEqual([
    { reference: 'docker.io/a/b:latest', origins: [{ ...origin, line: 1 }] },
    { reference: 'docker.io/a/b:latest', origins: [{ ...origin, line: 4 }] },
  ]);
  expect(await findBases(directory(await contextDirectory({})), {})).toEqual([]);
  await expect(findBases(directory(root), {}, 'other')).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
});
