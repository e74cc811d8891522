import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { saveVerb } from '../../src/verbs/transfer.ts';
import { putFiles } from '../context.ts';
import { desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { pathWith } from '../tools.ts';

const files = { 'api/Dockerfile': 'FROM scratch\nCOPY a /a\nRUN ["/a"]\n', 'api/a': 'a' };
const options = { context: 'api', tag: 'api:1', bare: true } as const;

describe('a build file that has RUN', () => {
  test('is not built without an engine', async () => {
    const here = await place(files);
    expect((await failureOf(here.run(buildVerb, options))).code).toBe('UNSUPPORTED');
  });

  test('is handed to the engine that is named, as that would be told by hand', async () => {
    const PATH = await pathWith('buildah', `printf '%s\\n' "$@" > told; exit 3`);
    const here = await place(files, { PATH });
    const error = await failureOf(
      here.run(buildVerb, {
        ...options,
        engine: 'buildah',
        platform: ['linux/arm64'],
        buildArg: ['A=b c'],
      }),
    );
    expect([error.code, error.message]).toEqual(['TOOL', 'buildah build failed with 3']);
    const told = await readFile(here.path('told'), 'utf8');
    expect(told.trim().split('\n')).toEqual([
      'build',
      '--file',
      here.path('api/Dockerfile'),
      '--tag',
      'docker.io/library/api:1',
      '--platform',
      'linux/arm64',
      '--build-arg',
      'A=b c',
      here.path('api'),
    ]);
  });

  test('needs that engine to be there', async () => {
    const here = await place(files, { PATH: '/nowhere' });
    const error = await failureOf(here.run(buildVerb, { ...options, engine: 'podman' }));
    expect([error.code, error.message]).toEqual(['TOOL', 'podman is not on the PATH']);
  });

  test.each([
    ['a cluster image', { bare: false }],
    ['several platforms', { platform: ['linux/amd64', 'linux/arm64'] }],
    ['nothing to keep it in', { noStore: true }],
  ])('is not built by an engine with %s', async (_, given) => {
    const here = await place(files, { PATH: '/nowhere' });
    const error = await failureOf(here.run(buildVerb, { ...options, engine: 'docker', ...given }));
    expect(error.code).toBe('USAGE');
  });
});

test('an image all of whose layers are those of its base is as thin as others, and can be saved', async () => {
  const here = await desk();
  await putFiles(here.root, { 'api/Dockerfile': `FROM ${here.host}/acme/app:1\nENV A=b\n` });
  const plainHttp = [here.host];
  await here.run(lockVerb, { context: 'api', bare: true, plainHttp });
  const { digest } = await here.run(buildVerb, { ...options, plainHttp, thin: 'thin' });
  const saved = await here.run(saveVerb, { from: 'oci:thin', to: 'oci-archive:api.tar' });
  expect(saved.digest).toBe(digest);
});
