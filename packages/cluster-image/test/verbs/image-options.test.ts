import { readdir, readFile, rm } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { putFiles } from '../context.ts';
import { desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';

const dollar = '$';

describe('an image without a build file', () => {
  test('is to the byte what a Dockerfile that says the same makes', async () => {
    const here = await desk();
    const from = `${here.host}/acme/base:1`;
    const platform = ['linux/amd64', 'linux/arm64'];
    const common = { bare: true, platform, plainHttp: [here.host] };
    await putFiles(here.root, { 'base/Dockerfile': 'FROM scratch\nCOPY a /a\n', 'base/a': 'a' });
    const base = { ...common, context: 'base', output: [`docker://${from}`] };
    await here.run(buildVerb, base);
    const image = {
      from,
      files: {
        [`bin/${dollar}{TARGETARCH}/tool`]: '/tool',
        'main.js': { to: '/app/', chmod: '0600' },
      },
      workdir: '/app',
      env: { PATH: '/app/bin:/bin' },
      user: '65532',
      ports: [8080],
      entrypoint: ['/tool'],
    };
    const files = { 'bin/amd64/tool': 'x86', 'bin/arm64/tool': 'arm', 'main.js': 'main' };
    const under = (root: string, more: Readonly<Record<string, string>>) =>
      Object.fromEntries(
        Object.entries({ ...files, ...more }).map(([path, text]) => [`${root}/${path}`, text]),
      );
    const dockerfile = `ARG TARGETARCH
FROM ${from}
ARG TARGETARCH
WORKDIR "/app"
ENV PATH="/app/bin:/bin"
COPY bin/${dollar}{TARGETARCH}/tool /tool
COPY --chmod=0600 main.js /app/
USER "65532"
EXPOSE 8080
ENTRYPOINT ["/tool"]
`;
    await putFiles(here.root, {
      ...under('said', { 'cluster-image.json': JSON.stringify({ image }) }),
      ...under('written', { Dockerfile: dockerfile }),
    });
    const built = [];
    for (const context of ['said', 'written']) {
      const options = { ...common, context };
      const { changes } = await here.run(lockVerb, options);
      expect(changes.map(({ reference }) => reference)).toEqual([from]);
      built.push(await here.run(buildVerb, { ...options, tag: `${context}:1` }));
    }
    expect(built[0]?.digest).toBe(built[1]?.digest);
    const { platforms } = await here.run(inspectVerb, { location: 'said:1' });
    expect(platforms.map(({ platform }) => platform)).toEqual(platform);
  });

  test('names the line of what cannot be copied', async () => {
    const here = await place({
      'app/cluster-image.json': '{\n  "image": {\n    "files": { "dist": "/app/" }\n  }\n}\n',
    });
    const failure = await failureOf(
      here.run(buildVerb, { context: 'app', bare: true, tag: 'app:1' }),
    );
    expect(failure.message).toBe('cluster-image.json:3: there is no dist in the context');
  });

  test('is of its own directory, whatever is said at the root', async () => {
    const here = await place({
      'nx.json': '{}',
      'cluster-image.json': '{"image": {"files": {"a": "/a"}}}',
      'app/a': 'a',
    });
    const failure = await failureOf(
      here.run(buildVerb, { context: 'app', bare: true, tag: 'app:1' }),
    );
    expect(failure.code).toBe('NOT_FOUND');
  });
});

test('an image that is bare has what is said and nothing else, whatever it is called', async () => {
  const { run, path } = await place({
    'app/Dockerfile': 'FROM scratch\nCOPY . /\n',
    'app/registry/docker/notes': 'my own',
  });
  await run(buildVerb, { context: 'app', bare: true, tag: 'app:1', thin: 'thin' });
  const plans = await readdir(path('thin/plans/sha256'));
  const texts = plans.map((name) => readFile(path('thin/plans/sha256', name), 'utf8'));
  const entries = (await Promise.all(texts)).flatMap((text) => JSON.parse(text).entries);
  expect(entries.map((entry) => entry.path)).toEqual([
    'Dockerfile',
    'registry',
    'registry/docker',
    'registry/docker/notes',
  ]);
  await rm(path('app/registry'), { recursive: true });
  const { digest } = await run(buildVerb, { context: 'app', bare: true, tag: 'app:1' });
  const { size } = await run(buildVerb, { context: 'app', tag: 'cluster:1', bare: false });
  const bare = await run(inspectVerb, { location: 'app:1' });
  expect(bare.digest).toBe(digest);
  expect(size).toBeGreaterThan(bare.platforms[0]?.size ?? Number.POSITIVE_INFINITY);
});
