import { describe, expect, test } from 'vitest';
import { parseKubefile } from '../../src/kubefile/kubefile.ts';
import { withOtherBases } from '../../src/kubefile/other-bases.ts';

const pinned = (text: string, buildArguments: Readonly<Record<string, string>> = {}): string =>
  withOtherBases(text, parseKubefile('Kubefile', text), buildArguments, (base) => `${base}!`);

describe('a build file is built upon other images', () => {
  test('where it names them, by arguments too, and keeps what its stages are called', () => {
    const text = [
      '# syntax=docker/dockerfile:1',
      'ARG BASE=team/base:1',
      'FROM ${BASE} as Build',
      'RUN a && \\',
      '  FROM b',
      'FROM Build',
      'FROM scratch AS two',
      'from a.io/other@sha256:'.concat('0'.repeat(64)),
      'COPY --from=Build /a /a',
    ];
    expect(pinned(text.join('\n')).split('\n')).toEqual([
      ...text.slice(0, 2),
      'FROM docker.io/team/base:1! as Build',
      ...text.slice(3, 7),
      `FROM a.io/other@sha256:${'0'.repeat(64)}!`,
      ...text.slice(8),
    ]);
    expect(pinned('ARG BASE\nFROM $BASE', { BASE: 'x' })).toBe(
      'ARG BASE\nFROM docker.io/library/x:latest!',
    );
  });

  test('and its lines keep their numbers', () => {
    expect(pinned('FROM \\\n  base \\\n  AS x\nRUN a')).toBe(
      'FROM docker.io/library/base:latest! AS x\n\n\nRUN a',
    );
    expect(pinned('# escape=`\nFROM base `\n# it is\n\n AS x\nRUN a')).toBe(
      '# escape=`\nFROM docker.io/library/base:latest! AS x\n\n\n\nRUN a',
    );
  });

  test('for the platform that is said, and not where only the engine knows which', () => {
    const varying = 'FROM base-$TARGETARCH\n';
    expect(pinned(`FROM --platform=$BUILDPLATFORM base AS x\n${varying}`)).toBe(
      `FROM --platform=$BUILDPLATFORM docker.io/library/base:latest! AS x\n${varying}`,
    );
  });

  test('but not where a script that it runs says FROM', () => {
    const script = 'RUN <<EOF\nFROM x\nEOF\n';
    expect(pinned(`FROM base\n${script}`)).toBe(`FROM docker.io/library/base:latest!\n${script}`);
  });
});
