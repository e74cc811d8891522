import { describe, expect, test } from 'vitest';
import { parseKubefile } from '../../src/kubefile/kubefile.ts';
import { requireSupported } from '../../src/kubefile/supported.ts';
import { evaluated, listing } from './stages.ts';

const dollar = '$';

async function config(lines: string, given?: Parameters<typeof evaluated>[1]): Promise<unknown> {
  const { config } = await evaluated(`FROM scratch\n${lines}`, given);
  return JSON.parse(JSON.stringify(config));
}

describe('an instruction says how the image is run', () => {
  test.each<[string, unknown]>([
    ['LABEL a=b "c d"="e f"', { Labels: { a: 'b', 'c d': 'e f' } }],
    ['LABEL a=1\nLABEL a=2 b=3', { Labels: { a: '2', b: '3' } }],
    ['LABEL a b c', { Labels: { a: 'b c' } }],
    ['LABEL check="$(x) \\$y" x=\'$z\'', { Labels: { check: '$(x) $y', x: '$z' } }],
    [
      'LABEL __proto__=a constructor=b',
      { Labels: JSON.parse('{"__proto__":"a","constructor":"b"}') },
    ],
    ['ENV a=1 b=$a', { Env: ['a=1', 'b='] }],
    [`ENV a=1\nENV b=$a c=${dollar}{x:-y}`, { Env: ['a=1', 'b=1', 'c=y'] }],
    ['ENV a=1\nENV b=2\nENV a=3', { Env: ['a=3', 'b=2'] }],
    ['ENV a b  c', { Env: ['a=b  c'] }],
    ['ENV a=', { Env: ['a='] }],
    ['ENV n=x\nLABEL $n=$n', { Env: ['n=x'], Labels: { x: 'x' } }],
    ['CMD a $b', { Cmd: ['/bin/sh', '-c', 'a $b'] }],
    ['CMD ["a", "$b"]', { Cmd: ['a', '$b'] }],
    ["CMD ['a']", { Cmd: ['/bin/sh', '-c', "['a']"] }],
    ['CMD a\nCMD b', { Cmd: ['/bin/sh', '-c', 'b'] }],
    ['CMD a\nCMD []', {}],
    ['ENTRYPOINT ["a"]\nCMD ["b"]', { Entrypoint: ['a'], Cmd: ['b'] }],
    ['CMD ["b"]\nENTRYPOINT ["a"]', { Entrypoint: ['a'], Cmd: ['b'] }],
    ['WORKDIR a', { WorkingDir: '/a' }],
    ['WORKDIR /a\nWORKDIR b/../c', { WorkingDir: '/a/c' }],
    ['WORKDIR "/a b"', { WorkingDir: '/a b' }],
    ['ENV d=/x\nWORKDIR $d/y', { Env: ['d=/x'], WorkingDir: '/x/y' }],
    ['USER 1:2', { User: '1:2' }],
    ['STOPSIGNAL SIGINT', { StopSignal: 'SIGINT' }],
    ['EXPOSE 80 53/UDP', { ExposedPorts: { '80/tcp': {}, '53/udp': {} } }],
    ['EXPOSE 8000-8001', { ExposedPorts: { '8000/tcp': {}, '8001/tcp': {} } }],
    [
      'ARG p="80 81"\nEXPOSE $p\nEXPOSE 82',
      { ExposedPorts: { '80/tcp': {}, '81/tcp': {}, '82/tcp': {} } },
    ],
    ['VOLUME /a /b', { Volumes: { '/a': {}, '/b': {} } }],
    ['VOLUME ["/a b"]', { Volumes: { '/a b': {} } }],
  ])('%s', async (lines, expected) => {
    expect(await config(lines)).toEqual(expected);
  });

  test('all ports may be exposed at once', async () => {
    const { config } = await evaluated('FROM scratch\nEXPOSE 1-65535');
    expect(Object.keys(config.ExposedPorts ?? {})).toHaveLength(65_535);
  });

  test('who made it is no label', async () => {
    const { author, config } = await evaluated('FROM scratch\nMAINTAINER me <a@b>');
    expect([author, config]).toEqual(['me <a@b>', {}]);
  });

  test('what is done is told', async () => {
    const { history } = await evaluated('FROM scratch\nENV a=1 \\\n b=2\ncmd ["x"]');
    expect(history).toEqual(['ENV a=1  b=2', 'CMD ["x"]']);
  });

  test('a directory to work in is made', async () => {
    const { files } = await evaluated('FROM scratch\nWORKDIR /a\nWORKDIR b\nWORKDIR /');
    expect(listing(files)).toEqual(['d 755 /a', 'd 755 /a/b']);
  });

  test('a directory to work in is left as it is in an image below', async () => {
    const start = { config: {}, files: new Map(), below: async () => undefined };
    const { files } = await evaluated('FROM a/b\nWORKDIR /etc', { start });
    expect(files.size).toBe(0);
  });
});

