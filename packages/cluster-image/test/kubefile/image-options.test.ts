import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { findKubefile, parseKubefile } from '../../src/kubefile/kubefile.ts';
import { contextDirectory, type Given } from '../context.ts';
import { failureOf } from '../failure.ts';

async function kubefile(image: unknown, others: Readonly<Record<string, Given>> = {}) {
  const text = JSON.stringify({ image }, null, 2);
  const root = await contextDirectory({ 'cluster-image.json': text, ...others });
  return findKubefile(directory(root));
}

async function lines(image: unknown): Promise<readonly string[]> {
  const { instructions } = (await kubefile(image)) ?? { instructions: [] };
  return instructions.map(({ keyword, flags, text }) =>
    [keyword, ...[...flags].map(([name, value]) => `--${name}=${value}`), text].join(' '),
  );
}

describe('an image that is said in cluster-image.json', () => {
  test('is nothing unless something is said', async () => {
    expect(await lines({})).toEqual(['FROM scratch']);
  });

  test('is what the instructions of these names would make', async () => {
    const found = await lines({
      from: 'registry.example/base:1',
      files: {
        dist: '/app/',
        'bin/tool': { to: '/usr/bin/tool', chown: '65532:65532', chmod: '0755' },
      },
      workdir: '/app',
      env: { A: 'one two', B: 'say "x" \\ back' },
      labels: { 'org.opencontainers.image.title': 'api' },
      user: '65532',
      ports: [8080, '53/udp', '9000-9002'],
      volumes: ['/data'],
      stopSignal: 'SIGINT',
      entrypoint: ['node', 'main.js'],
      cmd: ['--port', '8080'],
    });
    expect(found).toEqual([
      'FROM registry.example/base:1',
      'WORKDIR "/app"',
      'ENV A="one two"',
      'ENV B="say \\"x\\" \\\\ back"',
      'LABEL org.opencontainers.image.title="api"',
      'COPY ["dist","/app/"]',
      'COPY --chown=65532:65532 --chmod=0755 ["bin/tool","/usr/bin/tool"]',
      'USER "65532"',
      'EXPOSE 8080 53/udp 9000-9002',
      'VOLUME ["/data"]',
      'STOPSIGNAL "SIGINT"',
      'ENTRYPOINT ["node","main.js"]',
      'CMD ["--port","8080"]',
    ]);
    const { instructions } = parseKubefile('Dockerfile', found.join('\n'));
    const parsed = await kubefile({ env: { B: 'say "x" \\ back' } });
    expect(parsed?.instructions[1]?.properties).toEqual(instructions[3]?.properties);
  });

  test('has the variables that it mentions, and a dollar after a backslash', async () => {
    const dollar = '$';
    expect(
      await lines({
        from: `a/b:${dollar}{VERSION}`,
        files: { [`bin/${dollar}TARGETARCH/tool`]: '/tool' },
        env: { PRICE: '\\$5' },
        cmd: ['$HOME'],
      }),
    ).toEqual([
      'ARG TARGETARCH VERSION',
      `FROM a/b:${dollar}{VERSION}`,
      'ARG TARGETARCH VERSION',
      'ENV PRICE="\\$5"',
      `COPY ["bin/${dollar}TARGETARCH/tool","/tool"]`,
      'CMD ["$HOME"]',
    ]);
  });

  test('tells the lines of the file', async () => {
    const found = await kubefile({ from: 'a', files: { x: '/x', y: { to: '/y' } }, user: 'u' });
    expect(found?.path).toBe('cluster-image.json');
    expect(found?.instructions.map(({ keyword, line }) => [keyword, line])).toEqual([
      ['FROM', 3],
      ['COPY', 5],
      ['COPY', 6],
      ['USER', 10],
    ]);
  });

  test('is there beside other settings, and they without it', async () => {
    const root = await contextDirectory({ 'cluster-image.json': '{"platforms": ["linux/arm64"]}' });
    expect(await findKubefile(directory(root))).toBeUndefined();
  });

  test.each<[unknown, string]>([
    [{ from: 'A/b:' }, 'cluster-image.json:3: image.from: not the name of an image'],
    [{ file: {} }, 'cluster-image.json:3: image.file: nothing of that name is known'],
    [{ ports: ['http'] }, 'cluster-image.json:4: image.ports.0: not a port, as 8080 or "53/udp"'],
    [{ env: { 'A=B': '1' } }, 'cluster-image.json:4: image.env.A=B: not a name that can be set'],
    [{ entrypoint: 'node main.js' }, 'cluster-image.json:3: image.entrypoint: '],
  ])('%j is an error', async (image, message) => {
    const failure = await failureOf(kubefile(image));
    expect(failure.code).toBe('INPUT_INVALID');
    expect(failure.message).toContain(message);
  });

  test('is not said in a build file as well', async () => {
    const failure = await failureOf(kubefile({ from: 'a' }, { Dockerfile: 'FROM a' }));
    expect(failure.code).toBe('INPUT_INVALID');
    expect(failure.message).toBe('cluster-image.json:3: image: there is a Dockerfile as well');
    const root = await contextDirectory({
      'cluster-image.json': '{"image": {}}',
      'other.Dockerfile': 'FROM a',
    });
    expect((await findKubefile(directory(root), 'other.Dockerfile'))?.path).toBe(
      'other.Dockerfile',
    );
  });
});
