import { readdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { createContext } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { saveVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { putFiles } from '../context.ts';
import { desk, image } from '../desk.ts';
import { dockerSave } from '../docker-save.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { pathWith } from '../tools.ts';

const files = { 'api/Dockerfile': 'FROM scratch\nCOPY a /a\nRUN ["/a"]\n', 'api/a': 'a' };
const options = { context: 'api', tag: 'api:1', bare: true } as const;
const engines = ['docker', 'buildx', 'podman', 'buildah', 'sealos'] as const;

describe('a build file that has RUN', () => {
  test('is not built without an engine, and it is told which there are', async () => {
    const here = await place(files);
    const error = await failureOf(here.run(buildVerb, options));
    expect([error.code, error.hint]).toEqual([
      'UNSUPPORTED',
      expect.stringContaining('--engine docker, buildx, podman, buildah or sealos'),
    ]);
  });

  test.each([
    ['docker', 'docker', ['build']],
    ['buildx', 'docker', ['buildx', 'build', '--load', '--provenance=false']],
    ['podman', 'podman', ['build']],
    ['buildah', 'buildah', ['build']],
    ['sealos', 'sealos', ['build', '--save-image=false']],
  ] as const)('is handed to %s as that would be told by hand', async (engine, program, build) => {
    const script = `[ "$2" = version ] && exit; printf '%s\\n' "$@" > told; exit 3`;
    const here = await place(files, { PATH: await pathWith(program, script) });
    const error = await failureOf(
      here.run(buildVerb, {
        ...options,
        engine,
        platform: ['linux/arm64'],
        buildArg: ['A=b c'],
        engineArg: ['--network=none', '--secret', 'id=x,src=y'],
      }),
    );
    expect([error.code, error.message]).toEqual(['TOOL', `${program} build failed with 3`]);
    const told = await readFile(here.path('told'), 'utf8');
    expect(told.trim().split('\n')).toEqual([
      ...build,
      // The one that cannot say which image it has built.
      ...(engine === 'sealos' ? [] : ['--iidfile', expect.stringMatching(/\/id$/)]),
      '--file',
      here.path('api/Dockerfile'),
      '--tag',
      'docker.io/library/api:1',
      '--platform',
      'linux/arm64',
      '--build-arg',
      'A=b c',
      '--network=none',
      '--secret',
      'id=x,src=y',
      here.path('api'),
    ]);
  });

  test.each(engines)('needs %s to be there', async (engine) => {
    const here = await place(files, { PATH: '/nowhere' });
    const error = await failureOf(here.run(buildVerb, { ...options, engine }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      engine === 'buildx' ? 'docker has no plugin buildx here' : `${engine} is not on the PATH`,
    ]);
  });

  test('needs the plugin of docker for buildx', async () => {
    const PATH = await pathWith('docker', `[ "$1" = build ] || exit 1`);
    const here = await place(files, { PATH });
    const error = await failureOf(here.run(buildVerb, { ...options, engine: 'buildx' }));
    expect([error.code, error.message]).toEqual(['TOOL', 'docker has no plugin buildx here']);
  });

  test.each([
    ['several platforms', { platform: ['linux/amd64', 'linux/arm64'] }],
    ['nothing to keep it in', { noStore: true }],
    ['paths that are left out', { exclude: ['dist'] }],
  ])('is not built by an engine with %s', async (_, given) => {
    const here = await place(files, { PATH: '/nowhere' });
    const error = await failureOf(here.run(buildVerb, { ...options, engine: 'docker', ...given }));
    expect(error.code).toBe('USAGE');
  });

  test('has no arguments for an engine without one', async () => {
    const here = await place(files);
    const error = await failureOf(here.run(buildVerb, { ...options, engineArg: ['--squash'] }));
    expect([error.code, error.message]).toEqual(['USAGE', '--engine-arg is for an engine']);
  });
});

describe('what an engine has built', () => {
  /** A PATH with nothing but an engine that always makes the same image. */
  async function pathWithBuilt(): Promise<string> {
    const archive = join(await temporaryDirectory(), 'archive');
    await writeFile(archive, await dockerSave(image, 'docker.io/library/api:1'));
    const inspected = JSON.stringify({ Manifest: new TextDecoder().decode(image.root.bytes) });
    const script = `PATH=/bin:/usr/bin
case "$1" in
  build) printf '%s' '${image.root.config.digest}' > "$3" ;;
  inspect) printf '%s' '${inspected}' ;;
  push) cp ${archive} "\${3#docker-archive:}" ;;
esac`;
    const [path = ''] = (await pathWith('buildah', script)).split(delimiter);
    return path;
  }

  test('is in the store, and leaves what any build does', async () => {
    const here = await place(files, { PATH: await pathWithBuilt() });
    const out = { thin: 'thin', digestFile: 'digest' };
    const built = await here.run(buildVerb, { ...options, ...out, engine: 'buildah' });
    expect(built).toMatchObject({
      name: 'docker.io/library/api:1',
      digest: image.root.digest,
      images: 0,
      locations: ['docker.io/library/api:1', 'oci:thin'],
    });
    expect(await readFile(here.path('digest'), 'utf8')).toBe(`${image.root.digest}\n`);
    for (const location of ['api:1', 'oci:thin']) {
      expect((await here.run(verifyVerb, { location })).problems).toEqual([]);
    }
  });

  test('is taken by its id, for another build may have its name by now', async () => {
    const script = `printf '%s\\n' "$@" >> told
case "$1" in build) echo ${'a'.repeat(64)} > "$3" ;; inspect) exit 1 ;; esac`;
    const PATH = await pathWith('buildah', script);
    const here = await place(files, { PATH: PATH.split(delimiter)[0] ?? '' });
    await failureOf(here.run(buildVerb, { ...options, engine: 'buildah' }));
    const told = (await readFile(here.path('told'), 'utf8')).trim().split('\n');
    const after = told.slice(told.indexOf('inspect'));
    expect(after.slice(0, 4)).toEqual(['inspect', '--type', 'image', 'a'.repeat(64)]);
    expect(after).not.toContain('docker.io/library/api:1');
  });

  test('has to be said by the engine', async () => {
    const PATH = await pathWith('podman', 'exit 0');
    const here = await place(files, { PATH });
    const error = await failureOf(here.run(buildVerb, { ...options, engine: 'podman' }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      'podman does not say which image it has built',
    ]);
  });

  test('is not taken for another platform than it is for', async () => {
    const here = await place(files, { PATH: await pathWithBuilt() });
    const given = { ...options, platform: ['linux/arm64'] };
    const error = await failureOf(here.run(buildVerb, { ...given, engine: 'buildah' }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      'buildah built for linux/amd64, not for linux/arm64',
    ]);
    const left = await failureOf(here.run(verifyVerb, { location: 'api:1' }));
    expect(left.code).toBe('NOT_FOUND');
  });
});

describe('an image that an engine builds', () => {
  const script = `cp "$5" told-file; cp "$5.dockerignore" told-ignored; exit 3`;

  test('is built upon what the lockfile pins, for whatever platform the stage is', async () => {
    const here = await desk();
    const from = (base: string): string =>
      `FROM --platform=$BUILDPLATFORM ${base} AS one\nRUN a\nFROM scratch\nCOPY --from=one /a /a\n`;
    await putFiles(here.root, {
      'api/Dockerfile': from(`${here.host}/acme/app:1`),
      'api/Dockerfile.dockerignore': 'notes\n',
    });
    const PATH = await pathWith('buildah', script);
    const environment = { ...here.environment, variables: { ...here.environment.variables, PATH } };
    const given = { context: 'api', bare: true, plainHttp: [here.host] };
    const build = () =>
      failureOf(
        buildVerb.run(
          buildVerb.options.parse({ ...given, tag: 'api:1', engine: 'buildah' }),
          environment,
          createContext(),
        ),
      );
    expect((await build()).code).toBe('LOCK_DRIFT');
    await here.run(lockVerb, given);
    expect((await build()).message).toBe('buildah build failed with 3');
    expect(await readFile(here.path('told-file'), 'utf8')).toBe(
      from(`${here.host}/acme/app@${image.root.digest}`),
    );
    expect(await readFile(here.path('told-ignored'), 'utf8')).toBe('notes\n');
  });
});

describe('the build file of a cluster image that has RUN', () => {
  /** Keeps what it is given, and makes nothing of it. */
  const script = `
for last in "$@"; do :; done
cp "$5" told-file && cp -R "$last" told-context && printf '%s\\n' "$@" > told
exit 3`;

  test('goes to the engine with the files of the context, its pins and an empty registry/', async () => {
    const here = await desk();
    await putFiles(here.root, {
      'c/Kubefile': `ARG BASE\nFROM ${here.host}/acme/\${BASE} AS one\nCOPY . /\nRUN a\n`,
      'c/.dockerignore': 'registry\nnotes\n',
      'c/notes/a': 'a',
      'c/registry/docker/registry/v2/blobs/a': 'of an earlier run',
      'c/scripts/run.sh': 'a',
    });
    const PATH = await pathWith('buildah', script);
    const environment = { ...here.environment, variables: { ...here.environment.variables, PATH } };
    const given = { context: 'c', buildArg: ['BASE=app:1'], plainHttp: [here.host] };
    await here.run(lockVerb, given);
    const built = buildVerb.run(
      buildVerb.options.parse({ ...given, tag: 'acme/cluster:1', engine: 'buildah' }),
      environment,
      createContext(),
    );
    expect((await failureOf(built)).message).toBe('buildah build failed with 3');
    expect(await readFile(here.path('told-file'), 'utf8')).toBe(
      `ARG BASE\nFROM ${here.host}/acme/app@${image.root.digest} AS one\nCOPY . /\nRUN a\n`,
    );
    const told = (await readFile(here.path('told'), 'utf8')).split('\n');
    expect(told).toContain('localhost/cluster-image/docker.io/acme/cluster:1');
    expect(told).toContain('linux/amd64');
    const files = await readdir(here.path('told-context'), { recursive: true });
    expect(files.sort()).toEqual([
      'Kubefile',
      'cluster-image.lock.json',
      'registry',
      'scripts',
      'scripts/run.sh',
    ]);
  });

  test.each([
    ['FROM scratch\nAPP web local://a\nRUN a\n', 'Kubefile:2: no engine knows APP'],
    ['FROM scratch\nRUN a\nLAUNCH ["web"]\n', 'Kubefile:3: no engine knows LAUNCH'],
  ])('cannot have what only sealer knows: %j', async (text, message) => {
    const here = await place({ 'c/Kubefile': text, 'c/a': 'a' }, { PATH: '/nowhere' });
    await here.run(lockVerb, { context: 'c' });
    const error = await failureOf(
      here.run(buildVerb, { context: 'c', tag: 'acme/cluster:1', engine: 'docker' }),
    );
    expect([error.code, error.message]).toEqual(['UNSUPPORTED', message]);
  });

  test('is not what the configuration says of an image', async () => {
    const said = JSON.stringify({ image: { from: 'scratch' } });
    for (const bare of [true, false]) {
      const here = await place({ 'c/cluster-image.json': said }, { PATH: '/nowhere' });
      await here.run(lockVerb, { context: 'c', bare });
      const given = { context: 'c', tag: 'acme/cluster:1', engine: 'docker', bare } as const;
      expect((await failureOf(here.run(buildVerb, given))).code).toBe('UNSUPPORTED');
    }
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