describe('an argument', () => {
  const arg = async (lines: string, buildArguments = {}, platform = 'linux/arm/v6') => {
    const { config } = await evaluated(lines, { buildArguments, platform });
    return config.Env;
  };

  test.each<[string, string, Record<string, string>]>([
    ['has a default', 'FROM scratch\nARG a=1\nENV x=$a', {}],
    ['is given', 'FROM scratch\nARG a\nENV x=$a', { a: '1' }],
    ['is given over its default', 'FROM scratch\nARG a=2\nENV x=$a', { a: '1' }],
    ['is the one before the first stage', 'ARG a=1\nFROM scratch\nARG a\nENV x=$a', {}],
    ['has a default over that', 'ARG a=2\nFROM scratch\nARG a=1\nENV x=$a', {}],
    ['gives way to a variable', 'FROM scratch\nENV a=1\nARG a=2\nENV x=$a', { a: '3' }],
    ['refers to another', 'FROM scratch\nARG b=1 a=2\nARG a=$b\nENV x=$a', {}],
  ])('%s', async (_, lines, given) => {
    expect(await arg(lines, given)).toContain('x=1');
  });

  test.each([
    ['is none before it is declared', 'FROM scratch\nENV x=$a\nARG a=1'],
    ['is none without being declared in the stage', 'ARG a=1\nFROM scratch\nENV x=$a'],
    ['is none in the next stage', 'FROM scratch AS s\nARG a=1\nFROM scratch\nENV x=$a'],
    ['is none without a value', 'FROM scratch\nARG a\nENV x=$a'],
    ['is not what objects have', 'FROM scratch\nARG toString\nENV x=$toString'],
  ])('%s', async (_, lines) => {
    expect(await arg(lines)).toEqual(['x=']);
  });

  test('tells the platform, where it is asked for', async () => {
    const names = ['TARGETPLATFORM', 'TARGETOS', 'TARGETARCH', 'TARGETVARIANT'];
    const ask = `ARG ${names.join(' ')}\nENV x=${names.map((name) => `$${name}`).join('-')}`;
    expect(await arg(`FROM scratch\n${ask}`)).toEqual(['x=linux/arm/v6-linux-arm-v6']);
    expect(await arg(`FROM scratch\n${ask}`, {}, 'linux/arm64')).toEqual([
      'x=linux/arm64-linux-arm64-',
    ]);
    expect(await arg('FROM scratch\nENV x=$TARGETARCH')).toEqual(['x=']);
    expect(await arg('FROM scratch\nARG TARGETARCH=z\nENV x=$TARGETARCH')).toEqual(['x=z']);
    expect(await arg('FROM scratch\nARG BUILDARCH\nENV x=$BUILDARCH')).toEqual(['x=']);
  });
});

describe('a stage goes on', () => {
  test('from an earlier one, with its files and all it says', async () => {
    const { config, files, author } = await evaluated(
      'FROM scratch AS one\nMAINTAINER me\nENV a=1\nLABEL l=m\nWORKDIR /w\nCMD b\nFROM one\nENV c=$a\n',
    );
    expect(config).toMatchObject({
      Env: ['a=1', 'c=1'],
      Labels: { l: 'm' },
      WorkingDir: '/w',
      Cmd: ['/bin/sh', '-c', 'b'],
    });
    expect([listing(files), author]).toEqual([['d 755 /w'], 'me']);
  });

  test("from a base, whose command was meant for the base's entrypoint", async () => {
    const start = {
      config: { Env: ['PATH=/bin', 'odd'], Cmd: ['old'], Labels: { a: '1' } },
      files: new Map(),
    };
    const text = 'FROM a/b\nENTRYPOINT ["new"]\nENV PATH=$PATH:/x\nLABEL b=2';
    expect((await evaluated(text, { start })).config).toEqual({
      Entrypoint: ['new'],
      Cmd: undefined,
      Env: ['PATH=/bin:/x', 'odd='],
      Labels: { a: '1', b: '2' },
    });
    const kept = await evaluated('FROM a/b\nCMD ["c"]\nENTRYPOINT ["new"]', { start });
    expect(kept.config.Cmd).toEqual(['c']);
  });

  test('leaving what it began with as it was', async () => {
    const start = { config: { Labels: { a: '1' }, Env: ['x=1'] }, files: new Map() };
    await evaluated('FROM a/b\nLABEL a=2\nENV x=2\nWORKDIR /w', { start });
    expect(start).toEqual({ config: { Labels: { a: '1' }, Env: ['x=1'] }, files: new Map() });
  });
});

describe('an instruction that makes no sense names its line', () => {
  test.each([
    ['FOO bar', 'FOO is not an instruction'],
    ['ENV', 'ENV says nothing'],
    ['ENV a', 'a has no value'],
    ['ENV a=1 b', 'b has no value'],
    ['ENV =1', 'there is a value without a name'],
    ['LABEL a=b # c', '# has no value'],
    ['ENV a="b', 'there is no second " in "b'],
    ['EXPOSE http', '"http" is not a port'],
    ['EXPOSE 70000', '"70000" is not a port'],
    ['EXPOSE 81-80', '"81-80" is not a port'],
    ['EXPOSE 80/x', '"80/x" is not a port'],
    ['WORKDIR', 'WORKDIR says nothing'],
    ['COPY', 'COPY says nothing'],
    ['COPY a', 'COPY needs a source and a destination'],
  ])('%s', async (line, why) => {
    await expect(evaluated(`FROM scratch\n\n${line}`)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `Kubefile:3: ${why}`,
    });
  });

  test.each([
    [
      'RUN apt-get install x',
      /RUN needs a container/,
      /COPY the result; or have a container engine do it: --engine docker/,
    ],
    ['RUN <<EOF\nx\nEOF', /RUN needs a container/, /COPY the result/],
    ['HEALTHCHECK CMD x', /HEALTHCHECK means nothing/, /probes/],
    ['ONBUILD ENV a=b', /ONBUILD means nothing/, /Write the instruction/],
    ['SHELL ["x"]', /SHELL is for RUN/, /Remove it/],
  ])('and the way out: %s', async (line, message, hint) => {
    const expected = {
      code: 'UNSUPPORTED',
      message: expect.stringMatching(new RegExp(`^Kubefile:3: ${message.source}`)),
      hint: expect.stringMatching(hint),
    };
    const text = `FROM scratch\nENV a=b\n${line}`;
    await expect(evaluated(text)).rejects.toMatchObject(expected);
    expect(() => requireSupported(parseKubefile('Kubefile', text))).toThrow(
      expect.objectContaining(expected),
    );
  });

  test('and what stands in the wrong place', () => {
    expect(() => requireSupported(parseKubefile('Kubefile', 'LAUNCH a\nCMD b'))).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });

  test('and nothing else is unsupported', () => {
    const text = 'ARG a\nFROM scratch\nCOPY a b\nENV a=b\nFOO bar\n';
    expect(() => requireSupported(parseKubefile('Kubefile', text))).not.toThrow();
  });
});
